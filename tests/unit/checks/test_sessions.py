"""The check of sessions: what was compared, what was not, and that the reason is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from equivcheck.checks import complete, greedy, sessions
from equivcheck.checks.judged import OTHER_HISTORY, judged_of
from equivcheck.checks.verdict import judge
from equivcheck.core.errors import RecordsError
from equivcheck.core.findings import Outcome, Reason
from equivcheck.records.evidence_digest import evidence_digest
from equivcheck.records.records import CANDIDATE, TARGET, Evidence, GenerationRecord, RequestRecord
from equivcheck.records.records_file import RecordsWriter, read_evidence
from tests.unit.make import make_capabilities, make_generation, make_header, make_request

KEYS = tuple(f"code/a.{turn}" for turn in (1, 2, 3))
Answers = Mapping[str, Sequence[int]]


def evidence_of(
    folder: Path, target: Answers, candidate: Answers, *, prompts: Answers | None = None
) -> Evidence:
    """A session whose turns each add the id 5 to what was before.

    Args:
        folder: For the file.
        target: Key to answer.
        candidate: Key to answer.
        prompts: Of the candidate, where they are not what its answers make them.
    """
    arms = dict.fromkeys((TARGET, CANDIDATE), make_capabilities(identity="x"))
    header = make_header(arms=arms, planned=dict.fromkeys(arms, KEYS))
    writer = RecordsWriter.create(folder / "records.jsonl", header)
    with writer:
        for turn, key in enumerate(KEYS):
            asked = RequestRecord(
                request=make_request(key, prompt_ids=(5,) * (turn + 1)),
                workload="code",
                path="suites/code.jsonl",
                line=turn + 2,
                session="a",
                before=KEYS[:turn],
                wave=turn,
            )
            writer.append(asked)
        for arm, answers in ((TARGET, target), (CANDIDATE, candidate)):
            ids: tuple[int, ...] = (5,)
            for turn, (key, answer) in enumerate(answers.items()):
                own = tuple((prompts or {}).get(key, ids)) if arm == CANDIDATE else ids
                given = make_generation(answer, key=key, prompt_tokens=len(own))
                told = own if turn else None
                writer.append(GenerationRecord(arm=arm, generation=given, text="", prompt_ids=told))
                ids = (*ids, *answer, 5)
    return read_evidence(folder)


SOUND = {KEYS[0]: (10, 11), KEYS[1]: (12,), KEYS[2]: (13,)}
PARTED = {KEYS[0]: (10, 11), KEYS[1]: (19,), KEYS[2]: (13,)}


def test_turns_behind_the_same_history_are_compared(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path, SOUND, SOUND)
    (found,) = sessions.check(evidence)
    assert (found.outcome, found.reason, found.n) == (Outcome.PASS, Reason.HELD, 2)
    assert found.headline == "2 of 2 later turns compared behind the same history"
    assert [each.subject for each in greedy.check(evidence)] == [*KEYS, "code"]


def test_the_first_turn_that_differs_is_told_and_what_follows_is_not_judged(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path, SOUND, PARTED)
    (found,) = sessions.check(evidence)
    assert (found.outcome, found.reason) == (Outcome.PASS, Reason.OTHER_HISTORY)
    assert found.headline == (
        "1 of 2 later turns compared behind the same history, 1 not judged: an earlier turn was "
        "answered otherwise"
    )
    assert found.details == ("code/a.2 is the first turn that differs; behind it: code/a.3",)
    failed = [each for each in greedy.check(evidence) if each.outcome is Outcome.FAIL]
    assert [each.subject for each in failed] == ["code/a.2", "code"]
    assert failed[0].details[-1] == (
        "turn 2 of session a; not judged, as they follow from it: code/a.3"
    )
    assert judge(evidence).outcome is Outcome.FAIL
    assert sessions.why_not_judged(evidence, KEYS[2]) == "code/a.2 was answered otherwise"
    assert sessions.why_not_judged(evidence, KEYS[1]) is None
    counted = {each.check: each for each in judged_of(evidence)}
    assert (counted["greedy"].judged, counted["greedy"].not_judged) == (2, {OTHER_HISTORY: 1})
    assert [each.reason for each in complete.check(evidence)] == [Reason.HELD]


def test_nothing_compared_is_no_pass(tmp_path: Path) -> None:
    parted = {KEYS[0]: (10, 19), KEYS[1]: (12,), KEYS[2]: (13,)}
    (found,) = sessions.check(evidence_of(tmp_path, SOUND, parted))
    assert (found.outcome, found.n) == (Outcome.INCONCLUSIVE, 0)


def test_another_prompt_behind_the_same_answers_is_no_pass(tmp_path: Path) -> None:
    other = {KEYS[2]: (5, 10, 11, 5, 12, 6)}
    found = sessions.check(evidence_of(tmp_path, SOUND, SOUND, prompts=other))
    assert [(each.subject, each.outcome) for each in found] == [
        (KEYS[2], Outcome.INCONCLUSIVE),
        ("code", Outcome.PASS),
    ]
    assert "got another prompt than target, though both answered all 2 turns" in found[0].headline


def test_answers_behind_another_history_are_part_of_the_digest(tmp_path: Path) -> None:
    digests = set()
    for last in (13, 14):
        folder = tmp_path / str(last)
        folder.mkdir()
        digests.add(evidence_digest(evidence_of(folder, SOUND, PARTED | {KEYS[2]: (last,)})))
    assert len(digests) == 2


def test_only_later_turns_have_a_prompt_of_their_own(tmp_path: Path) -> None:
    evidence_of(tmp_path, SOUND, {})
    writer = RecordsWriter.resume(tmp_path / "records.jsonl", read_evidence(tmp_path).header)[0]
    first = make_generation((10,), key=KEYS[0], prompt_tokens=1)
    with writer:
        writer.append(GenerationRecord(arm=CANDIDATE, generation=first, text="", prompt_ids=(5,)))
    with pytest.raises(RecordsError, match=r"candidate answers 'code/a\.1' with a prompt of its"):
        read_evidence(tmp_path)


def test_a_suite_without_sessions_has_nothing_to_say() -> None:
    header = make_header()
    assert sessions.check(Evidence(header=header, asked={}, captured={})) == []
