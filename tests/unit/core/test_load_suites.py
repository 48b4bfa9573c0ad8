from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from equivcheck.core.errors import SuiteError
from equivcheck.core.load_suites import load_suite, load_suites, select

Write = Callable[..., str]
HEADER = b'{"equivcheck": 1, "workload": "code", "description": "d"}\n'
ONE = b'{"id": "one", "prompt": "x"}\n'


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write_file(content: bytes, name: str = "code.jsonl") -> str:
        Path(name).write_bytes(content)
        return name

    return write_file


def test_reads_cases_with_their_lines_and_digest(write: Write) -> None:
    content = HEADER + b"\n" + ONE + b"   \n" + b'{"id": "two", "token_ids": [1, 2]}\n'
    suite = load_suite(write(content))
    assert (suite.path, suite.workload, suite.description) == ("code.jsonl", "code", "d")
    assert [case.id for case in suite.cases] == ["one", "two"]
    assert suite.lines == (3, 5)
    assert suite.digest == hashlib.sha256(content).hexdigest()
    assert suite.key(suite.cases[1]) == "code/two"


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + HEADER + ONE,
        HEADER + ONE.rstrip(b"\n"),
        (HEADER + ONE).replace(b"\n", b"\r\n"),
        b"\n\n" + HEADER + ONE,
    ],
    ids=["bom", "no-last-newline", "crlf", "leading-blank-lines"],
)
def test_tolerates_what_editors_do(write: Write, content: bytes) -> None:
    assert [case.prompt for case in load_suite(write(content)).cases] == ["x"]


def case_line(rest: str) -> bytes:
    return HEADER + f'{{"id": "one", "prompt": "x"{rest}}}\n'.encode()


