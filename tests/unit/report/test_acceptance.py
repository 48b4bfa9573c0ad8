"""Acceptance by slot, by population and by sequence position, from the records."""

from __future__ import annotations

import msgspec

from equivcheck.checks.verdict import judge
from equivcheck.core.cases import Sampling
from equivcheck.core.generation import DraftCounts
from equivcheck.records.records import CANDIDATE, TARGET, Evidence
from equivcheck.report import html, markdown, terminal
from equivcheck.report.acceptance import acceptance_lines, acceptance_view, group_cells, slot_cells
from equivcheck.report.view import view_of
from tests.unit.make import make_evidence, make_generation, make_request, make_steps

BLOCKS = {
    "code/greedy": ((3, 3), (3, 1), (0, 0)),
    "code/warm": ((3, 0), (3, 2)),
    "code/long": ((2, 2), (2, 2)),
}


def run(**blocks: tuple[tuple[int, int], ...]) -> Evidence:
    told = {key: blocks.get(key.partition("/")[2], steps) for key, steps in BLOCKS.items()}
    answers = [
        make_generation(
            range(10, 10 + sum(accepted + 1 for _, accepted in steps)),
            key=key,
            steps=make_steps(*steps),
        )
        for key, steps in told.items()
    ]
    requests = [
        make_request("code/greedy", prompt_ids=(5,) * 60, max_new_tokens=20),
        make_request("code/warm", sampling=Sampling(temperature=1.0), max_new_tokens=20),
        make_request("code/long", prompt_ids=(5,) * 600, max_new_tokens=20),
    ]
    return make_evidence({TARGET: answers, CANDIDATE: answers}, requests=requests)


def counted(slots: dict[str, tuple[int, ...]], *, untold: int = 0) -> Evidence:
    """Answers with counts of 10 drafts each: accepted by slot, or so many in slots untold."""
    answers = [
        make_generation(
            range(10, 22),
            key=key,
            counts=DraftCounts(drafted=10, accepted=sum(told) or untold, accepted_by_slot=told),
        )
        for key, told in slots.items()
    ]
    requests = [
        make_request(key, sampling=Sampling(temperature=float(key == "code/warm"))) for key in slots
    ]
    return make_evidence({TARGET: answers, CANDIDATE: answers}, requests=requests)


def test_slots_count_what_was_drafted_accepted_and_reached() -> None:
    view = acceptance_view(run())
    assert view is not None
    told = [(row.drafted, row.accepted, row.reached) for row in view.slots]
    assert told == [(6, 5, 6), (6, 4, 5), (4, 1, 2)]
    assert slot_cells(view.slots[2]) == ("2", "4", "1", "0.25", "0.50")


def test_populations_that_were_asked_have_a_row() -> None:
    view = acceptance_view(run())
    assert view is not None
    rows = {row.name: row for row in view.populations}
    assert rows.keys() == {"greedy prompts", "sampled prompts"}
    greedy, sampled = rows["greedy prompts"], rows["sampled prompts"]
    assert (greedy.prompts, greedy.drafted, greedy.accepted) == (2, 10, 8)
    assert greedy.interval is not None
    assert group_cells(sampled) == ("sampled prompts", "1", "6", "2", "0.33")


def test_a_population_that_was_never_drafted_for_is_shown() -> None:
    view = acceptance_view(run(warm=((0, 0), (0, 0))))
    assert view is not None
    sampled = next(row for row in view.populations if row.name == "sampled prompts")
    assert group_cells(sampled) == ("sampled prompts", "0", "0", "0", "n/a")


def test_a_step_counts_where_its_first_draft_stands() -> None:
    view = acceptance_view(run())
    assert view is not None
    told = {row.name: (row.prompts, row.drafted, row.accepted) for row in view.positions}
    # The second step of `code/greedy` begins at 64: its prompt has 60 tokens, the step before 4.
    assert told == {"0 to 63": (2, 9, 5), "64 to 127": (1, 3, 1), "512 to 1023": (1, 4, 4)}


def test_without_drafts_there_is_nothing_to_show() -> None:
    plain = dict.fromkeys(("greedy", "warm", "long"), ((0, 0), (0, 0)))
    assert acceptance_view(run(**plain)) is None
    evidence = run(**plain)
    assert "acceptance by slot" not in terminal.render(view_of(evidence, judge(evidence)))


def test_counts_a_request_stand_for_steps() -> None:
    evidence = counted({"code/greedy": (3, 1), "code/warm": (2, 2), "code/long": ()})
    view = acceptance_view(evidence)
    assert view is not None
    assert [slot_cells(row) for row in view.slots] == [
        ("0", "n/a", "5", "n/a", "n/a"),
        ("1", "n/a", "3", "n/a", "n/a"),
    ]
    assert [group_cells(row)[:4] for row in view.populations] == [
        ("greedy prompts", "2", "20", "4"),
        ("sampled prompts", "1", "10", "4"),
    ]
    assert view.positions == ()
    assert list(acceptance_lines(view)) == [
        "accepted drafts by slot: 0: 5 · 1: 3",
        "by population: greedy prompts: 0.20 · sampled prompts: 0.40",
    ]
    whole = view_of(evidence, judge(evidence))
    assert "| 0 | n/a | 5 | n/a | n/a |" in markdown.render(whole)
    assert '<td class="number">5</td>' in html.render(whole)


def test_slots_that_one_answer_does_not_tell_are_not_shown() -> None:
    evidence = counted({"code/greedy": (3, 1), "code/warm": ()}, untold=4)
    view = acceptance_view(evidence)
    assert view is not None
    assert view.slots == ()
    assert list(acceptance_lines(view)) == [
        "by population: greedy prompts: 0.40 · sampled prompts: 0.40"
    ]
    assert "### Acceptance\n\n| population" in markdown.render(view_of(evidence, judge(evidence)))


def test_the_terminal_is_short_and_the_other_faces_are_whole() -> None:
    evidence = run()
    view = view_of(evidence, judge(evidence))
    assert view.acceptance is not None
    assert list(acceptance_lines(view.acceptance)) == [
        "acceptance by slot: 0: 0.83 · 1: 0.67 · 2: 0.25",
        "by population: greedy prompts: 0.80 · sampled prompts: 0.33",
        "by sequence position: 0 to 63: 0.56 · 64 to 127: 0.33 · 512 to 1023: 1.00",
    ]
    assert "acceptance by slot: 0: 0.83" in terminal.render(view)
    assert "| 64 to 127 | 1 | 3 | 1 | 0.33 |" in markdown.render(view)
    assert '<td class="number">0.83</td>' in html.render(view)
    built = msgspec.to_builtins(view)["acceptance"]
    assert built["slots"][0] == {"slot": 0, "drafted": 6, "accepted": 5, "reached": 6}
