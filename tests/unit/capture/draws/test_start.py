"""What is looked at before anything is drawn."""

from __future__ import annotations

import msgspec
import pytest

from equivcheck.capture.draws import start
from equivcheck.capture.draws.ledger import Output
from equivcheck.core.engine import DraftSource
from equivcheck.core.generation import Step
from equivcheck.records.records import (
    CANDIDATE,
    SAMPLED,
    TARGET,
    Evidence,
    GenerationRecord,
    Header,
)
from tests.unit.capture.draws.fakes import CASES, PLAN, Clerk
from tests.unit.make import make_asked, make_capabilities, make_generation, make_header

DRAFTED = (Step(drafted=1, accepted=1, emitted=2, drafts=(5,)),)


def answers(arm: str, *, steps: tuple[Step, ...] = ()) -> dict[str, GenerationRecord]:
    return {
        case.key: GenerationRecord(
            arm=arm, generation=make_generation((5, 6), key=case.key, steps=steps), text=arm
        )
        for case in CASES
    }


def evidence(drafter: DraftSource | None, *, steps: tuple[Step, ...]) -> Evidence:
    header = make_header()
    arms = header.arms | {SAMPLED: make_capabilities(rule="rejection", drafter=drafter)}
    return Evidence(
        header=msgspec.structs.replace(header, arms=arms, vocab_size=100),
        asked={case.key: make_asked(case) for case in CASES},
        captured={TARGET: answers(TARGET), CANDIDATE: answers(CANDIDATE, steps=steps)},
    )


@pytest.mark.parametrize(
    ("drafter", "steps", "asked_of"),
    [
        ("model", DRAFTED, ("model", ())),
        ("one-hot", DRAFTED, ("one-hot", DRAFTED)),
        ("one-hot", (), ("lookup", ())),
    ],
)
def test_only_the_engine_can_say_what_it_drafts(
    drafter: DraftSource,
    steps: tuple[Step, ...],
    asked_of: tuple[DraftSource, tuple[Step, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where drafts are certain its own answers are looked at; if it names none, the target's."""
    seen: list[tuple[DraftSource | None, tuple[Step, ...]]] = []

    class Looker(Clerk):
        def __init__(self, drafter: DraftSource | None) -> None:
            super().__init__()
            self.drafter = drafter

        def score(self, asked: list[Output]) -> object:  # type: ignore[override]
            seen.append((self.drafter, asked[0][1].steps))
            return super().score(asked)

    def opened(
        header: Header, *, drafter: DraftSource | None, replays: bool, served: object
    ) -> Looker:
        assert not replays
        assert served is None
        return Looker(drafter)

    monkeypatch.setattr(start, "open_scorer", opened)
    found = start.look_ahead(PLAN, evidence(drafter, steps=steps))
    assert found.positions == 2 * len(CASES)
    assert seen == [asked_of]
