"""Cases that say something of each other: read, refused by file, line and field, and selected."""

from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.core.cases import Case
from equivcheck.core.errors import SuiteError
from equivcheck.core.load_suites import load_suite, select
from equivcheck.core.schedule import leaders_of, turns_before, waves

HEADER = '{"equivcheck": 1, "workload": "code"}\n'
DISTRIBUTION = '{"equivcheck": 1, "workload": "code", "law": true}\n'
MESSAGES = '"messages": [{"role": "user", "content": "x"}]'


def write(folder: Path, *lines: str, header: str = HEADER) -> str:
    file = folder / "code.jsonl"
    file.write_text(header + "".join(f"{line}\n" for line in lines))
    return str(file)


FIRST = f'{{"id": "a.1", "session": "a", {MESSAGES}}}'
SECOND = f'{{"id": "a.2", "session": "a", {MESSAGES}}}'


def test_samples_are_cases_of_their_own_on_one_line(tmp_path: Path) -> None:
    line = '{"id": "poem", "prompt": "x", "n": 3, "sampling": {"temperature": 1}}'
    suite = load_suite(write(tmp_path, line))
    assert [case.id for case in suite.cases] == ["poem.1", "poem.2", "poem.3"]
    assert {case.n for case in suite.cases} == {1}
    assert suite.lines == (2, 2, 2)


def test_turns_follow_in_the_order_of_lines_whatever_stands_between(tmp_path: Path) -> None:
    between = '{"id": "b", "prompt": "x", "after": "a.1"}'
    behind = '{"id": "c", "prompt": "x", "after": "a.2"}'
    suite = load_suite(write(tmp_path, FIRST, between, SECOND, behind))
    assert waves(suite.cases) == {"a.1": 0, "b": 1, "a.2": 1, "c": 2}
    before = turns_before(suite.cases)
    assert {key: [turn.id for turn in turns] for key, turns in before.items()} == {"a.2": ["a.1"]}


def test_a_case_without_time_is_in_the_first_wave() -> None:
    assert waves([Case(id="a", prompt="x"), Case(id="b", prompt="x")]) == {"a": 0, "b": 0}


def test_a_kept_case_keeps_what_it_needs(tmp_path: Path) -> None:
    lines = (
        FIRST,
        SECOND,
        '{"id": "b", "prompt": "x"}',
        '{"id": "c", "prompt": "x", "shares_prefix_with": {"id": "a.1"}}',
        '{"id": "d", "prompt": "x", "after": "c"}',
    )
    suite = load_suite(write(tmp_path, *lines))

    def kept(key: str) -> list[str]:
        (left,) = select([suite], [key])
        return [case.id for case in left.cases]

    assert kept("code/a.2") == ["a.1", "a.2"]
    assert kept("code/b") == ["b"]
    assert kept("code/d") == ["a.1", "c", "d"]


