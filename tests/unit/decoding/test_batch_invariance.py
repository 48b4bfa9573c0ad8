"""The batch-invariant contract: one name and the same bits at every batch size and width."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.backends.interface import Backend, KeyValues
from equivcheck.decoding.backends.stock import STOCK, StockBackend
from equivcheck.decoding.backends.tiled import TiledBackend
from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.contract import probe_contract
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.gamma import GammaPolicy
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.verification import MatchRule
from tests.unit.decoding.models import (
    EOS,
    POSITIONS,
    decode,
    detokenise,
    make_requests,
    model_drafter,
    random_llama,
)

SHAPES = [(1, 1), (3, 5), (8, 8)]


class RaggedBackend(TiledBackend):
    """Leaves slots out, as the compiled kernels do, on any machine."""

    ragged = True


def model(dtype: torch.dtype = torch.float32, *, backend: Backend | None = None) -> StaticModel:
    return adopt(random_llama(dtype), positions=POSITIONS, backend=backend or TiledBackend())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_one_contract_covers_every_shape(dtype: torch.dtype) -> None:
    target = model(dtype)
    names = {
        probe_contract(target, rows=rows, width=width, tokens=16).contract for rows, width in SHAPES
    }
    (name,) = names
    assert name is not None
    assert name.startswith("batch-invariant")


@pytest.mark.parametrize("backend", [TiledBackend(), RaggedBackend()], ids=["whole", "ragged"])
def test_decoding_gives_the_same_bits_in_any_company(backend: Backend) -> None:
    target = model(backend=backend)
    requests = make_requests(6, tokens=24)

    def run(*, rows: int, width: int, gamma: int) -> dict[str, tuple[object, object]]:
        engine = Decoder(
            target,
            rows=rows,
            width=width,
            rule=MatchRule(),
            drafter=model_drafter(rows=rows) if gamma else None,
            gamma=GammaPolicy(gamma),
            eos_token_ids=(EOS,),
            detokenise=detokenise,
        )
        answers = decode(engine, requests)
        return {key: (each.token_ids, each.logit_digests) for key, each in answers.items()}

    plain = run(rows=1, width=1, gamma=0)
    for one, other in pairwise(
        [plain, run(rows=4, width=3, gamma=2), run(rows=5, width=6, gamma=5)]
    ):
        assert one == other


def test_a_ragged_step_computes_the_wanted_slots_alone() -> None:
    """As many windows as slots are wanted, and the same bits in them."""
    target = model(backend=RaggedBackend())
    lengths = []

    class Counts(StaticModel):
        def forward(self, tokens: Tensor, start: Tensor, cache: StaticCache) -> Tensor:
            lengths.append(tokens.numel())
            return super().forward(tokens, start, cache)

    counting = Counts(
        target.architecture, target.weights, positions=POSITIONS, backend=target.backend
    )
    window, start = torch.arange(12).view(3, 4), torch.tensor([0, 5, 2])
    wanted = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    part, whole = (
        counting.window_logits(window, start, counting.new_cache(rows=3), wanted=each)
        for each in (wanted, None)
    )
    assert lengths == [4, 12]
    assert torch.equal(part[wanted], whole[wanted])
    assert not part[~wanted].any()


class CountsRows(StockBackend):
    """Claims to be invariant and is not: the last bit depends on the number of rows."""

    batch_invariant = True

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        outputs = super().linear(inputs, weight, bias)
        return outputs if inputs.shape[0] > 1 else torch.nextafter(outputs, torch.tensor(torch.inf))


def test_a_false_claim_is_found_out() -> None:
    stock = adopt(random_llama(torch.float32), positions=POSITIONS, backend=STOCK)
    liar = StaticModel(stock.architecture, stock.weights, positions=POSITIONS, backend=CountsRows())
    report = probe_contract(liar, rows=4, width=8, tokens=8)
    assert report.contract is None
    assert [probe.name for probe in report.failed][:1] == ["alone"]


class CountsWindows(RaggedBackend):
    """Has other bits where slots are windows of their own, however many rows there are."""

    def attend(self, query: Tensor, seen: KeyValues, visible: Tensor) -> Tensor:
        mixed = super().attend(query, seen, visible)
        return mixed if seen.rows is None else torch.nextafter(mixed, torch.tensor(torch.inf))


def test_a_ragged_step_with_other_bits_is_found_out() -> None:
    report = probe_contract(model(backend=CountsWindows()), rows=4, width=8, tokens=8)
    assert report.contract is None
    assert "step" in {probe.name for probe in report.failed}
