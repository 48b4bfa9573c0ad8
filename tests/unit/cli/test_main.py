"""Tests of the command line that need no model: verbs, errors, exit codes, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equivcheck.checks.verdict import judge
from equivcheck.cli import main as cli
from equivcheck.cli.output import Output
from equivcheck.core.cases import Sampling
from equivcheck.records.records import CANDIDATE, TARGET, Evidence
from equivcheck.records.records_file import RECORDS_NAME, RecordsWriter, seal
from tests.unit.make import (
    make_capabilities,
    make_evidence,
    make_generation,
    make_request,
    make_steps,
)
from tests.unit.seals import reseal

TOKENS = (10, 11, 12, 13, 14, 15)
SUITE = '{"equivcheck": 1, "workload": "code"}\n{"id": "one", "prompt": "a"}\n'


def evidence_of(candidate: tuple[int, ...] = TOKENS, *, gamma: int = 2) -> Evidence:
    """One case; the steps reach draft slots 0 and 1, so a larger gamma is not fully engaged."""
    blocks = ((2, 2), (2, 0), (2, 1)) if len(candidate) == len(TOKENS) else ((2, 2), (2, 1))
    answer = make_generation(candidate, steps=make_steps(*blocks))
    return make_evidence(
        {TARGET: [make_generation(TOKENS)], CANDIDATE: [answer]},
        requests=[make_request(max_new_tokens=len(TOKENS))],
        arms={
            TARGET: make_capabilities(),
            CANDIDATE: make_capabilities(num_speculative_tokens=gamma, reports_steps=True),
        },
    )


def store(evidence: Evidence, folder: Path, *, sealed: bool = True) -> Path:
    path = folder / RECORDS_NAME
    with RecordsWriter.create(path, evidence.header) as writer:
        writer.append(*evidence.asked.values())
        for answers in evidence.captured.values():
            writer.append(*answers.values())
    if sealed:
        verdict = judge(evidence)
        seal(path, findings=verdict.findings, sealed=verdict.sealed())
    return path


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: equivcheck {verb}")
    assert "--json" in shown


def test_help_lists_the_verbs_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {verb}" in shown for verb in cli.VERBS)
    assert "3 inconclusive" in shown


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom equivcheck.cli.main import run\nrun(['run', '--help'])\nrun(['--help'])\n"
        "heavy = {'torch', 'numpy', 'scipy', 'transformers', 'rich', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_wrong_verb_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["jugde"]) == 2
    assert "no verb named 'jugde' (did you mean 'judge'?)" in capsys.readouterr().err


def test_a_wrong_flag_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "--pear", "tiny"]) == 2
    assert "--pair" in capsys.readouterr().err


def test_completing_in_a_shell_still_ends_as_click_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_EQUIVCHECK_COMPLETE", "zsh_source")
    with pytest.raises(SystemExit) as left:
        cli.run([])
    assert left.value.code == 0
    assert "compdef" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("evidence", "code", "word"),
    [
        (evidence_of(), 0, "EQUIVALENT"),
        (evidence_of(TOKENS[:5]), 1, "NOT EQUIVALENT"),
        (evidence_of((*TOKENS[:5], 99)), 3, "INCONCLUSIVE"),
        (evidence_of(gamma=4), 3, "INCONCLUSIVE"),
    ],
    ids=["identical", "shorter", "other token", "not engaged"],
)
def test_judge_exits_by_the_verdict(
    evidence: Evidence, code: int, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(evidence, tmp_path)
    assert cli.run(["judge", str(tmp_path)]) == code
    assert capsys.readouterr().out.startswith(word)


def test_judging_twice_leaves_the_same_bytes(tmp_path: Path) -> None:
    path = store(evidence_of(), tmp_path)
    before = path.read_bytes()
    assert cli.run(["judge", str(path)]) == 0
    once = path.read_bytes()
    assert cli.run(["judge", str(path)]) == 0
    assert before == once == path.read_bytes()


def test_a_verdict_that_was_tampered_with_is_refused_and_judged_anew_where_it_was_sealed_anew(
    tmp_path: Path,
) -> None:
    path = store(evidence_of((*TOKENS[:5], 99)), tmp_path)
    honest = path.read_bytes()
    path.write_bytes(honest.replace(b'"outcome":"inconclusive"', b'"outcome":"pass"'))
    assert cli.run(["judge", str(path)]) == 2
    reseal(path)
    assert cli.run(["judge", str(path)]) == 3
    assert path.read_bytes() == honest


def test_an_unfinished_run_is_judged_but_not_sealed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store(evidence_of(), tmp_path, sealed=False)
    before = path.read_bytes()
    code = cli.run(["judge", str(path)])
    assert "unfinished" in capsys.readouterr().err
    assert (code, path.read_bytes()) == (3, before)


def test_json_is_one_line_and_all_of_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(evidence_of(), tmp_path)
    assert cli.run(["judge", str(tmp_path), "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    assert (document["outcome"], document["exit_code"]) == ("pass", 0)
    assert document["folder"] == str(tmp_path)


def test_errors_reach_machines_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["judge", "nowhere", "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["exit_code"] == 2
    assert shown.err.startswith("equivcheck: no run named 'nowhere'")


def test_report_writes_its_files_beside_the_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(evidence_of(), tmp_path)
    assert cli.run(["report", str(tmp_path)]) == 0
    assert (tmp_path / "report.txt").read_text().splitlines()[0] in capsys.readouterr().out
    assert (tmp_path / "report.md").is_file()


def test_a_pattern_that_fits_nothing_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "code.jsonl"
    suite.write_text(SUITE)
    arguments = ["run", str(suite), "--out", str(tmp_path / "out")]
    assert cli.run([*arguments, "--only", "code/ome"]) == 2
    shown = capsys.readouterr().err
    assert "--only 'code/ome': fits none of 1 cases (did you mean 'code/one'?)" in shown
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dtype", "float31"], "setup.dtype: 'float31' is not a valid value"),
        (["--set", "sed=1"], "sed: unknown key (did you mean 'seed'?)"),
        (["--resume"], "--resume, but no unfinished run is there"),
    ],
)
def test_run_refuses_what_it_cannot_do(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "code.jsonl"
    suite.write_text(SUITE)
    assert cli.run(["run", str(suite), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_an_unfinished_other_run_is_not_thrown_away_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "code.jsonl"
    suite.write_text(SUITE)
    path = store(evidence_of(), tmp_path / "out", sealed=False)
    before = path.read_bytes()
    assert cli.run(["run", str(suite), "--out", str(tmp_path / "out")]) == 2
    assert "--fresh" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_pairs_and_engines_list_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["pairs", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"tiny", "tiny-v2", "smollm2"}
    assert cli.run(["pairs"]) == 0
    assert capsys.readouterr().out.startswith("tiny  bundled")


def test_replay_of_an_unknown_case_suggests_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(evidence_of(), tmp_path)
    assert cli.run(["replay", str(tmp_path), "code/on"]) == 2
    assert "ERROR code/on: run run-1 has no case 'code/on' (did you mean 'code/one'?)" in (
        capsys.readouterr().err
    )


def test_a_reader_that_goes_away_does_not_change_the_exit_code(tmp_path: Path) -> None:
    store(evidence_of((*TOKENS[:5], 99)), tmp_path)
    command = [sys.executable, "-m", "equivcheck", "judge", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()
        assert (process.wait(), complaint) == (3, b"")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_an_encoding_without_the_marks_costs_neither_words_nor_exit_code(
    encoding: str, tmp_path: Path
) -> None:
    store(evidence_of(), tmp_path)
    command = [sys.executable, "-m", "equivcheck", "report", str(tmp_path)]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    words = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (words.returncode, b"Traceback" in words.stderr) == (0, False)
    assert words.stdout.startswith(b"EQUIVALENT \\u2014 ")
    assert b"\n\\u2713 pass  code " in words.stdout
    data = subprocess.run([*command, "--json"], env=environment, capture_output=True, check=False)
    assert data.returncode == 0
    assert json.loads(data.stdout)["headline"].startswith("EQUIVALENT — ")


def test_a_document_may_hold_token_ids_as_keys(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).document({"sampling": Sampling(logit_bias={7: 1.0})})
    assert json.loads(capsys.readouterr().out) == {"sampling": {"logit_bias": {"7": 1.0}}}


@pytest.mark.parametrize("own", [False, True], ids=["target", "candidate"])
def test_scores_without_tokens_are_a_finding_and_no_breakdown(
    own: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = make_generation((), scores=[(-0.1, 4, -3.0)], logit_digests=(1, 2))
    full = make_generation(TOKENS, scores=[(-0.1, 4, -3.0)] * len(TOKENS))
    target, candidate = (full, empty) if own else (empty, full)
    store(make_evidence({TARGET: [target], CANDIDATE: [candidate]}), tmp_path, sealed=False)
    assert cli.run(["report", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "1 score for 0 tokens" in shown.out
    assert "broke down" not in shown.err
