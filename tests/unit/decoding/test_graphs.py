"""Steps and readings as they are recorded and replayed on a GPU, by the code that does it there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from equivcheck.decoding import transforms
from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import ModelDrafter
from equivcheck.decoding.gamma import AdaptiveGamma, DraftCost
from equivcheck.decoding.graphs import Recorder, StepRunner, cost_of
from equivcheck.decoding.prefill import Prefill
from equivcheck.decoding.verification import MatchRule, RejectionRule, VerificationRule
from tests.unit.decoding.emulated import Cuda
from tests.unit.decoding.models import (
    POSITIONS,
    decode,
    drafter_named,
    make_decoder,
    make_requests,
    random_llama,
)

CUDA = torch.device("cuda")


def decoder_of(drafter: str, *, rule: VerificationRule) -> Decoder:
    """On a target whose attention stops at several lengths, where it may change bits."""
    decoder = make_decoder(drafter_named(drafter, rows=3), rows=3, rule=rule, reads_together=True)
    llama = random_llama(torch.float32)
    decoder.model = adopt(llama, positions=POSITIONS, reaches=(32, 64, 96))
    decoder.prefill = Prefill(decoder.model, decoder.cache, together=True)
    return decoder


def on_cuda(decoder: Decoder) -> Decoder:
    """The decoder, which takes its device for a GPU."""
    decoder.runner = StepRunner(CUDA, state=decoder.rows.state)
    readers = [decoder.prefill]
    if isinstance(decoder.drafter, ModelDrafter):
        readers.append(decoder.drafter.prefill)
    for reader in readers:
        reader.recorder, reader.whole = Recorder(CUDA), True
    return decoder


@pytest.fixture(autouse=True)
def _sort_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one for CPUs leaves torch, and cannot be recorded."""
    monkeypatch.setattr(
        transforms, "falling", lambda values: values.sort(dim=-1, descending=True).values
    )


@pytest.mark.parametrize("ready", [False, True], ids=["lazily", "ahead"])
@pytest.mark.parametrize("drafter", ["none", "model", "lookup"])
@pytest.mark.parametrize("rule", [MatchRule(), RejectionRule()], ids=["coupled", "rejection"])
def test_recorded_decoding_answers_as_eager_decoding_does(
    cuda: Cuda, drafter: str, rule: VerificationRule, ready: bool
) -> None:
    requests = make_requests(12)
    eager = decoder_of(drafter, rule=rule)
    # Steps reach further where outcomes come late, which is to be seen here.
    eager.runner.lag = 1
    expected = decode(eager, requests)
    assert not cuda.graphs
    decoder = on_cuda(decoder_of(drafter, rule=rule))
    if ready:
        decoder.ready(requests)
    recorded = len(cuda.graphs)
    answers = decode(decoder, requests)
    assert decoder.runner.lag == 1
    for key, answer in answers.items():
        assert answer.token_ids == expected[key].token_ids, key
        assert answer.logit_digests == expected[key].logit_digests, key
        assert answer.scores == expected[key].scores, key
        counts = [
            [(step.drafted, step.accepted, step.rejected) for step in each.steps]
            for each in (answer, expected[key])
        ]
        assert counts[0] == counts[1], key
    assert sum(graph.replays for graph in cuda.graphs) > 3 * len(cuda.graphs)
    assert all(recorder.graphs for recorder in decoder.recorders)
    # Requests sample by various distributions, each combination of which is a recording of its own.
    assert bool(recorded) is ready
    assert cuda.waited >= len(requests) / 3


def test_an_adaptive_gamma_meets_recordings_of_many_kinds(cuda: Cuda) -> None:
    requests = make_requests(8, tokens=60)
    eager, recorded = (
        make_decoder(
            drafter_named("model", rows=2),
            rows=2,
            policy=AdaptiveGamma(7, cost=DraftCost(0.4, 0.3)),
        )
        for _ in range(2)
    )
    expected, answers = decode(eager, requests), decode(on_cuda(recorded), requests)
    for key, answer in answers.items():
        assert answer.token_ids == expected[key].token_ids, key
        assert answer.logit_digests == expected[key].logit_digests, key
    assert len(recorded.runner.graphs) > 5


def test_recordings_of_a_runner_share_their_memory(cuda: Cuda) -> None:
    state = torch.zeros(3)

    def step(added: float) -> Any:
        def add() -> Tensor:
            state.add_(added)
            return state * 2

        return add

    runner, other = (StepRunner(CUDA, state=(state,), lag=0) for _ in range(2))
    for _ in range(2):
        assert runner.run("one", step(1.0)) is not None
        assert runner.run("ten", step(10.0)) is not None
    assert state.tolist() == [22.0] * 3
    other.run("one", step(1.0))
    assert len(cuda.graphs) == 3
    assert cuda.pools[0] is cuda.pools[1]
    assert cuda.pools[2] is not cuda.pools[0]
    assert str(cost_of([runner, other])).startswith("3 CUDA graphs were captured in ")
    # Not to be written to by replays when the other's memory is gone.
    assert cuda.workspaces == cuda.pools
    assert cuda.workspace is None


def test_warming_up_and_recording_leave_the_state_as_it_was(cuda: Cuda) -> None:
    state = torch.zeros(2)

    def step() -> Tensor:
        state.add_(1.0)
        return state.clone()

    runner = StepRunner(CUDA, state=(state,), lag=0)
    runner.recorded("step", step)
    assert state.tolist() == [0.0, 0.0]
    assert [runner.run("step", step) for _ in range(2)][-1].tolist() == [2.0, 2.0]  # type: ignore[union-attr]


def test_a_late_outcome_is_that_of_its_own_step(cuda: Cuda) -> None:
    """The next replay overwrites where it was left."""
    state = torch.zeros(1)

    def step() -> Tensor:
        state.add_(1.0)
        return state * 1

    runner = StepRunner(CUDA, state=(state,))
    found = [runner.run("step", step) for _ in range(4)]
    assert found[0] is None
    assert [float(each) for each in found[1:] if each is not None] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("kept", ["made", "read"])
def test_the_acting_shows_what_a_recording_may_not_do(cuda: Cuda, kept: str) -> None:
    """Without this the tests above could not fail."""
    before: list[Tensor] = []

    def step() -> Tensor:
        if not before:
            before.append(torch.ones(2))
        if kept == "read":
            return torch.full((2,), float(before[0].sum()))
        return before[0] + 1

    recorder = Recorder(CUDA)
    if kept == "read":
        with pytest.raises(RuntimeError, match="waits for the device"):
            recorder.execute("step", step)
        return
    # Made while warming up it is from outside; made while recording it is spoilt.
    assert recorder.execute("step", step).tolist() == [2.0, 2.0]
    before.clear()
    captured = recorder.capture(lambda: before.append(torch.ones(2)) or before[-1] + 1)  # type: ignore[func-returns-value]
    captured.graph.replay()
    assert captured.outcome.tolist() == [2.0, 2.0]
    assert before[-1].tolist() != [1.0, 1.0]
