"""Small random models for decoder tests: a target, and drafts that agree with it by halves."""

from __future__ import annotations

import functools
from typing import Any

import torch

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Generation, Request
from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import Drafter, ModelDrafter, PromptLookupDrafter
from equivcheck.decoding.gamma import GammaPolicy
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.verification import MatchRule, VerificationRule
from tests.small_models import small_llama

VOCAB = 320
POSITIONS = 256
EOS = 5


@functools.cache
def random_llama(dtype: torch.dtype, *, noise: float = 0.0) -> Any:
    """A random Llama with distinct norms; `noise` blurs its head, to make a draft of it."""
    return small_llama(noise=noise, vocab_size=VOCAB).to(dtype)


@functools.cache
def static(dtype: torch.dtype = torch.float32, *, noise: float = 0.0) -> StaticModel:
    return adopt(random_llama(dtype, noise=noise), positions=POSITIONS)


def model_drafter(
    dtype: torch.dtype = torch.float32, *, rows: int, noise: float = 0.08
) -> ModelDrafter:
    return ModelDrafter(static(dtype, noise=noise), rows=rows)


def drafter_named(name: str, *, rows: int, dtype: torch.dtype = torch.float32) -> Drafter | None:
    if name == "none":
        return None
    return PromptLookupDrafter() if name == "lookup" else model_drafter(dtype, rows=rows)


def detokenise(token_ids: Any) -> str:
    """Two letters a token, so that strings can cross token borders."""
    return "".join(chr(97 + token // 26 % 26) + chr(97 + token % 26) for token in token_ids)


def make_decoder(
    drafter: Drafter | None = None,
    *,
    gamma: int = 4,
    rows: int = 4,
    width: int = 8,
    dtype: torch.dtype = torch.float32,
    rule: VerificationRule | None = None,
    policy: GammaPolicy | None = None,
    kind: type[Decoder] = Decoder,
    eos: tuple[int, ...] = (EOS,),
    reads_together: bool = False,
) -> Decoder:
    return kind(
        static(dtype),
        rows=rows,
        width=width,
        rule=rule or MatchRule(),
        drafter=drafter,
        gamma=policy or GammaPolicy(gamma),
        eos_token_ids=eos,
        detokenise=detokenise,
        reads_together=reads_together,
    )


SAMPLINGS = (
    Sampling(),
    Sampling(temperature=0.7),
    Sampling(temperature=1.0, top_p=0.9),
    Sampling(repetition_penalty=1.3, presence_penalty=0.4),
    Sampling(temperature=1.3, top_k=20, min_p=0.02, frequency_penalty=0.3),
    Sampling(logit_bias={7: 1.5}, banned_tokens=(9,), min_new_tokens=6),
)


def make_requests(count: int, *, tokens: int = 24, seed: int = 0) -> list[Request]:
    """Requests of mixed lengths and sampling; some prompts repeat a phrase."""
    generator = torch.Generator().manual_seed(seed)
    requests = []
    for index in range(count):
        length = int(torch.randint(1, 90, (1,), generator=generator))
        prompt = torch.randint(10, VOCAB, (length,), generator=generator).tolist()
        requests.append(
            Request(
                key=f"test/{index}",
                prompt_ids=tuple(prompt + prompt[:7] if index % 3 else prompt),
                max_new_tokens=tokens,
                sampling=SAMPLINGS[index % len(SAMPLINGS)],
                seed=seed + index,
            )
        )
    return requests


def decode(decoder: Decoder, requests: list[Request]) -> dict[str, Generation]:
    return {generation.key: generation for generation in decoder.run(requests)}
