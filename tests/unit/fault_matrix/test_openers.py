"""An opener takes the asking again on itself and leaves all else as it was."""

from __future__ import annotations

import msgspec
import pytest

from equivcheck.capture.plan import make_plan, warm_up
from equivcheck.core.cases import Suite
from equivcheck.core.generation import Prompt
from equivcheck.fault_matrix.events import look_at
from equivcheck.fault_matrix.openers import OPENER, open_with_one_token, without_openers
from equivcheck.fault_matrix.rigs import SELDOM, settings_with
from equivcheck.fault_matrix.schedules import ROWS, WRITERS, schedule
from equivcheck.fault_matrix.sessions import SYSTEM
from equivcheck.records.records import CANDIDATE, REPEAT
from tests.unit.make import make_evidence, make_generation


def written(name: str) -> Suite:
    return schedule(
        name, seed=0, encode=lambda text: [ord(letter) % 250 + 2 for letter in text], eos=0
    )


@pytest.mark.parametrize("name", WRITERS)
def test_the_others_are_asked_in_the_same_batches_and_only_it_again(name: str) -> None:
    suite = written(name)
    opened = open_with_one_token(suite)
    settings = settings_with()
    rare = msgspec.structs.replace(settings, probe_every=SELDOM)
    whole, brief = (
        make_plan(each, [cases], encode=lambda _: (1,) * SYSTEM, follow=lambda *_: Prompt((1,)))
        for each, cases in ((settings, suite), (rare, opened))
    )
    assert brief.planned[REPEAT] == (f"{name}/{OPENER}",)
    assert brief.others == whole.probes
    assert all(len(chunk) == ROWS for chunk in brief.others)
    assert warm_up(brief)[0].max_new_tokens == 1


def test_it_is_greedy_and_counts_as_another_case() -> None:
    suite = written("sampled")
    opened = open_with_one_token(suite)
    assert opened.cases[0].sampling.greedy
    assert opened.cases[1:] == suite.cases
    assert len(opened.lines) == len(opened.cases)
    assert opened.digest != suite.digest


def test_it_is_not_looked_at() -> None:
    keys = [f"plain/{OPENER}", "plain/00", "plain/01"]
    assert without_openers(keys) == ["plain/00", "plain/01"]
    evidence = make_evidence({CANDIDATE: [make_generation((5,), key=key) for key in keys]})
    assert len(look_at(evidence, "plain").answers) == 2
