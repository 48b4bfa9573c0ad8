"""A random model on the GPU and a decoder of it, for the tests that need them."""

from __future__ import annotations

import torch

from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.backends.choose import fastest_products
from equivcheck.decoding.backends.interface import Backend
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import Drafter
from equivcheck.decoding.gamma import GammaPolicy
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.verification import MatchRule
from tests.small_models import small_llama
from tests.unit.decoding.models import VOCAB, detokenise

DEVICE = torch.device("cuda")
DTYPES = [torch.bfloat16, torch.float16, torch.float32]
POSITIONS = 576


def model_on_gpu(
    dtype: torch.dtype,
    *,
    noise: float = 0.0,
    lengths: tuple[int, ...] = (),
    backend: Backend | None = None,
) -> StaticModel:
    model = small_llama(
        noise=noise,
        vocab_size=VOCAB,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        initializer_range=0.08,
    )
    return adopt(
        model.to(DEVICE, dtype),
        positions=POSITIONS,
        reaches=lengths,
        backend=backend or fastest_products(DEVICE, dtype=dtype),
    )


def decoder(
    model: StaticModel,
    drafter: Drafter | None,
    *,
    rows: int,
    gamma: int = 4,
    reads_together: bool = False,
) -> Decoder:
    return Decoder(
        model,
        rows=rows,
        width=8,
        rule=MatchRule(),
        drafter=drafter,
        gamma=GammaPolicy(gamma),
        eos_token_ids=(5,),
        detokenise=detokenise,
        reads_together=reads_together,
    )
