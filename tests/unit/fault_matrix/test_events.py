"""Events occur when they have, and only then."""

from __future__ import annotations

from typing import Any

import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Generation, Request, Step
from equivcheck.fault_matrix.events import EVENTS, LOOKUP_EVENTS, Seen, missing_events
from equivcheck.records.records import CANDIDATE
from tests.unit.make import make_evidence, make_generation, make_request

HOT = Sampling(temperature=1.0)


def pair(steps: list[tuple[int, int, int]], **changes: Any) -> tuple[Request, Generation]:
    """A request and its answer, of steps of (drafted, accepted, emitted)."""
    told = [Step(drafted=d, accepted=a, emitted=e) for d, a, e in steps]
    asked = {name: changes.pop(name) for name in list(changes) if name in Request.__struct_fields__}
    tokens = (5,) * sum(step.emitted for step in told)
    answer = make_generation(tokens, steps=tuple(told), **changes)
    return make_request(**asked), answer


def seen(*asked: tuple[Request, Generation], gamma: int = 4, shuffled: int = 0) -> Seen:
    return Seen(asked=asked, gamma=gamma, shuffled=shuffled)


OCCURRED = {
    ("plain", "drafts partly accepted"): seen(pair([(4, 2, 3)])),
    ("repetitive", "six drafts accepted at once"): seen(pair([(7, 6, 7)]), gamma=7),
    ("long", "a block across position 64"): seen(pair([(4, 3, 4)], prompt_ids=tuple(range(62)))),
    ("mixed", "greedy and sampled rows in one batch"): seen(pair([]), pair([], sampling=HOT)),
    ("mixed", "a batch that shrinks"): seen(*(pair([(4, 0, 1)] * n) for n in range(1, 9))),
    ("endings", "the end of text in every slot"): seen(
        *(pair([(4, 4, slot + 1)], finish_reason="eos") for slot in range(5))
    ),
    ("endings", "an end of text inside a block"): seen(pair([(4, 4, 2)], finish_reason="eos")),
    ("endings", "a stop id inside a block"): seen(
        pair([(4, 4, 2)], finish_reason="stop", stop_token_ids=(5,))
    ),
    ("endings", "a stop string inside a block"): seen(
        pair([(4, 4, 2)], finish_reason="stop", stop=("x",))
    ),
    ("endings", "a stop at the limit"): seen(
        pair([(4, 4, 2)], finish_reason="stop", max_new_tokens=2)
    ),
    ("budgets", "every limit from 1 to a block and one more"): seen(
        *(pair([(0, 0, n)], finish_reason="length") for n in range(1, 7))
    ),
    ("borders", "a request that fills the context"): seen(
        pair([(4, 0, 1)], prompt_ids=tuple(range(255)))
    ),
    ("repeats", "the same prompt again"): seen(*(pair([]) for _ in range(3))),
    ("repeats", "a row that served before"): seen(pair([]), shuffled=9),
    ("ties", "an exact tie"): seen(pair([(4, 0, 1)], scores=((-0.7, 1, -0.7),))),
    ("noisy", "a token that noise has flipped"): seen(pair([]))._replace(parted=1),
    ("bans", "different bans in one batch"): seen(
        pair([], sampling=Sampling(banned_tokens=(1,))),
        pair([], sampling=Sampling(banned_tokens=(2,))),
    ),
}
NOTHING = seen(pair([(4, 0, 1)], finish_reason="length"), gamma=4)


@pytest.mark.parametrize(("schedule", "name"), OCCURRED)
def test_an_event_that_occurred_and_one_that_did_not(schedule: str, name: str) -> None:
    event = dict(EVENTS[schedule])[name]
    assert event(OCCURRED[schedule, name])
    assert not event(NOTHING)


def test_drafts_that_come_and_go() -> None:
    ((_, event),) = LOOKUP_EVENTS
    assert event(seen(pair([(4, 2, 3), (0, 0, 1)])))
    assert not event(seen(pair([(4, 0, 1), (0, 0, 1), (4, 2, 3)])))


def test_what_is_missing_is_named() -> None:
    answers = [make_generation((5,), key=f"{name}/00") for name in ("plain", "code")]
    evidence = make_evidence({CANDIDATE: answers})
    assert missing_events(evidence) == ["plain: drafts partly accepted"]
