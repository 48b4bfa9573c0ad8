"""What a conversion could not carry over, counted by key and reason, so that nothing goes silently.

`Taken` is how a record is read: whatever is never taken of it is lost, and said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from equivcheck.core.errors import EquivcheckError

FIRST_PLACES = 3
"""Places shown of records that were left out for one reason."""
NO_SUCH_KEY = "a suite has nothing of the kind"


class LeftOutError(EquivcheckError):
    """A record cannot become a case; says why."""


class Loss(Struct, frozen=True, kw_only=True):
    """Something of the file that no case has, or has otherwise."""

    what: str
    """Key of the record, in dotted form, or a few words."""
    why: str
    records: int
    places: tuple[str, ...] = ()
    """The first of them, where whole records are left out: line, or number in the file."""


class Losses:
    """Counts what is lost on the way."""

    def __init__(self) -> None:
        self._keys: Counter[tuple[str, str]] = Counter()
        self._changed: Counter[tuple[str, str]] = Counter()
        self._left_out: dict[str, list[str]] = {}

    def key(self, name: str, why: str = NO_SUCH_KEY) -> None:
        """A key of one more record says something that no case can."""
        self._keys[name, why] += 1

    def changed(self, what: str, why: str) -> None:
        """One more record is asked otherwise than its file says."""
        self._changed[what, why] += 1

    def left_out(self, place: str, why: str) -> None:
        """One more record becomes no case."""
        self._left_out.setdefault(why, []).append(place)

    @property
    def keys(self) -> tuple[Loss, ...]:
        """What was not carried over, the most frequent first."""
        return _losses(self._keys)

    @property
    def changes(self) -> tuple[Loss, ...]:
        """What was carried over otherwise."""
        return _losses(self._changed)

    @property
    def records(self) -> tuple[Loss, ...]:
        """Records that were left out, by reason."""
        return tuple(
            Loss(what="record", why=why, records=len(places), places=tuple(places[:FIRST_PLACES]))
            for why, places in self._left_out.items()
        )


def _losses(counted: Counter[tuple[str, str]]) -> tuple[Loss, ...]:
    return tuple(
        Loss(what=what, why=why, records=number) for (what, why), number in counted.most_common()
    )


class Taken:
    """A record whose keys are taken one by one; what is left at the end was not carried over."""

    def __init__(self, record: Mapping[str, Any], *, within: str = "") -> None:
        """Keys without a value say nothing, and are as good as absent."""
        self._within = within
        self._left = {
            name: value
            for name, value in record.items()
            if value is not None and value is not False and value not in ("", [], {})
        }

    def take(self, *names: str) -> Any:
        """The value of the first of these keys that is there; None: none is."""
        found = None
        for name in names:
            value = self._left.pop(name, None)
            found = value if found is None else found
        return found

    def __contains__(self, name: str) -> bool:
        """Whether a key says something and was not taken yet."""
        return name in self._left

    def text(self, *names: str) -> str:
        """As `take`, of a key that has to hold text.

        Raises:
            LeftOutError: it holds none.
        """
        value = self.take(*names)
        if not isinstance(value, str) or not value.strip():
            raise LeftOutError(f"{self._within}{names[0]}: no text")
        return value

    def inner(self, name: str) -> Taken:
        """A record within this one, or an empty one."""
        value = self.take(name)
        return Taken(value if isinstance(value, dict) else {}, within=f"{self._within}{name}.")

    def lose_rest(self, losses: Losses, reasons: Mapping[str, str] | None = None) -> None:
        """Say that what was never taken is lost, each key for its reason."""
        for name in self._left:
            losses.key(f"{self._within}{name}"[:60], (reasons or {}).get(name, NO_SUCH_KEY))
