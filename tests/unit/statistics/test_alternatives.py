"""Names of wrong distributions are read, and odd ones refused."""

from __future__ import annotations

import pytest

from equivcheck.statistics.alternatives import parse


@pytest.mark.parametrize(
    ("name", "kind", "departure"),
    [
        ("leak=.05", "leak", 0.05),
        ("lenience=0.9", "lenience", -0.1),
        ("temperature=1.05", "temperature", 0.05),
        ("tilt=-0.3", "tilt", -0.3),
        ("argmax-draft", "argmax-draft", None),
        ("unheard-of=3", "unheard-of", None),
    ],
)
def test_a_name_is_taken_apart(name: str, kind: str, departure: float | None) -> None:
    found = parse(name)
    assert (found.name, found.kind, found.departure) == (name, kind, departure)


@pytest.mark.parametrize(
    ("name", "wrong"), [("leak", "lacks its value"), ("leak=much", "'much' is not a number")]
)
def test_an_odd_name_is_refused(name: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse(name)
