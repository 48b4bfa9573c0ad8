"""A bundle of a server's fault repeats it by HTTP alone, where nothing is installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from equivcheck.core.load_suites import load_suites
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.pipeline.bundle import bundle
from equivcheck.pipeline.run import run
from equivcheck.records.records_file import read_evidence
from tests.engines.native_server import NativeVllm
from tests.engines.scoring_server import ScoringVllm
from tests.unit.engines.http.stub import Stub, serving

SUITE = """\
{"equivcheck": 1, "workload": "few", "description": "A few prompts."}
{"id": "clamp", "prompt": "def clamp(value, low, high):\\n", "max_new_tokens": 12}
{"id": "sql", "prompt": "SELECT country, COUNT(*) AS customers", "max_new_tokens": 12}
{"id": "least", "prompt": "The train to", "max_new_tokens": 12, \
"sampling": {"repetition_penalty": 1.3, "min_new_tokens": 6, "banned_tokens": [40, 41]}}
"""
DRAWN = """\
{"equivcheck": 1, "workload": "few", "description": "Sampled prompts."}
""" + "".join(
    f'{{"id": "prose-{length}", "prompt": "The lighthouse keeper had", "max_new_tokens": {length}, '
    '"sampling": {"temperature": 1.0}}\n'
    for length in range(5, 12)
)
PLAIN, SPECULATIVE = "native:gamma=0,rule=rejection", "native:gamma=4,rule=rejection"
FAULTS = ("bonus-lost", "position-after-reject", "penalties-ignored")
"""Of the catalogue."""
SETUP = EngineSetup(batch_size=1, threads=1)
Serve = Callable[[str], Stub]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Servers until the last test: each is opened once."""
    with ExitStack() as stack:
        opened: dict[str, Stub] = {}

        def served(spec: str) -> Stub:
            if spec not in opened:
                kind = ScoringVllm if spec == PLAIN else NativeVllm
                opened[spec] = stack.enter_context(serving(kind(spec, SETUP)))
            return opened[spec]

        yield served


def bundled(
    folder: Path, target: Stub, candidate: Stub, key: str | None = None, *, suite: str = SUITE
) -> Path:
    """A bundle of a run by URL, unpacked."""
    file = folder / "suite.jsonl"
    file.write_text(suite, encoding="utf-8")
    settings = Settings(
        setup=SETUP,
        target=f"{target.url},dtype=float32",
        candidate=f"{candidate.url},dtype=float32",
        control=None,
        sampled=None,
    )
    run(settings, load_suites([file]), folder / "run", resume=False)
    (folder / "it.zip").write_bytes(bundle(read_evidence(folder / "run"), key).data)
    with zipfile.ZipFile(folder / "it.zip") as archive:
        archive.extractall(folder / "bundle")
    return folder / "bundle"


def repeated(folder: Path, *options: str) -> tuple[int, str]:
    """Run the script with the standard library alone, and nothing of this environment."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(folder / "repeat.py"), *options],
        capture_output=True,
        text=True,
        check=False,
        env={},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_there_with_the_fault_and_gone_without(
    fault: str, serve: Serve, tmp_path: Path
) -> None:
    faulty = serve(f"{SPECULATIVE},fault={fault}")
    key = "few/least" if fault == "penalties-ignored" else None
    folder = bundled(tmp_path, serve(PLAIN), faulty, key)
    code, said = repeated(folder)
    assert code == 1, said
    assert "THE BUG IS THERE" in said
    sound = f"{serve(SPECULATIVE).url},dtype=float32"
    code, said = repeated(folder, "--candidate", sound)
    assert code == 0, said
    # The target's server is not needed where its answer was kept.
    assert repeated(folder, "--target", "recorded")[0] == 1
    assert repeated(folder, "--target", "recorded", "--candidate", sound)[0] == 0


def test_a_broken_rule_needs_no_target(serve: Serve, tmp_path: Path) -> None:
    faulty = serve(f"{SPECULATIVE},fault=budget-overrun")
    folder = bundled(tmp_path, serve(PLAIN), faulty, suite=DRAWN)
    code, said = repeated(folder, "--target", "http://127.0.0.1:9")
    assert (code, "THE BUG IS THERE: few/prose-" in said) == (1, True), said
    assert " allowed" in said
    code, said = repeated(folder, "--candidate", f"{serve(SPECULATIVE).url},dtype=float32")
    assert code == 0, said


def test_requests_reach_a_server_as_in_the_run(serve: Serve, tmp_path: Path) -> None:
    """The script's own words for a request are those of the engine, field by field."""
    faulty = serve(f"{SPECULATIVE},fault=penalties-ignored")
    target = serve(PLAIN)
    folder = bundled(tmp_path, target, faulty, "few/least")

    def last() -> dict[str, Any]:
        found: dict[str, Any] = faulty.asked("/v1/completions")[-1]
        return found

    wanted = next(
        body
        for body in faulty.asked("/v1/completions")
        if body["min_tokens"] == 6 and body["max_tokens"] == 12
    )
    assert repeated(folder)[0] == 1
    assert last() == {name: value for name, value in wanted.items() if name != "stream"}


def test_where_another_place_parts_the_targets_server_says_how_near_a_tie_it_is(
    serve: Serve, tmp_path: Path
) -> None:
    folder = bundled(tmp_path, serve(PLAIN), serve(f"{SPECULATIVE},fault=bonus-lost"), "few/sql")
    facts = folder / "bundle.json"
    text = facts.read_text()
    start, end = text.index('"parted"'), text.index('"event"')
    facts.write_text(f'{text[:start]}"parted": null,\n {text[end:]}')
    code, said = repeated(folder)
    assert code == 1, said
    # So many steps that any gap is within them.
    facts.write_text(facts.read_text().replace('"near_tie_ulps": 8.0', '"near_tie_ulps": 1e9'))
    code, said = repeated(folder)
    assert (code, "NOT DECIDED, a near tie of " in said) == (2, True), said
    # Nobody is there to say it.
    code, said = repeated(folder, "--target", "recorded")
    assert (code, "no model says how near a tie it is" in said) == (2, True), said


def test_a_server_that_is_not_there_is_no_verdict(serve: Serve, tmp_path: Path) -> None:
    folder = bundled(tmp_path, serve(PLAIN), serve(f"{SPECULATIVE},fault=bonus-lost"))
    code, said = repeated(folder, "--candidate", "http://127.0.0.1:9")
    assert (code, "CANNOT BE REPEATED HERE" in said) == (2, True), said
