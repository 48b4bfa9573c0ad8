"""A step's outcome may come to the host one step late, and a whole step can be recorded.

This is how the decoder runs on a GPU, tested where there is none: with a lag on eager steps, and
with a recording of the step that is replayed on other contents of the same buffers.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Hashable

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from equivcheck.core.generation import Generation
from equivcheck.decoding import decoder, progress, transforms
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import ModelDrafter
from equivcheck.decoding.gamma import AdaptiveGamma, DraftCost
from equivcheck.decoding.graphs import Landing, StepRunner
from equivcheck.decoding.verification import MatchRule, RejectionRule, VerificationRule
from tests.unit.decoding.models import decode, drafter_named, make_decoder, make_requests


def late(decoder: Decoder) -> Decoder:
    """The decoder with outcomes that come one step late, as on a GPU."""
    decoder.runner.lag = 1
    return decoder


def same(one: Generation, other: Generation) -> bool:
    """Whether two answers agree in all but their times."""
    return (one.token_ids, one.finish_reason, one.scores, one.logit_digests) == (
        other.token_ids,
        other.finish_reason,
        other.scores,
        other.logit_digests,
    )


@pytest.mark.parametrize("drafter", ["none", "model", "lookup"])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("rule", [MatchRule(), RejectionRule()], ids=["coupled", "rejection"])
def test_late_outcomes_are_the_same_outcomes(
    drafter: str, rows: int, rule: VerificationRule
) -> None:
    requests = make_requests(9)
    prompt, tardy = (
        make_decoder(drafter_named(drafter, rows=rows), rows=rows, rule=rule) for _ in range(2)
    )
    expected, answers = decode(prompt, requests), decode(late(tardy), requests)
    assert answers.keys() == expected.keys()
    for key, answer in answers.items():
        assert same(answer, expected[key]), key
        steps, others = answer.steps, expected[key].steps
        assert [(step.drafted, step.accepted, step.emitted) for step in steps] == [
            (step.drafted, step.accepted, step.emitted) for step in others
        ], key


class Clock:
    """One second passes whenever it is looked at."""

    now = 0.0

    def perf_counter(self) -> float:
        self.now += 1.0
        return self.now


@pytest.mark.parametrize("lag", [0, 1])
def test_all_time_is_the_time_of_some_step(lag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the host was busy, a device went on with a step whose end it then found at once."""
    clock, decoding = Clock(), make_decoder(drafter_named("lookup", rows=3), rows=3)
    decoding.runner.lag = lag
    for module in (decoder, progress):
        monkeypatch.setattr(module, "time", clock)
    answers = {}
    for answer in decoding.run(make_requests(9)):
        answers[answer.key] = answer
        clock.now += 1000.0
    for answer in answers.values():
        seconds = [step.seconds for step in answer.steps if step.seconds is not None]
        assert answer.prefill_seconds is not None
        assert answer.total_seconds is not None
        assert min(seconds) > 0
        spent = answer.prefill_seconds + sum(seconds)
        assert answer.total_seconds == pytest.approx(spent, abs=1e-3)


def test_an_adaptive_gamma_learns_late_and_changes_no_token() -> None:
    requests = make_requests(8, tokens=40)
    expected = decode(make_decoder(rows=3), requests)
    policy = AdaptiveGamma(7, cost=DraftCost(0.6, 0.6))
    drafting = make_decoder(drafter_named("model", rows=3), rows=3, policy=policy)
    answers = decode(late(drafting), requests)
    assert all(answers[key].token_ids == expected[key].token_ids for key in expected)
    drafted = {step.drafted for answer in answers.values() for step in answer.steps}
    assert len(drafted) > 1


def test_an_abandoned_run_leaves_no_outcome_to_the_next() -> None:
    requests = make_requests(6)
    decoder = late(make_decoder(rows=2))
    expected = decode(make_decoder(rows=2), requests)
    next(iter(decoder.run(requests)))
    answers = decode(decoder, list(reversed(requests)))
    assert all(same(answers[key], expected[key]) for key in expected)


