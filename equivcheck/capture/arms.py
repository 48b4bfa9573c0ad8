"""The engines of a run's arms: opened when they are asked something, and not before.

Where arms answer one at a time, no engine is opened while another is open. An arm that has nothing
left to answer is never opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from msgspec.structs import replace

from equivcheck.capture.ask import closing
from equivcheck.capture.control import open_control
from equivcheck.capture.replicas import replicas_of
from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.errors import OtherRunError, SettingsError
from equivcheck.core.settings import EngineSetup, Order, Settings
from equivcheck.engines.opening import Opening
from equivcheck.engines.registry import load_engine
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    REPEAT,
    SCORER,
    TARGET,
    ArmOpened,
    Header,
)
from equivcheck.records.records_file import RecordsWriter
from equivcheck.records.same_run import first_difference

NOT_OPENED = "not opened"
"""Remark in place of what an engine would have said of itself."""
ONE_AT_A_TIME: Order = "one at a time"


class ArmSetup(NamedTuple):
    """What an arm's engine is opened with."""

    spec: str
    setup: EngineSetup


class Arms(Mapping[str, Engine]):
    """Arm to its engine, which is opened as it is looked up."""

    def __init__(self, settings: Settings, *, opening: Opening, stored: Header | None) -> None:
        """Open nothing yet.

        Args:
            settings: Engines and order.
            opening: How engines are opened in this run.
            stored: Header of the run that is resumed; what its arms said of themselves is
                known, and they have to say it again.
        """
        self.places = {
            TARGET: ArmSetup(settings.target, settings.setup),
            CANDIDATE: ArmSetup(settings.candidate, settings.setup),
        }
        if settings.control is not None:
            self.places[CONTROL] = ArmSetup(settings.control, settings.setup)
        self.places[REPEAT] = self.places[CANDIDATE]
        for arm, spec in replicas_of(settings).items():
            self.places[arm] = ArmSetup(spec, settings.setup)
        if settings.scorer is not None:
            self.places[SCORER] = ArmSetup(settings.scorer, settings.setup)
        self._settings = settings
        self.writer: RecordsWriter | None = None
        """Gets what engines say of themselves that are opened after the header was written."""
        known = {} if stored is None else stored.arms
        self._told = {arm: told for arm, told in known.items() if NOT_OPENED not in told.notes}
        self._opening, self._open = opening, dict[str, ExitStack]()
        self._engines: dict[str, Engine] = {}
        if settings.arms != "auto":
            self.order: Order = settings.arms
        else:
            self.order = "in turn" if stored is None else stored.order
        self._decided = settings.arms != "auto" or stored is not None

    def __getitem__(self, arm: str) -> Engine:
        """The engine of an arm; it is opened, and others are closed, where that is called for.

        Raises:
            EquivcheckError: it cannot be opened.
            OtherRunError: it is another engine than the run that is resumed had.
        """
        if arm not in self._engines:
            # A server that scores holds no device here, and is asked in turn with who draws.
            if self.order == ONE_AT_A_TIME and arm != SCORER:
                self.close(*(other for other in self._engines if other != SCORER))
            engine = self._opened(arm)
            stack = ExitStack()
            stack.enter_context(closing(engine, arm=arm))
            self._open[arm], self._engines[arm] = stack, engine
            self._hear(arm, engine.capabilities)
        return self._engines[arm]

    def __contains__(self, arm: object) -> bool:
        """Whether there is such an arm; nothing is opened."""
        return arm in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        """How many arms there are."""
        return len(self.places)

    def __enter__(self) -> Self:
        """To be closed in the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(*self._engines)

    def close(self, *arms: str) -> None:
        """Close the engines of some arms, where they are open; the last one that opened first."""
        for arm in [arm for arm in reversed(list(self._engines)) if arm in arms]:
            del self._engines[arm]
            self._open.pop(arm).close()

    def told(self, arm: str) -> Capabilities:
        """What an arm's engine says of itself; it is opened unless that is known.

        Raises:
            EquivcheckError: it cannot be opened.
        """
        if arm not in self._told:
            self[arm]
        return self._told[arm]

    def heard(self) -> dict[str, Capabilities]:
        """What decides which cases are asked: the same as a run begins and as it is resumed.

        Of arms that are open one at a time, only the candidate is known as a run begins.
        """
        one = self.order == ONE_AT_A_TIME
        return {arm: told for arm, told in self._told.items() if arm == CANDIDATE or not one}

    def open_all(self, *arms: str) -> None:
        """Open these arms before the run begins, unless they are to be open one at a time.

        Raises:
            EquivcheckError: one cannot be opened.
        """
        for arm in arms:
            if self.order != ONE_AT_A_TIME:
                self[arm]
        self._decided = True

    def described(self, *arms: str) -> dict[str, Capabilities]:
        """What is known of some arms, for the header of a run."""
        return {arm: self._told.get(arm) or not_opened(self.places[arm]) for arm in arms}

    def _opened(self, arm: str) -> Engine:
        open_engine = partial(load_engine, opening=replace(self._opening, arm=arm))
        if arm == CONTROL:
            target = self._told.get(TARGET)
            return open_control(self._settings, target=target, open_engine=open_engine)
        return open_engine(*self.places[arm])

    def _hear(self, arm: str, told: Capabilities) -> None:
        """Take down what an engine says of itself, and what follows for the others."""
        if arm == REPEAT:
            return
        self._refuse_mixed(arm, told)
        before = self._told.setdefault(arm, told)
        if differing := first_difference(found=before, wanted=told):
            raise OtherRunError(
                f"the run has another engine: arms.{arm}.{differing.field} is "
                f"{differing.found!r} there and {differing.wanted!r} here"
            )
        if self.writer is not None and before is told:
            self.writer.append(ArmOpened(arm=arm, capabilities=told))
        if told.exclusive and not self._decided:
            self.order, self._decided = ONE_AT_A_TIME, True
            self.close(*(other for other in self._engines if other != arm))

    def _refuse_mixed(self, arm: str, told: Capabilities) -> None:
        """Refuse to compare text with ids, and to score ids that nobody knows.

        Raises:
            SettingsError: with the arm that gives text alone.
        """
        if arm == SCORER:
            return
        for other, before in self._told.items():
            if other != SCORER and before.text_alone is not told.text_alone:
                text, ids = (arm, other) if told.text_alone else (other, arm)
                raise SettingsError(
                    f"{text} gives text and no token ids, and {ids} gives ids; give {ids} an "
                    f"engine that is asked for text, too: http:url=URL,dialect=openai,text=true"
                )
        if told.text_alone and SCORER in self.places:
            raise SettingsError(
                f"scorer: {arm} gives text and no token ids, which are what a server scores; "
                f"leave it out, and the pair's weights judge where texts part"
            )


def not_opened(place: ArmSetup) -> Capabilities:
    """What stands for an engine in a header until it is opened."""
    return Capabilities(engine=place.spec, device="", dtype=place.setup.dtype, notes=(NOT_OPENED,))
