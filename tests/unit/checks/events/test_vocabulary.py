"""Every event has records that hold it and records that do not."""

from __future__ import annotations

import re
from typing import Any

import pytest

from equivcheck.checks.events.seen import Seen, StopPlace
from equivcheck.checks.events.vocabulary import BY_ID, EVENTS, RIG_EVENTS, count
from equivcheck.core.cases import Sampling
from equivcheck.core.ties import TYING_BIAS
from tests.unit.checks.events.make import BIASED, HOT, PENALISED, answer, seen
from tests.unit.source import ROOT

POPULATIONS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampled": {"sampling": HOT},
    "penalised": {"sampling": PENALISED},
    "biased": {"sampling": BIASED},
    "stop": {"stop": ("x",)},
}
STOPPED: dict[str, Any] = {"finish_reason": "stop", "stop_token_ids": (5,)}
TIED = Sampling(temperature=1.0, top_k=1, logit_bias={7: TYING_BIAS, 8: TYING_BIAS})
NEAR = Sampling(temperature=1.0, top_k=1, logit_bias={5: 65536.0, 8: 65536.0})


LONG = answer(prompt_ids=(5,) * 16)


def by_string(place: StopPlace) -> Seen:
    return seen(answer((4, 4, 2), finish_reason="stop", stop=("x",), stop_place=place))


