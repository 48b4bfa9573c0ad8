"""``equivcheck suite`` as users meet it, and what other verbs say of files that are no suites."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import msgspec
import pytest

from equivcheck.cli import main as cli
from equivcheck.cli.schemas import SCHEMAS
from equivcheck.core.load_suites import load_suite
from equivcheck.core.settings import Settings
from tests.unit.cli.test_main import evidence_of, store
from tests.unit.source import ROOT

BATCH = {
    "custom_id": "one",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "m", "messages": [{"role": "user", "content": "Is 91 prime?"}], "n": 2},
}
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Said:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(arguments)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def batch(name: str = "my batch.jsonl") -> str:
    Path(name).write_text(json.dumps(BATCH) + "\n")
    return name


def test_a_foreign_file_becomes_a_suite_and_the_next_command_is_said(said: Said) -> None:
    code, out, _ = said("suite", "from", batch())
    assert code == 0
    assert out.splitlines() == [
        "2 cases from 1 record of my batch.jsonl (OpenAI batch requests)",
        "  suites/my-batch.jsonl: 2 cases",
        "carried over otherwise:",
        "       2  no limit of tokens: 96, which --tokens changes",
        "       2  no temperature: greedy, which --temperature changes",
        "       1  n: a case for each answer that is asked for, with a seed of its own",
        "not carried over:",
        "       1  body.model: the pair is named by the command",
        "next: equivcheck run suites/my-batch.jsonl",
    ]
    assert len(load_suite("suites/my-batch.jsonl").cases) == 2


def test_nothing_is_replaced_unless_asked(said: Said) -> None:
    said("suite", "from", batch(), "--out", "mine.jsonl")
    code, _, err = said("suite", "from", batch(), "--out", "mine.jsonl")
    assert (code, err) == (
        2,
        "equivcheck: mine.jsonl: already exists; replace it with --force, or name --out\n",
    )
    assert said("suite", "from", batch(), "--out", "mine.jsonl", "--force")[0] == 0


def test_what_came_of_a_file_for_machines(said: Said) -> None:
    _, out, _ = said("suite", "from", batch(), "--json")
    made = json.loads(out)["made"]
    assert made["format"] == "openai-batch"
    [suite] = made["suites"]
    assert suite == {"workload": "my-batch", "cases": 2, "path": "suites/my-batch.jsonl"}
    assert made["not_carried"][0]["what"] == "body.model"


def test_check_and_show(said: Said) -> None:
    said("suite", "from", batch())
    assert said("suite", "check", "suites")[1] == "suites/my-batch.jsonl: 2 cases, all readable\n"
    _, out, _ = said("suite", "show", "suites")
    assert out.splitlines()[0] == (
        "my-batch/one-n0  96 tokens, greedy  1 messages, user: Is 91 prime?"
    )
    Path("suites/my-batch.jsonl").write_text('{"equivcheck": 1, "workload": "x"}\n{"id": "one"}\n')
    code, _, err = said("suite", "check", "suites")
    assert (code, "needs exactly one of prompt" in err) == (2, True)


@pytest.mark.parametrize("verb", ["run", "bench"])
def test_verbs_name_a_foreign_file_and_the_command_that_takes_it(said: Said, verb: str) -> None:
    code, _, err = said(verb, batch())
    assert code == 2
    assert err == (
        "equivcheck: my batch.jsonl: OpenAI batch requests, not a suite; make a suite of it: "
        "equivcheck suite from 'my batch.jsonl'\n"
    )


@pytest.mark.parametrize("verb", ["judge", "report", "advise"])
def test_verbs_that_read_runs_name_a_suite_as_one(said: Said, verb: str) -> None:
    said("suite", "from", batch(), "--out", "mine.jsonl")
    code, _, err = said(verb, "mine.jsonl")
    assert (code, "; this takes it: equivcheck run mine.jsonl" in err) == (2, True)
    code, _, err = said(verb, batch())
    assert (code, "OpenAI batch requests, not " in err) == (2, True)


def test_a_run_given_as_a_suite_is_named(said: Said) -> None:
    path = store(evidence_of(), Path.cwd())
    code, _, err = said("run", str(path))
    assert code == 2
    assert f"the records of a run, not a suite; this takes it: equivcheck judge {path}" in err


def test_a_file_without_prompts_is_named_for_what_it_is(said: Said) -> None:
    Path("bench.json").write_text('{"date": "d", "backend": "b", "output_throughput": 4.5}')
    verbs = (["run"], ["suite", "from"], ["judge"], ["report"], ["advise"], ["compare", "main"])
    for verb in verbs:
        arguments = [*verb, "bench.json"]
        code, _, err = said(*arguments)
        assert (code, "a result of vLLM's benchmark: times, without the prompts" in err) == (
            2,
            True,
        )


def test_a_suite_needs_no_making(said: Said) -> None:
    said("suite", "from", batch(), "--out", "mine.jsonl")
    told = "equivcheck: mine.jsonl: is a suite; this takes it: equivcheck run mine.jsonl\n"
    assert said("suite", "from", "mine.jsonl")[2] == told


def test_a_file_of_lines_may_be_either(said: Said) -> None:
    Path("prompts.txt").write_text("Once upon a time\n")
    code, _, err = said("run", "prompts.txt")
    assert code == 2
    assert "the first line has to be a header" in err
    assert "equivcheck suite from prompts.txt" in err
    Path("blob").write_bytes(b"\x7fELF\0\0")
    assert "neither JSON nor text" in said("suite", "from", "blob")[2]
    Path("rows").write_bytes(b"PAR1\x15\x04")
    assert "a Parquet file, which" in said("suite", "from", "rows")[2]
    Path("log.eval").write_bytes(b"PK\x03\x04\x14")
    assert "inspect log convert" in said("suite", "from", "log.eval")[2]


def schema_of(said: Said, name: str) -> jsonschema.Draft202012Validator:
    document = json.loads(said("suite", "schema", "--of", name)[1])
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def test_the_schema_of_suites_holds_of_every_line_of_the_projects_own(said: Said) -> None:
    validator = schema_of(said, "suite")
    for file in (ROOT / "suites").rglob("*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            validator.validate(json.loads(line))
    for wrong in (
        {"id": "x"},
        {"id": "x", "prompt": "a", "token_ids": [1]},
        {"id": "x", "prompt": "a", "max_tokens": 3},
        {"equivcheck": 2, "workload": "x"},
    ):
        assert not validator.is_valid(wrong), wrong


def test_the_schema_of_settings_knows_how_absence_is_written(said: Said) -> None:
    validator = schema_of(said, "settings")
    validator.validate({"control": "none", "setup": {"pair": "org/m"}})
    assert not validator.is_valid({"control": None})
    assert not validator.is_valid({"contrl": "none"})
    written = {
        name: value for name, value in msgspec.to_builtins(Settings()).items() if value is not None
    }
    written["setup"] = {k: v for k, v in written["setup"].items() if v is not None}
    validator.validate(written)


def test_the_schema_of_records_holds_of_a_run(said: Said) -> None:
    validator = schema_of(said, "records")
    path = store(evidence_of(), Path.cwd())
    for line in path.read_text(encoding="utf-8").splitlines():
        validator.validate(json.loads(line))
    assert not validator.is_valid({"type": "asked"})
    assert {"suite", "settings", "records", "measurement"} == {*SCHEMAS}
    schema_of(said, "measurement")
