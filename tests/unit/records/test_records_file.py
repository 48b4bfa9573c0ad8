from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.core.errors import RecordsError
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import (
    CANDIDATE,
    SCHEMA,
    TARGET,
    Arbitration,
    Evidence,
    Gap,
    GenerationRecord,
    Header,
    Record,
    RequestRecord,
    Rescored,
    SuiteRef,
    VerdictRecord,
)
from equivcheck.records.records_file import RECORDS_NAME, RecordsWriter, read_evidence, seal
from tests.unit.make import make_asked, make_captured, make_generation, make_header, make_request

KEYS = ("code/one", "code/two")
HEADER = make_header(planned={TARGET: KEYS, CANDIDATE: KEYS})
ARBITRATION = Arbitration(
    key="code/one",
    arm=CANDIDATE,
    position=3,
    reference="fp32",
    context="c",
    target_piece="a",
    arm_piece="b",
    arm_gaps=(Gap(gap=0.5, best=1, magnitude=20.0), Gap(gap=0.0, best=2)),
)
RESCORED = Rescored(key="code/one", arm=TARGET, reference="fp32", logprobs=(-0.5,), gaps=())
EVIDENCE: tuple[Record, ...] = (
    *(make_asked(make_request(key)) for key in KEYS),
    *(make_captured(arm, make_generation(key=key)) for arm in (TARGET, CANDIDATE) for key in KEYS),
    ARBITRATION,
    RESCORED,
)
FINDING = Finding(
    check="greedy",
    subject="code",
    outcome=Outcome.PASS,
    reason=Reason.IDENTICAL,
    headline="2 of 2 identical",
)
SEALED = VerdictRecord(outcome=Outcome.PASS, headline="EQUIVALENT", counts={"pass": 1})


SHORT = tuple(EVIDENCE[index] for index in (0, 2, 4, 6, 7))
"""One record of each kind."""


def write(path: Path, *, sealed: bool = True, evidence: tuple[Record, ...] = EVIDENCE) -> bytes:
    with RecordsWriter.create(path, HEADER) as writer:
        writer.append(*evidence)
    if sealed:
        seal(path, findings=[FINDING], sealed=SEALED)
    return path.read_bytes()


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "r1" / RECORDS_NAME
    write(path)
    evidence = read_evidence(path.parent)
    assert evidence.header == HEADER
    assert tuple(evidence.asked) == KEYS
    assert {arm: tuple(answers) for arm, answers in evidence.captured.items()} == {
        TARGET: KEYS,
        CANDIDATE: KEYS,
    }
    assert evidence.arbitrations == (ARBITRATION,)
    assert evidence.rescored == (RESCORED,)
    assert evidence.findings == (FINDING,)
    assert evidence.sealed == SEALED


def test_the_last_line_is_the_verdict(tmp_path: Path) -> None:
    content = write(tmp_path / "r.jsonl")
    assert msgspec.json.decode(content.splitlines()[-1])["type"] == "verdict"


def test_judging_again_gives_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    once = write(path)
    seal(path, findings=[FINDING], sealed=SEALED)
    assert path.read_bytes() == once
    seal(path, findings=[FINDING, FINDING], sealed=SEALED)
    seal(path, findings=[FINDING], sealed=SEALED)
    assert path.read_bytes() == once


def test_an_existing_run_is_never_overwritten(tmp_path: Path) -> None:
    content = write(tmp_path / "r.jsonl")
    with pytest.raises(RecordsError, match="already exists"):
        RecordsWriter.create(tmp_path / "r.jsonl", HEADER)
    assert (tmp_path / "r.jsonl").read_bytes() == content


