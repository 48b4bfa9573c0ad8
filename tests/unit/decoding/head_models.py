"""Heads for the decoder tests' random target, and what they should draft by plain torch."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.backends.stock import STOCK
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.gamma import GammaPolicy
from equivcheck.decoding.head_drafter import HeadDrafter
from equivcheck.decoding.head_files import eagle_head, mtp_head, read_head
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.verification import MatchRule, Proposal, VerificationRule
from tests.heads import (
    eagle_config,
    eagle_pass,
    eagle_shapes,
    head_config,
    id_map,
    mtp_pass,
    mtp_shapes,
    random_tensors,
    save_head,
)
from tests.small_models import small_llama
from tests.unit.decoding.models import EOS, POSITIONS, VOCAB, detokenise

KEEPS = (0, 1, 3)
DRAFTED = 240
KINDS = ("eagle3", "mtp")
HOT = 6.0
"""A temperature at which shared noise decides, so that random heads are often right."""


def hot_requests(count: int, *, tokens: int = 30, prompt: int = 40) -> list[Request]:
    generator = torch.Generator().manual_seed(3)
    return [
        Request(
            key=f"hot/{index}",
            prompt_ids=tuple(
                torch.randint(10, VOCAB, (1 + (7 * index) % prompt,), generator=generator).tolist()
            ),
            max_new_tokens=tokens + index,
            sampling=Sampling(temperature=HOT) if index % 4 else Sampling(),
            seed=index,
            ignore_eos=True,
        )
        for index in range(count)
    ]


@functools.cache
def target_of_heads(dtype: torch.dtype = torch.float32) -> Any:
    return small_llama(vocab_size=VOCAB, num_hidden_layers=4, initializer_range=0.1).to(dtype)


@functools.cache
def static_target(dtype: torch.dtype = torch.float32) -> StaticModel:
    return adopt(target_of_heads(dtype), positions=POSITIONS)


@functools.cache
def saved(kind: str, *, limit: int = 4096) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="heads"))
    config, tensors = described(kind, limit=limit)
    return save_head(folder, config, tensors)


@functools.cache
def described(kind: str, *, limit: int = 4096) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors of a random head."""
    shape, most = target_of_heads().config, {"max_position_embeddings": limit}
    if kind == "mtp":
        config = head_config(shape, num_nextn_predict_layers=2, **most)
        return config, random_tensors(mtp_shapes(config))
    config = eagle_config(shape, keeps=KEEPS, drafted=DRAFTED, **most)
    tensors = random_tensors(eagle_shapes(config, target_hidden=shape.hidden_size))
    return config, tensors | id_map(DRAFTED, vocab=VOCAB)


def head_drafter(
    kind: str, *, rows: int, most: int = 4, limit: int = 4096, dtype: torch.dtype = torch.float32
) -> HeadDrafter:
    files = read_head(saved(kind, limit=limit), static_target(dtype), backend=STOCK)
    head = (mtp_head if kind == "mtp" else eagle_head)(files)
    return HeadDrafter(head, rows=rows, most=most)


class Asked(NamedTuple):
    """What a row held when it was asked, and what came of it."""

    text: list[int]
    tokens: list[int]
    log_probs: Tensor
    """[drafts, vocab]"""


class Watched(Decoder):
    """Notes what is proposed."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        proposal = super().propose(gamma=gamma, unread=unread)
        self.asked = getattr(self, "asked", [])
        for row, seat in enumerate(self.seats):
            count = int(proposal.lengths[row])
            if seat is None or not count:
                continue
            text = self.rows.tokens[row, : int(self.rows.length[row])].tolist()
            tokens = proposal.tokens[row, :count]
            certain = torch.full((count, VOCAB), float("-inf")).scatter_(1, tokens[:, None], 0.0)
            probs = (
                certain if proposal.log_probs is None else proposal.log_probs[row, :count].clone()
            )
            self.asked.append(Asked(text, tokens.tolist(), probs))
        return proposal


def head_decoder(
    drafter: HeadDrafter | None,
    *,
    rows: int = 4,
    gamma: int = 4,
    width: int = 8,
    dtype: torch.dtype = torch.float32,
    rule: VerificationRule | None = None,
    policy: GammaPolicy | None = None,
    kind: type[Decoder] = Watched,
) -> Decoder:
    return kind(
        static_target(dtype),
        rows=rows,
        width=width,
        rule=rule or MatchRule(),
        drafter=drafter,
        gamma=policy or GammaPolicy(gamma),
        eos_token_ids=(EOS,),
        detokenise=detokenise,
    )


def left_last(text: list[int]) -> Tensor:
    """What leaves the target's last layer, before its norm, [1, tokens, hidden]."""
    model, caught = target_of_heads(), []
    hook = model.model.norm.register_forward_pre_hook(lambda norm, given: caught.append(given[0]))
    model(torch.tensor([text]))
    hook.remove()
    found: Tensor = caught[0]
    return found


@torch.inference_mode()
def expected_logits(kind: str, text: list[int], drafts: list[int]) -> Tensor:
    """What each draft behind a text should be drawn from, fp32, [drafts, vocab], by no cache."""
    model = target_of_heads()
    config, tensors = described(kind)
    embedding = model.get_input_embeddings().weight
    states = model(torch.tensor([text]), output_hidden_states=True).hidden_states
    entries = len(text) - 1
    if kind == "mtp":
        head = model.get_output_embeddings().weight
        tokens = embedding[torch.tensor([text[1:]])]
        chain = first = mtp_pass(tokens, left_last(text)[:, :entries], tensors, config, 0)
        found = [first[0, -1] @ head.T]
        for draft in range(1, len(drafts)):
            tokens = embedding[torch.tensor([(text[2:] + drafts)[: entries + draft - 1]])]
            last = mtp_pass(tokens, chain, tensors, config, 1)[:, -1:]
            found.append(last[0, -1] @ head.T)
            chain = torch.cat([chain, last], dim=1)
        return torch.stack(found)
    kept = torch.cat([states[place][:, :entries] for place in KEEPS], dim=-1)
    hidden = kept @ tensors["fc.weight"].T
    ids = tensors["d2t"] + torch.arange(DRAFTED)
    found = []
    for draft in range(len(drafts)):
        tokens = embedding[torch.tensor([text[1:] + drafts[:draft]])]
        logits, left = eagle_pass(tokens, hidden, tensors, config)
        spread = torch.full((VOCAB,), float("-inf"))
        spread[ids] = logits[0, -1]
        found.append(spread)
        hidden = torch.cat([hidden, left[:, -1:]], dim=1)
    return torch.stack(found)
