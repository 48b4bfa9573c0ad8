"""Heads draft what plain torch says they should, whatever was rejected, and move no bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import PairError
from equivcheck.core.generation import Request
from equivcheck.core.serving import ServingLimits
from equivcheck.decoding import transforms
from equivcheck.decoding.backends.stock import STOCK
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.gamma import CAUGHT_UP, GammaPolicy
from equivcheck.decoding.graphs import Recorder, StepRunner
from equivcheck.decoding.head_files import eagle_head, mtp_head, read_head
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.decoding.verification import BlockRule, RejectionRule, VerificationRule
from equivcheck.serving.server import Server
from tests.unit.decoding.emulated import Cuda
from tests.unit.decoding.head_models import (
    DRAFTED,
    HOT,
    KINDS,
    Asked,
    Watched,
    expected_logits,
    head_decoder,
    head_drafter,
    hot_requests,
    saved,
    static_target,
)
from tests.unit.decoding.models import VOCAB, decode, make_requests


def assert_drafted_as_expected(kind: str, asked: Sequence[Asked], *, every: int = 3) -> None:
    """By the differences between logits: a distribution is known but for a factor."""
    assert len(asked) > 20
    for text, tokens, log_probs in asked[::every]:
        expected = expected_logits(kind, text, tokens)
        assert torch.equal(log_probs.isinf(), expected.isinf())
        # A greedy row has its logits, a hot one those over its temperature.
        spread = expected[expected.isfinite()].std() / log_probs[log_probs.isfinite()].std()
        scale = HOT if spread > HOT / 2 else 1.0
        wanted, found = expected.nan_to_num(neginf=0.0), (scale * log_probs).nan_to_num(neginf=0.0)
        assert (wanted - found).abs().max() < 1e-3, (len(text), tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_drafts_what_plain_torch_says(kind: str) -> None:
    decoder = head_decoder(head_drafter(kind, rows=3), rows=3)
    answers = decode(decoder, hot_requests(8))
    accepted = {step.accepted for answer in answers.values() for step in answer.steps}
    assert accepted == set(range(5))
    assert isinstance(decoder, Watched)
    assert_drafted_as_expected(kind, decoder.asked)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_heads_move_no_bit(kind: str, dtype: torch.dtype) -> None:
    requests = [*make_requests(6), *hot_requests(6)]
    plain = decode(head_decoder(None, dtype=dtype, kind=Decoder), requests)
    drafted = decode(head_decoder(head_drafter(kind, rows=4, dtype=dtype), dtype=dtype), requests)
    for key, answer in plain.items():
        assert drafted[key].token_ids == answer.token_ids
        assert drafted[key].logit_digests == answer.logit_digests
    assert any(step.accepted for answer in drafted.values() for step in answer.steps)


def test_the_target_keeps_no_hidden_states_unasked() -> None:
    assert not head_decoder(None).rows.hidden
    assert set(head_decoder(head_drafter("eagle3", rows=4)).rows.hidden) == {0, 1, 3}


class Pauses(GammaPolicy):
    """Drafts three times, then not for as many steps as are given, with other gammas each time."""

    def __init__(self, most: int, *, pause: int) -> None:
        super().__init__(most)
        self.pause, self.steps = pause, 0

    def choose(self) -> int:
        turn = self.steps % (self.pause + 3)
        return 0 if turn >= 3 else 1 + (self.steps // 3 + turn) % self.most

    def observe(self, gamma: int, outcomes: Sequence[RowOutcome]) -> None:
        super().observe(gamma, outcomes)
        self.steps += 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pause", [6, CAUGHT_UP + 1])
def test_a_head_knows_what_was_decoded_meanwhile(kind: str, pause: int) -> None:
    policy = Pauses(4, pause=pause)
    decoder = head_decoder(head_drafter(kind, rows=2), rows=2, policy=policy)
    decode(decoder, hot_requests(4, tokens=90))
    assert isinstance(decoder, Watched)
    assert_drafted_as_expected(kind, decoder.asked)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_knows_what_it_is_served(kind: str) -> None:
    """Long prompts in chunks beside rows that run, prefixes taken over, rows taken away."""
    decoder = head_decoder(head_drafter(kind, rows=3), rows=3)
    shared = tuple(range(20, 110))
    requests = [
        Request(
            key=f"served/{index}",
            prompt_ids=(*shared, *range(120, 130 + 3 * index)),
            max_new_tokens=30,
            sampling=Sampling(temperature=HOT),
            seed=index,
            ignore_eos=True,
        )
        for index in range(5)
    ]
    expected = decode(head_decoder(None, rows=3, kind=Decoder), requests)
    server = Server(decoder, ServingLimits(prefix_tokens=128, live_tokens=400))
    answered = {}
    waiting = list(requests)
    while waiting or not server.idle:
        if waiting:
            server.submit(waiting.pop(0))
        for event in server.advance():
            if event.generation is not None:
                answered[event.key] = event.generation
    assert server.statistics.preempted
    assert server.statistics.cached
    for key, answer in expected.items():
        assert answered[key].token_ids == answer.token_ids
    assert isinstance(decoder, Watched)
    assert_drafted_as_expected(kind, decoder.asked)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_is_recorded_with_the_step(
    cuda: Cuda, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replayed behind a lag, as on a GPU, it drafts what it does eagerly."""
    monkeypatch.setattr(
        transforms, "falling", lambda values: values.sort(dim=-1, descending=True).values
    )
    requests = [*make_requests(6), *hot_requests(5)]
    eager = head_decoder(head_drafter(kind, rows=3), rows=3, kind=Decoder)
    eager.runner.lag = 1
    expected = decode(eager, requests)
    drafter = head_drafter(kind, rows=3)
    decoder = head_decoder(drafter, rows=3, kind=Decoder)
    device = torch.device("cuda")
    decoder.runner = StepRunner(device, state=decoder.rows.state)
    for reader in (decoder.prefill, drafter.prefill):
        reader.recorder, reader.whole = Recorder(device), True
    decoder.ready(requests)
    for key, answer in decode(decoder, requests).items():
        assert answer.token_ids == expected[key].token_ids
        assert [step.drafts for step in answer.steps] == [
            step.drafts for step in expected[key].steps
        ]
    assert cuda.graphs