def test_a_runner_hands_outcomes_on_in_order() -> None:
    counter = itertools.count()

    def step() -> Tensor:
        return torch.tensor([next(counter)])

    prompt, tardy = (StepRunner(torch.device("cpu"), state=(), lag=lag) for lag in (0, 1))
    assert [int(prompt.run("key", step) or 0) for _ in range(3)] == [0, 1, 2]
    landed = [tardy.run("key", step) for _ in range(3)]
    assert landed[0] is None
    assert [int(each) for each in landed[1:] if each is not None] == [3, 4]
    tardy.forget()
    assert tardy.run("key", step) is None


class Recorder:
    """Records each kind of step once, as a graph of operations, and replays it from then on."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.recorded: dict[Hashable, Callable[[], Tensor]] = {}
        self.replays = 0

    def launch(self, key: Hashable, step: Callable[[], Tensor]) -> Landing:
        if key not in self.recorded:
            # Recording executes the step, as warming up does on a GPU: it is undone.
            state = self.decoder.rows.state
            before = [buffer.clone() for buffer in state]
            self.recorded[key] = make_fx(step, tracing_mode="real")()
            for buffer, saved in zip(state, before, strict=True):
                buffer.copy_(saved)
        self.replays += 1
        return Landing(self.recorded[key](), None)

    def execute(self, key: Hashable, step: Callable[[], Tensor]) -> Tensor:
        """The same for what is read, which moves nothing on."""
        if key not in self.recorded:
            self.recorded[key] = make_fx(step, tracing_mode="real")()
        self.replays += 1
        return self.recorded[key]()


def recording(decoder: Decoder) -> list[Recorder]:
    """Have the decoder's steps and readings recorded and replayed, as on a GPU."""
    steps = Recorder(decoder)
    decoder.runner.launch = steps.launch  # type: ignore[method-assign]
    found = [steps]
    readers = [decoder.prefill]
    if isinstance(decoder.drafter, ModelDrafter):
        readers.append(decoder.drafter.prefill)
    for reader in readers:
        reader.whole = True
        found.append(Recorder(decoder))
        reader.recorder.execute = found[-1].execute  # type: ignore[method-assign]
    return found


@pytest.fixture
def device_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sort that is used on a GPU; the one for CPUs leaves torch and cannot be recorded."""
    monkeypatch.setattr(
        transforms, "falling", lambda values: values.sort(dim=-1, descending=True).values
    )


@pytest.mark.usefixtures("device_sort")
@pytest.mark.parametrize("drafter", ["none", "model", "lookup"])
@pytest.mark.parametrize("rule", [MatchRule(), RejectionRule()], ids=["coupled", "rejection"])
def test_what_is_recorded_does_what_it_did(drafter: str, rule: VerificationRule) -> None:
    """Whatever depends on the host would be frozen at what it was when it was recorded."""
    requests = make_requests(12)
    expected = decode(make_decoder(drafter_named(drafter, rows=3), rows=3, rule=rule), requests)
    decoder = make_decoder(drafter_named(drafter, rows=3), rows=3, rule=rule, reads_together=True)
    recorders = recording(decoder)
    answers = decode(late(decoder), requests)
    assert len(recorders) == 2 + (drafter == "model")
    for recorder in recorders:
        assert recorder.replays > 3 * len(recorder.recorded)
    for key, answer in answers.items():
        assert same(answer, expected[key]), key


@pytest.mark.usefixtures("device_sort")
def test_a_step_never_waits_for_the_host() -> None:
    """No operation of a step reads a number back; a recording of one that did would fail."""
    decoder = make_decoder(drafter_named("model", rows=3), rows=3, rule=RejectionRule())
    decoder.clear()
    with torch.inference_mode():
        decoder.fill(deque(make_requests(3)))
        graph = make_fx(lambda: decoder.speculate(gamma=4, unread=2))()
    names = {str(node.target) for node in graph.graph.nodes}
    assert len(names) > 20
    waiting = [name for name in names if "local_scalar" in name or "nonzero" in name]
    assert not waiting
