"""Two servers that are asked by messages: sessions and faults, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from equivcheck import EngineSetup, Settings, load_engine
from equivcheck.checks.verdict import Verdict
from equivcheck.core.cases import Case, Message
from equivcheck.core.errors import SettingsError
from equivcheck.core.findings import Outcome
from equivcheck.pairs.tokenizer import load_tokenizer
from equivcheck.pipeline.run import run
from equivcheck.records.records import CANDIDATE, TARGET, Evidence
from equivcheck.records.records_file import read_evidence
from equivcheck.testing import check_engine
from tests.engines.suite import WORDS
from tests.engines.text_server import TextServer
from tests.unit.engines.http.stub import Stub, serving
from tests.unit.make import suite_of

Serve = Callable[[str], Stub]
CASES = (
    *(
        Case(
            id=f"c{index}",
            messages=(Message("system", "Say little."), Message("user", WORDS[index])),
            max_new_tokens=12 + index,
        )
        for index in range(4)
    ),
    Case(id="t1", messages=(Message("user", WORDS[0]),), max_new_tokens=9, session="t"),
    Case(id="t2", messages=(Message("user", WORDS[1]),), max_new_tokens=9, session="t"),
    Case(id="raw", prompt=WORDS[0], max_new_tokens=8),
)
SUITE = suite_of(CASES, workload="chat")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Servers for the length of a test."""
    setup = EngineSetup(threads=1, batch_size=4, context=256)
    with ExitStack() as stack:
        yield lambda spec: stack.enter_context(serving(TextServer(spec, setup)))


def settings_of(plain: Stub, other: Stub) -> Settings:
    target, candidate = (
        f"{stub.url},dtype=float32,chat=true,dialect=openai" for stub in (plain, other)
    )
    return Settings(
        setup=EngineSetup(threads=1, batch_size=4, context=256),
        target=target,
        candidate=f"{candidate},gamma=3,batch=1",
        sampled=None,
    )


def judged(serve: Serve, candidate: str, folder: Path) -> tuple[Verdict, Evidence, list[Stub]]:
    stubs = [serve("native:gamma=0"), serve(candidate)]
    return run(settings_of(*stubs), [SUITE], folder), read_evidence(folder), stubs


def test_sound_servers_are_text_identical(serve: Serve, tmp_path: Path) -> None:
    verdict, evidence, stubs = judged(serve, "native:gamma=3", tmp_path)
    assert verdict.outcome is Outcome.PASS, verdict.headline
    assert "text-identical on 6 of 6 prompts" in verdict.headline
    assert [(each.key, each.needs) for each in evidence.header.left_out] == [
        ("chat/raw", ("raw_prompt",))
    ]
    sent = stubs[1].asked("/v1/chat/completions")
    assert all("prompt" not in body for body in sent)
    # A later turn is asked with the arm's own answer before it.
    answer = evidence.captured[CANDIDATE]["chat/t1"].text
    assert [
        {"role": "user", "content": WORDS[0]},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": WORDS[1]},
    ] in [body["messages"] for body in sent]
    # What the messages say is in the suite, and not in the records a second time.
    assert all(asked.request.conversation is None for asked in evidence.asked.values())


@pytest.mark.parametrize("fault", ["bonus-lost", "delta-doubled"])
def test_a_fault_shows_in_chat(serve: Serve, tmp_path: Path, fault: str) -> None:
    verdict, _, _ = judged(serve, f"native:gamma=3,fault={fault}", tmp_path)
    assert verdict.outcome is Outcome.FAIL
    assert "diverged in text" in verdict.headline


def test_the_protocols_rules_are_tried_by_messages(serve: Serve) -> None:
    setup = EngineSetup(threads=1, batch_size=4, context=256)
    spec = f"{serve('native:gamma=3').url},dialect=openai,chat=true,dtype=float32,batch=1"
    findings = check_engine(load_engine(spec, setup), tokenizer=load_tokenizer(setup.pair))
    found = {each.subject: each for each in findings}
    assert all(each.outcome is not Outcome.FAIL for each in findings)
    assert found["batches"].outcome is Outcome.PASS
    assert "the engine gives text alone" in found["limits"].headline
    with (
        closing(load_engine(spec, setup)) as engine,
        pytest.raises(SettingsError, match="give a tokenizer with a chat template"),
    ):
        check_engine(engine)


def test_an_interrupted_run_asks_the_same_messages(serve: Serve, tmp_path: Path) -> None:
    settings = settings_of(serve("native:gamma=0"), serve("native:gamma=3"))
    run(settings, [SUITE], tmp_path / "whole")
    whole = read_evidence(tmp_path / "whole")
    lines = (tmp_path / "whole" / "records.jsonl").read_bytes().splitlines(keepends=True)
    first = next(at for at, line in enumerate(lines) if b'"type":"generation"' in line)
    (tmp_path / "cut").mkdir()
    # Of six answers of the target four are kept: the first turn of the session, and not the second.
    (tmp_path / "cut" / "records.jsonl").write_bytes(b"".join(lines[: first + 4]))
    run(settings, [SUITE], tmp_path / "cut", resume=True)
    resumed = read_evidence(tmp_path / "cut")
    for arm in (TARGET, CANDIDATE):
        texts = {key: each.text for key, each in whole.captured[arm].items()}
        assert {key: each.text for key, each in resumed.captured[arm].items()} == texts