def test_resuming_a_sealed_run_takes_its_verdict_away(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    unsealed = write(tmp_path / "u.jsonl", sealed=False)
    write(path)
    writer, evidence = RecordsWriter.resume(path, HEADER)
    writer.close()
    assert (evidence.findings, evidence.sealed) == ((), None)
    assert path.read_bytes() == unsealed


def test_resuming_nothing_starts_a_run(tmp_path: Path) -> None:
    writer, evidence = RecordsWriter.resume(tmp_path / "r.jsonl", HEADER)
    writer.close()
    assert not evidence.asked
    assert read_evidence(tmp_path / "r.jsonl") == msgspec.structs.replace(
        evidence, captured={TARGET: {}, CANDIDATE: {}}
    )


def test_killed_at_every_byte_it_resumes_to_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A kill, unlike a power cut, loses nothing that was written but not synced.
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    whole = write(tmp_path / "whole.jsonl", evidence=SHORT)
    path = tmp_path / "torn.jsonl"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length and b"\n" in whole[:length]:
            assert read_evidence(path).sealed is None
        writer, found = RecordsWriter.resume(path, HEADER)
        done = {(arm, key) for arm, answers in found.captured.items() for key in answers}
        with writer:
            for record in SHORT:
                if not already_in(record, found=found, done=done):
                    writer.append(record)
        seal(path, findings=[FINDING], sealed=SEALED)
        assert path.read_bytes() == whole


def already_in(record: Record, *, found: Evidence, done: set[tuple[str, str]]) -> bool:
    match record:
        case RequestRecord():
            return record.request.key in found.asked
        case GenerationRecord():
            return (record.arm, record.generation.key) in done
        case Arbitration():
            return record in found.arbitrations
    return record in found.rescored


@given(st.data())
def test_a_flipped_byte_is_an_error_or_visible(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("flip") / "r.jsonl"
    whole = write(path)
    offset = data.draw(st.integers(0, len(whole) - 2))
    path.write_bytes(whole[:offset] + b"\x00" + whole[offset + 1 :])
    with pytest.raises(RecordsError):
        read_evidence(path)


OTHER_RUNS: dict[str, tuple[Callable[[], Header], str]] = {
    "dtype": (
        lambda: msgspec.structs.replace(
            HEADER, settings=Settings(setup=EngineSetup(dtype="bfloat16"))
        ),
        "settings.setup.dtype is 'float32' there and 'bfloat16' here",
    ),
    "suite": (
        lambda: msgspec.structs.replace(
            HEADER,
            suites=(SuiteRef(path="suites/code.jsonl", workload="code", digest="d2", cases=1),),
        ),
        "suites[0].digest is 'd1' there and 'd2' here",
    ),
    "suites": (
        lambda: msgspec.structs.replace(HEADER, suites=()),
        "len(suites) is 1 there and 0 here",
    ),
    "arm": (
        lambda: msgspec.structs.replace(HEADER, arms={TARGET: HEADER.arms[TARGET]}),
        "arms.candidate is {",
    ),
    "environment": (
        lambda: msgspec.structs.replace(HEADER, environment={"python": "3.13"}),
        "environment.python is '3.11.2' there and '3.13' here",
    ),
    "planned": (
        lambda: msgspec.structs.replace(HEADER, planned={TARGET: KEYS, CANDIDATE: KEYS[:1]}),
        "len(planned.candidate) is 2 there and 1 here",
    ),
}


@pytest.mark.parametrize(("header", "difference"), OTHER_RUNS.values(), ids=OTHER_RUNS)
def test_another_run_is_refused_by_field(
    tmp_path: Path, header: Callable[[], Header], difference: str
) -> None:
    path = tmp_path / "r.jsonl"
    content = write(path)
    with pytest.raises(RecordsError) as caught:
        RecordsWriter.resume(path, header())
    assert str(caught.value).startswith(f"{path}: belongs to another run: {difference}")
    assert path.read_bytes() == content


def test_run_id_time_and_remarks_may_differ(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl")
    arms = {
        arm: msgspec.structs.replace(capabilities, notes=("probed in 0.2 s",))
        for arm, capabilities in HEADER.arms.items()
    }
    header = msgspec.structs.replace(HEADER, run="r2", created="later", arms=arms)
    writer, evidence = RecordsWriter.resume(tmp_path / "r.jsonl", header)
    writer.close()
    assert len(evidence.asked) == 2


def line(record: Record) -> bytes:
    return msgspec.json.encode(record) + b"\n"


ASKED, ANSWER = EVIDENCE[0], make_captured(TARGET, make_generation(key="code/one"))
BROKEN = {
    "empty": (b"", ": does not start with a run's header"),
    "no-header": (line(ASKED), ": does not start with a run's header"),
    "schema": (
        line(msgspec.structs.replace(HEADER, schema=SCHEMA + 1)),
        f":1: schema: {SCHEMA + 1}, but this equivcheck reads schema {SCHEMA}",
    ),
    "unknown-type": (
        line(HEADER) + b'{"type": "findings"}\n',
        ":2: type: no record type named 'findings' (did you mean 'finding'?); known: arbitration",
    ),
    "no-type": (line(HEADER) + b"{}\n", ":2: type: missing"),
    "torn-middle": (line(HEADER) + line(ASKED)[:20] + b"\n" + line(ASKED), ":2: not valid JSON: "),
    "null-number": (
        line(HEADER) + line(ASKED).replace(b'"max_new_tokens":4', b'"max_new_tokens":null'),
        ":2: request.max_new_tokens: expected `int`, got `null`",
    ),
    "no-utf-8": (
        line(HEADER) + line(ASKED).replace(b"suites/code", b"suites/\xff"),
        ":2: not valid JSON: invalid UTF-8 in a string, near 'suites/\\xff.jsonl'",
    ),
    "no-utf-8-header": (
        line(HEADER).replace(b"run-1", b"run-\xc3"),
        ":1: not valid JSON: invalid UTF-8 in a string, near 'run-\\xc3'",
    ),
    "nested": (
        line(HEADER) + b'{"type": "generation", "more": ' + b"[" * 100_000 + b"\n",
        ":2: not valid JSON: nested too deeply",
    ),
    "second-header": (line(HEADER) * 2, ":2: a second header"),
    "second-verdict": (line(HEADER) + line(SEALED) * 2, ":3: a second verdict"),
    "asked-twice": (line(HEADER) + line(ASKED) * 2, ":3: code/one is asked a second time"),
    "answered-twice": (
        line(HEADER) + line(ASKED) + line(ANSWER) * 2,
        ":4: target answers 'code/one' a second time",
    ),
    "never-asked": (line(HEADER) + line(ANSWER), ":2: target answers 'code/one', which was never"),
    "unknown-arm": (
        line(HEADER) + line(ASKED) + line(make_captured("targt", make_generation())),
        ":3: arm: no arm named 'targt' (did you mean 'target'?)",
    ),
    "evidence-after-verdict": (
        line(HEADER) + line(SEALED) + line(ASKED),
        ":3: evidence after the findings",
    ),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_an_unusable_file_says_where(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with pytest.raises(RecordsError) as caught:
        read_evidence(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match=r"records.jsonl: no such records file"):
        read_evidence(tmp_path)


def test_a_number_that_would_not_read_back_is_refused_when_written(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with RecordsWriter.create(path, HEADER) as writer:
        before = path.read_bytes()
        answer = make_generation(scores=[(-0.1, 4, float("-inf"))])
        with pytest.raises(RecordsError, match=r"scores\[0\]\[2\]: expected `float`, got `null`"):
            writer.append(make_captured(TARGET, answer))
    assert path.read_bytes() == before


def test_every_line_is_on_disk_before_the_next_is_made(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with RecordsWriter.create(path, HEADER) as writer:
        for count, record in enumerate(EVIDENCE, start=2):
            writer.append(record)
            assert path.read_bytes().count(b"\n") == count


def test_many_lines_pass_a_sync(tmp_path: Path) -> None:
    requests = [make_request(f"code/c{index}") for index in range(100)]
    header = make_header(planned={TARGET: [request.key for request in requests]})
    with RecordsWriter.create(tmp_path / "r.jsonl", header) as writer:
        writer.append(*(make_asked(request) for request in requests))
    assert len(read_evidence(tmp_path / "r.jsonl").asked) == 100