@pytest.mark.parametrize("kind", KINDS)
def test_past_its_limit_a_head_drafts_nothing(kind: str) -> None:
    limit = 50
    requests = hot_requests(6)
    plain = decode(head_decoder(None, kind=Decoder), requests)
    decoder = head_decoder(head_drafter(kind, rows=4, limit=limit))
    answers = decode(decoder, requests)
    drafted_near, drafted_far = 0, 0
    for request in requests:
        answer, known = answers[request.key], len(request.prompt_ids)
        assert answer.token_ids == plain[request.key].token_ids
        for step in answer.steps:
            # The entry that the first draft comes of stands two before the end.
            assert step.drafted <= max(0, limit - (known - 2))
            drafted_near += step.drafted * (known < limit)
            drafted_far += step.drafted * (known > limit + 1)
            known += step.emitted
    assert drafted_near > 20
    assert drafted_far == 0


@pytest.mark.parametrize("rule", [RejectionRule(), BlockRule()])
def test_a_part_of_the_vocabulary_is_drafted_by_every_rule(rule: VerificationRule) -> None:
    decoder = head_decoder(head_drafter("eagle3", rows=4), rule=rule)
    answers = decode(decoder, hot_requests(8))
    assert isinstance(decoder, Watched)
    assert all(int(probs.isfinite().sum(dim=-1).max()) == DRAFTED for _, _, probs in decoder.asked)
    steps = [step for answer in answers.values() for step in answer.steps]
    told = [each for step in steps for each in step.draft_logprobs or ()]
    assert all(-100 < each <= 0 for each in told)
    assert sum(step.accepted for step in steps) > 20
    # Tokens that are never drafted are answered all the same.
    ids = set(torch.arange(VOCAB)[~decoder.asked[0].log_probs[0].isfinite()].tolist())
    assert any(ids & set(answer.token_ids) for answer in answers.values())


@pytest.mark.parametrize("rule", [RejectionRule(), BlockRule()])
def test_nothing_is_meant_where_all_that_could_be_drafted_is_banned(rule: VerificationRule) -> None:
    drafter = head_drafter("eagle3", rows=4)
    banned = tuple(drafter.head.target_ids.tolist())  # type: ignore[attr-defined]
    requests = [
        Request(
            key=str(index),
            prompt_ids=(11, 12, 13),
            max_new_tokens=12,
            sampling=Sampling(temperature=1.0, banned_tokens=banned),
            ignore_eos=True,
        )
        for index in range(3)
    ]
    answers = decode(head_decoder(drafter, rule=rule), requests)
    for answer in answers.values():
        assert len(answer.token_ids) == 12
        assert not set(banned) & set(answer.token_ids)
        assert not any(step.drafted for step in answer.steps)


def test_what_cannot_be_run_is_refused_by_name(tmp_path: Path) -> None:
    def changed(kind: str, **config: object) -> Path:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(saved(kind), folder)
        told = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(told | config))
        return folder

    def refused(folder: Path, words: str) -> None:
        kind = mtp_head if "mtp" in words else eagle_head
        with pytest.raises(PairError, match=words):
            kind(read_head(folder, static_target(), backend=STOCK))

    refused(tmp_path / "none", "no head that can be read")
    refused(changed("eagle3", norm_output=True), "norm_output is not implemented")
    refused(changed("eagle3", eagle_aux_hidden_state_layer_ids=[1, 9, 2]), "0 to 4")
    refused(changed("eagle3", rope_scaling={"rope_type": "yarn"}), "rotary scaling")
    refused(changed("eagle3", intermediate_size=7), "gate_proj.weight is")
    refused(changed("eagle3", draft_vocab_size=DRAFTED + 1), "d2t is")
    refused(changed("mtp", num_nextn_predict_layers=3), "no tensor model.mtp_layers.2")
    shifted = changed("eagle3")
    tensors = load_file(shifted / "model.safetensors")
    save_file(tensors | {"d2t": tensors["d2t"] + VOCAB}, shifted / "model.safetensors")
    refused(shifted, "d2t has to give")