PROBLEMS = {
    "after-nothing": (
        ['{"id": "b", "prompt": "x", "after": "a"}'],
        "code.jsonl:2: after: no case 'a' on an earlier line",
    ),
    "after-a-later-line": (
        ['{"id": "b", "prompt": "x", "after": "c"}', '{"id": "c", "prompt": "x"}'],
        "code.jsonl:2: after: no case 'c' on an earlier line",
    ),
    "after-a-slip": (
        ['{"id": "king", "prompt": "x"}', '{"id": "b", "prompt": "x", "after": "kign"}'],
        "code.jsonl:3: after: no case 'kign' on an earlier line (did you mean 'king'?)",
    ),
    "prefix-of-nothing": (
        ['{"id": "b", "prompt": "x", "shares_prefix_with": {"id": "a"}}'],
        "code.jsonl:2: shares_prefix_with.id: no case 'a' on an earlier line",
    ),
    "prefix-of-no-tokens": (
        ['{"id": "b", "prompt": "x", "shares_prefix_with": {"id": "a", "tokens": 0}}'],
        "code.jsonl:2: shares_prefix_with.tokens: expected `int` >= 1",
    ),
    "prefix-unknown-key": (
        ['{"id": "b", "prompt": "x", "shares_prefix_with": {"id": "a", "token": 1}}'],
        "code.jsonl:2: shares_prefix_with.token: unknown key (did you mean 'tokens'?)",
    ),
    "prefix-of-messages": (
        [FIRST, f'{{"id": "b", {MESSAGES}, "shares_prefix_with": {{"id": "a.1"}}}}'],
        "code.jsonl:3: shares_prefix_with: goes with prompt or token_ids, not with messages",
    ),
    "prefix-of-a-turn": (
        [FIRST, SECOND, '{"id": "b", "prompt": "x", "shares_prefix_with": {"id": "a.2"}}'],
        "code.jsonl:4: shares_prefix_with.id: the prompt of 'a.2' hangs on an answer",
    ),
    "prefix-in-a-later-turn": (
        [
            '{"id": "a.1", "session": "a", "prompt": "x"}',
            '{"id": "a.2", "session": "a", "prompt": "x", "shares_prefix_with": {"id": "a.1"}}',
        ],
        "code.jsonl:3: shares_prefix_with: a later turn begins with the turns before it",
    ),
    "mixed-session": (
        [FIRST, '{"id": "a.2", "session": "a", "prompt": "x"}'],
        "code.jsonl:3: session: all turns of a session have messages, or none has",
    ),
    "greedy-samples": (
        ['{"id": "a", "prompt": "x", "n": 2}'],
        "code.jsonl:2: n: samples of a greedy case are all the same",
    ),
    "no-samples": (['{"id": "a", "prompt": "x", "n": 0}'], "code.jsonl:2: n: expected `int` >= 1"),
    "samples-of-a-turn": (
        ['{"id": "a", "prompt": "x", "n": 2, "session": "s", "sampling": {"temperature": 1}}'],
        "code.jsonl:2: n: a turn of a session has one answer",
    ),
    "samples-collide": (
        [
            '{"id": "a.2", "prompt": "x"}',
            '{"id": "a", "prompt": "x", "n": 2, "sampling": {"temperature": 1}}',
        ],
        "code.jsonl:3: id: 'a.2' is already used on line 2",
    ),
}


@pytest.mark.parametrize(("lines", "message"), PROBLEMS.values(), ids=PROBLEMS)
def test_errors_name_file_line_and_field(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite(write(tmp_path, *lines))
    assert message in str(caught.value)


def test_a_suite_of_a_distribution_has_no_sessions(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"code\.jsonl:2: session: a suite whose header says law"):
        load_suite(write(tmp_path, FIRST, header=DISTRIBUTION))


def test_cases_that_belong_together_go_into_one_shard(tmp_path: Path) -> None:
    lines = (
        FIRST,
        '{"id": "alone", "prompt": "x"}',
        '{"id": "base", "prompt": "x"}',
        '{"id": "like", "prompt": "x", "shares_prefix_with": {"id": "base"}}',
        SECOND,
        '{"id": "behind", "prompt": "x", "after": "a.2"}',
        # It joins two that were apart until then.
        '{"id": "both", "prompt": "x", "after": "like", "shares_prefix_with": {"id": "behind"}}',
    )
    found = leaders_of([load_suite(write(tmp_path, *lines))])
    joined = ("base", "like", "a.2", "behind", "both")
    assert found == {f"code/{name}": "code/a.1" for name in joined}


def test_a_suite_with_times_goes_into_one_shard(tmp_path: Path) -> None:
    lines = [f'{{"id": "{name}", "prompt": "x"}}' for name in "abc"]
    assert leaders_of([load_suite(write(tmp_path, *lines))]) == {}
    lines[2] = '{"id": "c", "prompt": "x", "arrives": {"step": 3}}'
    found = leaders_of([load_suite(write(tmp_path, *lines))])
    assert found == {"code/b": "code/a", "code/c": "code/a"}
