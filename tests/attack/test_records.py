"""Records that were tampered with: refused by line, never a hang and never a wrong pass."""

from __future__ import annotations

import random
import resource
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from equivcheck.cli.main import run
from equivcheck.records.records_file import RECORDS_NAME
from tests.attack.make import Change, change, equivcheck, make_run

CANDIDATES_FIRST = 8
"""Line of the candidate's first answer: behind header, three requests and three answers."""


def step(at: int, value: int) -> Change:
    def how(record: dict[str, Any]) -> None:
        record["generation"]["steps"][1][at] = value

    return how


def answer(**fields: Any) -> Change:
    return lambda record: record["generation"].update(fields)


LINES: dict[str, tuple[int, Change, str]] = {
    "drafted": (8, step(0, 10**8), "steps[1].drafted is 100000000, outside 0 to 1024"),
    "accepted": (8, step(1, 10**8), "steps[1].accepted is 100000000, outside -1 to 5"),
    "emitted": (8, step(2, 10**8), "steps[1].emitted is 100000000, outside 0 to 5"),
    "below nothing": (8, step(1, -2), "steps[1].accepted is -2, outside -1 to 5"),
    "many tokens": (8, answer(token_ids=[1] * 9999), "token_ids has 9999 entries, more than the 4"),
    "another prompt": (8, answer(prompt_tokens=10**9), "prompt_tokens is 1000000000, but the"),
    "many announced": (
        1,
        lambda record: record["arms"]["candidate"].update(num_speculative_tokens=10**9),
        "arms.candidate.num_speculative_tokens is 1000000000, outside 0 to 1024",
    ),
    "a long run id": (1, lambda record: record.update(run="r" * 10**6), "run: an id of 1000000"),
}


@pytest.mark.parametrize(("line", "how", "told"), LINES.values(), ids=LINES)
def test_what_no_decoder_can_mean_is_refused_by_line_in_every_verb(
    line: int, how: Change, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_run(tmp_path)
    change(path, line, how)
    for verb in (["judge"], ["report"], ["export", "--prometheus", "-"]):
        assert run([*verb, str(path)]) == 2
        assert f"{path}:{line}: " in (said := capsys.readouterr().err)
        assert told in said


def test_a_count_that_took_all_memory_ends_a_process_at_once(tmp_path: Path) -> None:
    path = make_run(tmp_path)
    change(path, CANDIDATES_FIRST, step(0, 10**8))
    done = equivcheck("judge", str(path))
    assert done.code == 2
    assert done.err.startswith(f"equivcheck: {path}:8: candidate's answer to 'code/one': steps[1]")


def test_counters_that_are_merely_wrong_are_still_judged(tmp_path: Path) -> None:
    path = make_run(tmp_path)
    change(path, CANDIDATES_FIRST, step(0, 5))
    assert run(["judge", str(path)]) == 1


def test_a_long_tail_of_nothing_costs_no_memory(tmp_path: Path) -> None:
    path = make_run(tmp_path)
    before = equivcheck("judge", str(path)).code
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + 2**30)
    assert equivcheck("judge", str(path)).code == before
    kibibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert kibibytes < 2**20


VALUES = st.one_of(
    st.integers(-(2**70), 2**70),
    st.sampled_from([10**8, -1, 0, 2**31, 2**63, 2**64]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.none(),
    st.booleans(),
    st.lists(st.integers(0, 9), max_size=3),
    st.just({}),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a record, at any depth."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key, each in inner:
            deeper = isinstance(each, dict | list)
            found += places(each, (*path, key)) if deeper else [(*path, key)]
    return found


@seed(20261130)
@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(line=st.integers(1, 10), chance=st.integers(0, 2**16), value=VALUES)
def test_one_changed_value_never_makes_a_failing_run_pass(
    line: int, chance: int, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    path = folder / RECORDS_NAME
    path.unlink(missing_ok=True)
    make_run(folder, differs=True)

    def how(record: dict[str, Any]) -> None:
        *above, last = random.Random(chance).choice(places(record))
        if last in ("token_ids", "key", "arm") or "token_ids" in above:
            return
        inner: Any = record
        for key in above:
            inner = inner[key]
        inner[last] = value

    change(path, line, how)
    assert run(["judge", str(path)]) in (1, 2, 3)
    assert "broke down" not in capsys.readouterr().err


@seed(20261130)
@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(at=st.floats(0, 1), length=st.integers(0, 40), put=st.binary(max_size=40))
def test_bytes_put_anywhere_never_make_a_failing_run_pass(
    at: float, length: int, put: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    path = folder / RECORDS_NAME
    path.unlink(missing_ok=True)
    make_run(folder, differs=True)
    whole = path.read_bytes()
    start = int(at * len(whole))
    path.write_bytes(whole[:start] + put + whole[start + length :])
    assert run(["judge", str(path)]) in (1, 2, 3)
    assert "broke down" not in capsys.readouterr().err