PROBLEMS = {
    "wrong-type": (
        case_line(', "sampling": {"temperature": "hot"}'),
        "code.jsonl:2: sampling.temperature: expected `float`, got `str`",
    ),
    "out-of-range": (
        case_line(', "max_new_tokens": 0'),
        "code.jsonl:2: max_new_tokens: expected `int` >= 1",
    ),
    "unknown-key": (
        case_line(', "max_new_token": 3'),
        "code.jsonl:2: max_new_token: unknown key (did you mean 'max_new_tokens'?); known: id, ",
    ),
    "unknown-inner-key": (
        case_line(', "sampling": {"tempurature": 1}'),
        "code.jsonl:2: sampling.tempurature: unknown key (did you mean 'temperature'?); known: ",
    ),
    "unknown-message-key": (
        HEADER + b'{"id": "one", "messages": [{"role": "user", "contents": "x"}]}\n',
        "code.jsonl:2: messages[0].contents: unknown key (did you mean 'content'?); known: role, ",
    ),
    "wrong-role": (
        HEADER + b'{"id": "one", "messages": [{"role": "uesr", "content": "x"}]}\n',
        "code.jsonl:2: messages[0].role: 'uesr' is not a valid value (did you mean 'user'?); "
        "valid: system, user, assistant",
    ),
    "silent-turn": (
        HEADER + b'{"id": "one", "messages": [{"role": "user"}]}\n',
        "code.jsonl:2: messages[0].content: missing",
    ),
    "tools-without-a-template": (
        case_line(', "tools": [{"type": "function"}]'),
        "code.jsonl:2: tools: only a chat template reads them; give messages",
    ),
    "words-that-say-how-to-render": (
        HEADER
        + b'{"id": "one", "messages": [{"role": "user", "content": "x"}], '
        + b'"chat_template_kwargs": {"tokenize": false}}\n',
        "code.jsonl:2: chat_template_kwargs: tokenize: not for a suite to choose",
    ),
    "missing-id": (HEADER + b'{"prompt": "x"}\n', "code.jsonl:2: id: missing"),
    "missing-inner": (
        case_line(', "grader": {}'),
        "code.jsonl:2: grader.kind: missing",
    ),
    "unknown-grader": (
        case_line(', "grader": {"kind": "exakt", "answer": "x"}'),
        "code.jsonl:2: grader.kind: 'exakt' is not a valid value (did you mean 'exact'?); "
        "valid: exact, regex, json, sql, python",
    ),
    "unknown-grader-key": (
        case_line(', "grader": {"kind": "sql", "fixtur": "x"}'),
        "code.jsonl:2: grader.fixtur: unknown key (did you mean 'fixture'?); known: fixture, rows",
    ),
    "missing-grader-key": (
        case_line(', "grader": {"kind": "exact"}'),
        "code.jsonl:2: grader.answer: missing",
    ),
    "grader-of-no-kind": (case_line(', "grader": 3'), "code.jsonl:2: grader: expected `object"),
    "kind-of-no-kind": (
        case_line(', "grader": {"kind": 3}'),
        "code.jsonl:2: grader.kind: expected",
    ),
    "no-pattern": (
        case_line(', "grader": {"kind": "regex", "pattern": "("}'),
        "code.jsonl:2: grader.pattern: missing ), unterminated subpattern",
    ),
    "tests-that-cannot-fail": (
        case_line(', "grader": {"kind": "python", "tests": "x = 1"}'),
        "code.jsonl:2: grader.tests: assert nothing, so that any code would pass",
    ),
    "tests-too-deep": (
        case_line(f', "grader": {{"kind": "python", "tests": "{"-" * 99_999}1"}}'),
        "code.jsonl:2: grader.tests: nested too deeply",
    ),
    "bad-cell": (
        case_line(', "grader": {"kind": "sql", "fixture": "", "rows": [[1, []]]}'),
        "code.jsonl:2: grader.rows[0][1]: expected `int | float | str | null`, got `array`",
    ),
    "bad-id": (
        HEADER + b'{"id": "One!", "prompt": "x"}\n',
        "code.jsonl:2: id: expected `str` matching regex",
    ),
    "bad-bias-key": (
        case_line(', "sampling": {"logit_bias": {"x": 1}}'),
        "code.jsonl:2: sampling.logit_bias: keys: expected `int`, got `str`",
    ),
    "huge-float": (
        case_line(', "sampling": {"presence_penalty": 1e999}'),
        "code.jsonl:2: sampling.presence_penalty: number out of range",
    ),
    "overflowing-bias": (
        case_line(', "sampling": {"logit_bias": {"7": 1e39}}'),
        "code.jsonl:2: sampling.logit_bias[...]: expected `float` <= 1000000000000.0",
    ),
    "freezing": (
        case_line(', "sampling": {"temperature": 1e-38}'),
        "code.jsonl:2: sampling.temperature: 1e-38 is below 1e-05; write 0 for greedy",
    ),
    "huge-int": (
        case_line(', "seed": 99999999999999999999999'),
        "code.jsonl:2: seed: expected `int` <= 4294967295",
    ),
    "huge-token": (
        case_line(', "stop_token_ids": [99999999999999999999999]'),
        "code.jsonl:2: stop_token_ids[0]: expected `int` <= 2147483647",
    ),
    "nan": (
        case_line(', "sampling": {"temperature": NaN}'),
        "code.jsonl:2: not valid JSON: invalid character",
    ),
    "infinity": (
        case_line(', "sampling": {"temperature": Infinity}'),
        "code.jsonl:2: not valid JSON: invalid character",
    ),
    "not-an-object": (HEADER + b"[1]\n", "code.jsonl:2: expected `object`, got `array`"),
    "null": (HEADER + b"null\n", "code.jsonl:2: expected `object`, got `null`"),
    "torn-middle": (HEADER + b'{"id": "a"\n' + ONE, "code.jsonl:2: not valid JSON: the line ends"),
    "half-surrogate": (
        HEADER + b'{"id": "a", "prompt": "\\ud800"}\n',
        "code.jsonl:2: not valid JSON: the line ends too early, or holds half a surrogate pair",
    ),
    "torn-last": (HEADER + ONE + b'{"id": "tw', "code.jsonl:3: the file ends in the middle of"),
    "utf8": (
        HEADER + ONE + b'{"id": "two", "prompt": "\xff"}\n',
        f"code.jsonl:3: invalid UTF-8 at byte {len(HEADER + ONE) + 25} of the file",
    ),
    "nested": (
        HEADER + b'{"id": "a", "messages": ' + b"[" * 100_000 + b"\n",
        "code.jsonl:2: messages[0]: expected `object`, got `array`",
    ),
    "nested-grader": (
        HEADER + b'{"id": "a", "grader": {"kind": "json", "schema": ' + b'{"a":' * 100_000 + b"\n",
        "code.jsonl:2: not valid JSON: nested too deeply",
    ),
    "duplicate": (HEADER + ONE + ONE, "code.jsonl:3: id: 'one' is already used on line 2"),
    "no-prompt": (HEADER + b'{"id": "one"}\n', "code.jsonl:2: needs exactly one of prompt, "),
    "two-prompts": (case_line(', "token_ids": [1]'), "code.jsonl:2: needs exactly one of prompt, "),
    "empty-prompt": (HEADER + b'{"id": "a", "prompt": ""}\n', "code.jsonl:2: prompt: empty"),
    "blank-prompt": (
        HEADER + b'{"id": "a", "prompt": " \\n"}\n',
        "code.jsonl:2: prompt: only white space",
    ),
    "empty-messages": (HEADER + b'{"id": "a", "messages": []}\n', "code.jsonl:2: messages: empty"),
    "empty-ids": (HEADER + b'{"id": "a", "token_ids": []}\n', "code.jsonl:2: token_ids: empty"),
    "empty-file": (b"", "code.jsonl: empty file; the first line has to be "),
    "blank-file": (b"\n \n", "code.jsonl: empty file; the first line has to be "),
    "header-only": (HEADER, "code.jsonl: a header but no cases"),
    "no-header": (ONE, "code.jsonl:1: the first line has to be a header like "),
    "header-not-json": (b"workload: code\n", "code.jsonl:1: the first line has to be a header"),
    "header-version": (
        b'{"equivcheck": 2, "workload": "code"}\n',
        "code.jsonl:1: equivcheck: 2 is not a valid value; valid: 1",
    ),
    "header-key": (
        b'{"equivcheck": 1, "workload": "code", "descripton": ""}\n',
        "code.jsonl:1: descripton: unknown key (did you mean 'description'?)",
    ),
    "reserved-workload": (
        b'{"equivcheck": 1, "workload": "run"}\n',
        "code.jsonl:1: workload: 'run' names the whole run",
    ),
}


