"""How events are counted: by part, over answers and draws, and unknown where nobody can say."""

from __future__ import annotations

import pytest

from equivcheck.checks.events.endings import NOT_TOLD
from equivcheck.checks.events.kind import NO_SCORES, NO_STEPS
from equivcheck.checks.events.places import own_kinds
from equivcheck.checks.events.seen import StopPlace, look
from equivcheck.checks.events.vocabulary import BY_ID, EVENTS, count, events_of
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import CANDIDATE, REPEAT, SHUFFLED, TARGET
from tests.unit.checks.events.make import HOT, answer, event, seen
from tests.unit.make import (
    make_capabilities,
    make_evidence,
    make_generation,
    make_request,
    make_steps,
)


def test_the_rarest_part_counts() -> None:
    slots = [1, 1, 2, 3, 3, 3, 4, 5]
    found = event("eos-each-slot", *(answer((4, 4, n), finish_reason="eos") for n in slots))
    assert found.parts == {"slot 0": 2, "slot 1": 1, "slot 2": 3, "slot 3": 1, "slot 4": 1}
    assert found.count == 1


def test_draws_count_beside_answers() -> None:
    both = seen(answer((4, 4)))._replace(draws=[answer((4, 4)), answer((4, 4))])
    assert count(both, BY_ID["all-accepted-greedy"]).count == 3


def test_a_rejection_behind_a_cut_counts_only_where_it_is_named() -> None:
    cut = answer((4, 0), (4, 1, 1), finish_reason="eos")
    assert event("rejected-each-slot-greedy", cut, gamma=2).parts == {"slot 0": 1, "slot 1": 0}


def test_an_end_of_text_that_is_left_out_stands_in_the_slot_behind() -> None:
    found = event("eos-each-slot", answer((4, 4, 2), finish_reason="eos"), ends_with_eos=False)
    assert found.parts["slot 2"] == 1
    assert found.parts["slot 1"] == 0


@pytest.mark.parametrize("name", ["eos-each-slot", "all-accepted-greedy", "step-across-64"])
def test_slots_are_unknown_where_no_steps_are_told(name: str) -> None:
    found = event(name, answer(length=3, finish_reason="eos"))
    assert found.unknown == NO_STEPS
    assert not found.exercised


def test_ties_are_unknown_where_no_scores_are_told() -> None:
    assert event("near-tie", answer(length=1)).unknown == NO_SCORES


def test_old_records_do_not_say_whether_a_stop_string_spans_tokens() -> None:
    place = StopPlace(inside=True, across=None)
    old = answer((4, 4), finish_reason="stop", stop=("x",), stop_place=place)
    assert event("stop-string-across-tokens", old).unknown == NOT_TOLD
    assert event("stop-string-inside-token", old).count == 1


def test_the_place_of_a_stop_string_is_read_off_the_text() -> None:
    request = make_request(stop=("ex",), max_new_tokens=9)
    found = make_generation((5, 6), finish_reason="stop", steps=make_steps((4, 4, 2)))
    evidence = make_evidence({CANDIDATE: [found]}, requests=[request], completed_at={found.key: 1})
    (seen_answer,) = look(evidence).answers
    assert seen_answer.stop == StopPlace(inside=True, across=None)


def test_cases_that_are_asked_again_share_batches_with_each_other_only() -> None:
    answers = [make_generation(key=f"code/{n}") for n in range(6)]
    again = [each.key for each in answers[::2]]
    evidence = make_evidence(
        {TARGET: answers, CANDIDATE: answers, SHUFFLED: answers[::2]},
        planned={REPEAT: again},
        settings=Settings(setup=EngineSetup(batch_size=2)),
        arms=dict.fromkeys((TARGET, CANDIDATE, SHUFFLED), make_capabilities(batch_size=2)),
    )
    found = look(evidence)
    batches = [[each.request.key[-1] for each in batch] for batch in found.batches]
    assert batches == [["0", "2"], ["4"], ["1", "3"], ["5"]]
    assert count(found, BY_ID["refilled-row"]).count == 1


def test_an_engine_of_one_row_has_no_batches() -> None:
    answers = [make_generation(key=f"code/{n}") for n in range(2)]
    requests = [make_request("code/0"), make_request("code/1", sampling=HOT)]
    evidence = make_evidence({CANDIDATE: answers}, requests=requests)
    assert count(look(evidence), BY_ID["batch-greedy-sampled"]).count == 0


def test_only_the_cases_that_are_named_are_looked_at() -> None:
    answers = [make_generation(key=f"code/{n}") for n in range(2)]
    assert len(look(make_evidence({CANDIDATE: answers}), keys={"code/1"}).answers) == 1


def test_texts_past_the_sliding_windows_of_the_models_are_events_of_their_own() -> None:
    windows = {"target": 600, "draft": 600}
    beyond = answer(prompt_ids=(5,) * 598, length=3)
    short = answer(prompt_ids=(5,) * 598, length=2, sampling=HOT)
    found = seen(beyond, short, windows=windows, context=1024)
    greedy, sampled = (count(found, kind) for kind in own_kinds(found))
    assert (greedy.id, greedy.count) == ("greedy-past-600", 1)
    assert (sampled.id, sampled.count) == ("sampled-past-600", 0)
    assert sampled.sentence.endswith("position 600, the sliding window of the target and draft")


@pytest.mark.parametrize("window", [8, 512, 1024])
def test_a_window_that_other_events_pass_or_no_text_can_pass_is_none(window: int) -> None:
    assert own_kinds(seen(windows={"target": window}, context=1024)) == ()


def test_a_run_of_which_nothing_is_known_exercised_nothing() -> None:
    events = events_of(make_evidence({TARGET: []}))
    assert len(events) == len(EVENTS)
    assert not any(each.exercised for each in events)