OCCURRED = {
    "eos-each-slot": seen(*(answer((4, 4, n), finish_reason="eos") for n in range(1, 6))),
    "eos-in-block": seen(answer((4, 4, 2), finish_reason="eos")),
    "stop-id-each-slot": seen(*(answer((4, 4, n), **STOPPED) for n in range(1, 6))),
    "stop-id-in-block": seen(answer((4, 4, 2), **STOPPED)),
    "stop-string-in-block": seen(answer((4, 4, 2), finish_reason="stop", stop=("x",))),
    "stop-string-inside-token": by_string(StopPlace(inside=True, across=False)),
    "stop-string-at-token-end": by_string(StopPlace(inside=False, across=False)),
    "stop-string-across-tokens": by_string(StopPlace(inside=False, across=True)),
    "stop-at-limit": seen(answer((4, 4, 2), finish_reason="stop", max_new_tokens=2)),
    "limit-each-length": seen(*(answer(length=n, max_new_tokens=n) for n in range(1, 6))),
    "minimum-each-length": seen(
        *(
            answer(length=n + 1, finish_reason="eos", sampling=Sampling(min_new_tokens=n))
            for n in range(1, 6)
        )
    ),
    "partly-accepted": seen(answer((4, 2))),
    **{
        f"all-accepted-{name}": seen(answer((4, 4), **asked)) for name, asked in POPULATIONS.items()
    },
    **{
        f"rejected-each-slot-{name}": seen(answer((4, 0), (4, 1), (4, 2), (4, 3), (4, 4), **asked))
        for name, asked in POPULATIONS.items()
    },
    **{
        f"greedy-past-{n}": seen(answer(length=2, prompt_ids=(5,) * (n - 1)))
        for n in (128, 256, 512)
    },
    **{
        f"sampled-past-{n}": seen(answer(length=2, prompt_ids=(5,) * (n - 1), sampling=HOT))
        for n in (128, 256, 512)
    },
    "step-across-16": seen(answer((4, 2), prompt_ids=(5,) * 14)),
    "step-across-64": seen(answer((4, 2), prompt_ids=(5,) * 62)),
    "prompt-again": seen(answer(key="a/1"), answer(key="a/2")),
    "shared-16": seen(
        *(answer(prompt_ids=(5,) * n + (n, end)) for n in (16, 17) for end in (6, 7)),
        *(answer(prompt_ids=(5,) * 16 + (end,)) for end in (8, 9)),
    ),
    "shared-64": seen(
        *(answer(prompt_ids=(6,) * 64 + (end,)) for end in (6, 7)),
        *(answer(prompt_ids=(7,) * 65 + (end,)) for end in (6, 7)),
    ),
    "prefix-again": seen()._replace(batches=[[LONG], [LONG]]),
    "later-turn": seen(later_turns=1),
    "refilled-row": seen(shuffled=9, rows=8),
    "batch-greedy-sampled": seen(answer(), answer(sampling=HOT)),
    "batch-penalised-plain": seen(answer(), answer(sampling=PENALISED)),
    "batch-parameters": seen(answer(), answer(sampling=HOT), answer(sampling=PENALISED)),
    "batch-bans": seen(answer(), answer(sampling=Sampling(banned_tokens=(1,)))),
    "batch-long-short": seen(answer(), answer(prompt_ids=(5,) * 67)),
    "batch-equal-lengths": seen(answer(), answer(prompt_ids=(5, 6, 8))),
    "batch-shrinks": seen(*(answer(*[(4, 0)] * n) for n in (1, 2))),
    "exact-tie": seen(answer(length=1, sampling=TIED)),
    "near-tie": seen(answer(length=1, sampling=NEAR, scores=((-0.69, 8, -0.7),))),
    "six-accepted": seen(answer((7, 6)), gamma=7),
    "no-drafts-after-accepted": seen(answer((4, 2), (0, 0))),
    "context-filled": seen(answer(length=1, prompt_ids=(5,) * 255), context=256),
    "noise-flips": seen(answer(), parted=1),
}
ALMOST = {
    "eos-each-slot": seen(*(answer((4, 4, n), finish_reason="eos") for n in range(1, 5))),
    "eos-in-block": seen(answer((4, 1, 2), finish_reason="eos"), answer((4, 4, 2), **STOPPED)),
    "stop-id-each-slot": seen(*(answer((4, 4, n), finish_reason="eos") for n in range(1, 6))),
    "stop-id-in-block": seen(answer((4, 1, 2), **STOPPED)),
    "stop-string-in-block": seen(answer((4, 4, 2), stop=("x",), **STOPPED)),
    "stop-string-inside-token": OCCURRED["stop-string-at-token-end"],
    "stop-string-at-token-end": OCCURRED["stop-string-inside-token"],
    "stop-string-across-tokens": OCCURRED["stop-string-at-token-end"],
    "stop-at-limit": seen(answer((4, 4, 2), max_new_tokens=2)),
    "limit-each-length": seen(*(answer(length=n, max_new_tokens=9) for n in range(1, 6))),
    "minimum-each-length": seen(
        *(
            answer(length=n + 2, finish_reason="eos", sampling=Sampling(min_new_tokens=n))
            for n in range(1, 6)
        )
    ),
    "shared-16": seen(*(answer(prompt_ids=(5,) * 17 + (end,)) for end in (6, 7))),
    "shared-64": seen(*(answer(prompt_ids=(5,) * 64 + (end,)) for end in (6, 7))),
    "prompt-again": seen(answer(), answer(prompt_ids=(1,))),
    "prefix-again": seen()._replace(batches=[[LONG, LONG]]),
    "refilled-row": seen(shuffled=8, rows=8),
    "batch-greedy-sampled": seen(answer(sampling=HOT), answer(sampling=HOT)),
    "batch-penalised-plain": seen(answer(sampling=PENALISED)),
    "batch-long-short": seen(answer(), answer(prompt_ids=(5,) * 66)),
    "batch-equal-lengths": seen(answer(), answer()),
    "exact-tie": seen(answer(length=1, sampling=HOT, scores=((-0.7, 8, -0.7),))),
    "near-tie": seen(
        answer(length=1, sampling=NEAR, scores=((-0.7, 8, -0.7),)),
        answer(length=1, sampling=NEAR, scores=((-0.3, 8, -0.9),)),
    ),
    "no-drafts-after-accepted": seen(answer((4, 0), (0, 0))),
}
"""What comes close, where there is something."""
NOTHING = seen(answer((4, 0), length=1, scores=((-0.1, 8, -2.0),)))


@pytest.mark.parametrize("name", BY_ID)
def test_an_event_that_occurred_and_one_that_did_not(name: str) -> None:
    kind = BY_ID[name]
    assert count(OCCURRED[name], kind).exercised
    for other in (NOTHING, ALMOST.get(name, NOTHING)):
        found = count(other, kind)
        assert not found.exercised
        assert found.unknown is None


def test_every_event_has_an_id_of_its_own() -> None:
    assert len(BY_ID) == len(EVENTS) + len(RIG_EVENTS)


def test_a_population_does_not_count_for_another() -> None:
    for name, asked in POPULATIONS.items():
        if name != "greedy":
            others = set(POPULATIONS) - {name, "greedy"}
            only = seen(answer((4, 4), **asked))
            assert not any(count(only, BY_ID[f"all-accepted-{each}"]).exercised for each in others)


def test_the_page_lists_every_event_in_its_table() -> None:
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    names = re.findall(r"^\| (`.+?`) \|", page, re.MULTILINE)
    listed = [name for cell in names for name in re.findall(r"`([^`]+)`", cell)]
    assert sorted(listed) == sorted(kind.id for kind in EVENTS)