@pytest.mark.parametrize(("content", "message"), PROBLEMS.values(), ids=PROBLEMS)
def test_errors_name_file_line_and_field(write: Write, content: bytes, message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite(write(content))
    assert str(caught.value).startswith(message)


def test_a_hostile_key_is_shown_escaped_and_cut(write: Write) -> None:
    key = "\\u001b[2J" + "x" * 500
    with pytest.raises(SuiteError) as caught:
        load_suite(write(case_line(f', "{key}": 1')))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_missing_file_suggests_a_neighbour(write: Write) -> None:
    write(HEADER + ONE)
    with pytest.raises(SuiteError, match=r"^cod.jsonl: no such file \(did you mean 'code.jsonl'"):
        load_suite("cod.jsonl")
    with pytest.raises(SuiteError, match=r"^nowhere/x.jsonl: no such file$"):
        load_suite("nowhere/x.jsonl")
    with pytest.raises(SuiteError, match=r"^\.: cannot be read: "):
        load_suite(".")


def test_a_line_without_end_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equivcheck.core.load_suites.MAX_LINE_BYTES", 100)
    with pytest.raises(SuiteError, match=r"^code.jsonl:2: line is longer than 100 bytes"):
        load_suite(write(case_line(', "stop": ["' + "x" * 100 + '"]')))


def test_two_hundred_thousand_lines(write: Write) -> None:
    path = write(HEADER)
    with Path(path).open("ab") as file:
        file.writelines(b'{"id": "c%d", "prompt": "x"}\n' % index for index in range(200_000))
    suite = load_suite(path)
    assert len(suite.cases) == 200_000
    assert suite.lines[-1] == 200_001
    with Path(path).open("ab") as file:
        file.write(b'{"id": "c77", "prompt": "x"}\n')
    with pytest.raises(SuiteError, match=r":200002: id: 'c77' is already used on line 79$"):
        load_suite(path)


def test_a_folder_is_all_its_suites_by_name(write: Write) -> None:
    write(HEADER + ONE, "b.jsonl")
    write(HEADER.replace(b"code", b"chat") + ONE, "a.jsonl")
    assert [suite.workload for suite in load_suites(["."])] == ["chat", "code"]
    assert [suite.path for suite in load_suites(["b.jsonl", "."])] == [
        "b.jsonl",
        "a.jsonl",
    ]


def test_a_folder_without_suites_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="no suite files"):
        load_suites([tmp_path])


def test_two_files_must_not_define_one_key(write: Write) -> None:
    write(HEADER + ONE, "a.jsonl")
    write(HEADER + b"\n" + ONE, "b.jsonl")
    with pytest.raises(SuiteError, match=r"^b.jsonl:3: id: 'code/one' .* at a.jsonl:2$"):
        load_suites(["a.jsonl", "b.jsonl"])


def test_select_by_key_and_by_workload(write: Write) -> None:
    two = HEADER + ONE + b'{"id": "two", "prompt": "y"}\n'
    write(two, "a.jsonl")
    write(two.replace(b"code", b"chat"), "b.jsonl")
    suites = load_suites(["a.jsonl", "b.jsonl"])
    (code,) = select(suites, ["code/two"])
    assert ([case.id for case in code.cases], code.lines) == (["two"], (3,))
    code, chat = select(suites, ["chat", "code/one"])
    assert (len(code.cases), len(chat.cases)) == (1, 2)
    with pytest.raises(SuiteError, match=r"no case or workload named 'code/tow'.*'code/two'"):
        select(suites, ["code/tow"])
