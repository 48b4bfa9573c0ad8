"""A candidate that is lossy by a setting is neither accused nor passed; its distance is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from equivcheck.checks.verdict import judge
from equivcheck.core.engine_tables import EngineTable
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.settings import Settings
from equivcheck.records.records import CANDIDATE, CONTROL, TARGET, Evidence, Grade
from tests.unit.make import (
    make_arbitration,
    make_capabilities,
    make_evidence,
    make_gaps,
    make_generation,
    make_steps,
)

SAME, OTHER = (10, 11, 12, 13), (10, 11, 77, 78)
LOSSY = "http:url=http://h:1,lossy=rejection_sample_method=synthetic"
START = 'vllm serve m --speculative-config \'{"rejection_sample_method": "synthetic"}\''


def run(
    told: str = "native:gamma=4", *, settings: Settings | None = None, **candidate: Any
) -> Evidence:
    """Two prompts, of which the second parts, far from any near tie."""
    keys = ("code/one", "code/two")
    off = make_arbitration(
        key="code/two",
        target_piece="a",
        arm_piece="b",
        target_logprob=-0.1,
        arm_logprob=-5.0,
        best=12,
        best_logprob=-0.1,
        arm_gaps=make_gaps(0, 0, 4.9, 0),
    )
    steps = make_steps((4, 2, 3), (4, 0, 1))
    arms = {
        TARGET: make_capabilities(),
        CONTROL: make_capabilities(),
        CANDIDATE: make_capabilities(
            engine=told, num_speculative_tokens=4, reports_steps=True, **candidate
        ),
    }
    evidence = make_evidence(
        {
            TARGET: [make_generation(SAME, key=key) for key in keys],
            CONTROL: [make_generation(SAME, key=key) for key in keys],
            CANDIDATE: [
                make_generation(SAME, key=keys[0], steps=steps),
                make_generation(OTHER, key=keys[1], steps=steps),
            ],
        },
        arms=arms,
        arbitrations=[off],
        settings=settings,
    )
    graded = (
        Grade(key=keys[1], arm=TARGET, grader="exact", result="right", why=""),
        Grade(key=keys[1], arm=CANDIDATE, grader="exact", result="wrong", why=""),
    )
    return msgspec.structs.replace(evidence, grades=graded)


def test_without_such_a_setting_it_is_accused() -> None:
    verdict = judge(run())
    assert verdict.outcome is Outcome.FAIL
    failed = {each.check for each in verdict.findings if each.outcome is Outcome.FAIL}
    assert {"greedy", "score"} <= failed


@pytest.mark.parametrize(
    "evidence",
    [
        run(LOSSY),
        run(lossy=("speculative_accept_threshold_single=0.3",)),
        run(
            settings=Settings(
                candidate="mine:batch=1",
                engine={"mine": EngineTable(engine="http://h:1", start=START)},
            )
        ),
        run(
            settings=Settings(
                candidate="mine",
                engine={
                    "mine": EngineTable(
                        engine="http://h:1", env={"SGLANG_SIMULATE_ACC_LEN": "3"}, start="x"
                    )
                },
            )
        ),
    ],
    ids=["option", "told", "command", "environment"],
)
def test_with_one_it_is_neither_accused_nor_passed(evidence: Evidence) -> None:
    verdict = judge(evidence)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.headline.startswith("LOSSY BY SETTING — lossy by setting ")
    found = verdict.findings[0]
    assert (found.check, found.reason) == ("lossy", Reason.LOSSY_SETTING)
    assert "neither identity nor the distribution is claimed" in found.headline
    # The one token, not what follows from it.
    assert found.details == (
        "greedy: 1 of 2 prompts identical, and 1 of 8 tokens (12.5%) are not the target's best "
        "behind their own text",
    )
    assert not {each.check for each in verdict.findings} & {"greedy", "coupled", "sampled"}


def test_what_is_graded_is_compared_as_a_share_of_prompts() -> None:
    found = [each for each in judge(run(LOSSY)).findings if each.check == "score"]
    assert [each.outcome for each in found] == [Outcome.PASS]
    assert "difference -1.00 [" in found[0].headline


def test_other_faults_are_still_told() -> None:
    evidence = run(LOSSY)
    long = make_generation((*SAME, 9, 9), key="code/one", steps=make_steps((4, 4, 5), (4, 0, 1)))
    answers = dict(evidence.captured[CANDIDATE])
    answers["code/one"] = msgspec.structs.replace(answers["code/one"], generation=long)
    captured = {**evidence.captured, CANDIDATE: answers}
    verdict = judge(msgspec.structs.replace(evidence, captured=captured))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.headline.startswith("LOSSY BY SETTING — ")
    assert verdict.headline.endswith("; failed: stopping")
