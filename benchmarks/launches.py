"""How many kernels a step starts on a GPU, counted where there is none.

    python -m benchmarks.launches

The decoder runs on the `meta` device, where tensors have shapes and no numbers: what it would start
on a GPU is counted, at the sizes of large models, within seconds. As on a GPU nothing can be read
back, and tensors of two devices cannot meet.
"""

from __future__ import annotations

import collections
import contextlib
import functools
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM
from triton.runtime.jit import KernelInterface

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.decoding.architecture import Architecture, describe
from equivcheck.decoding.backends.fused import FusedBackend
from equivcheck.decoding.backends.interface import Backend
from equivcheck.decoding.backends.stock import STOCK
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import ModelDrafter
from equivcheck.decoding.gamma import GammaPolicy
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.prefill import BLOCK, Span
from equivcheck.decoding.reaching import reaches
from equivcheck.decoding.verification import MatchRule, RejectionRule, VerificationRule
from equivcheck.decoding.weights import Weights, fuse
from equivcheck.pairs.shapes import SHAPES

NO_KERNEL = frozenset(
    (
        "_reshape_alias",
        "_unsafe_view",
        "alias",
        "as_strided",
        "detach",
        "empty",
        "empty_like",
        "empty_strided",
        "expand",
        "lift_fresh",
        "new_empty",
        "new_empty_strided",
        "permute",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "squeeze",
        "t",
        "transpose",
        "unbind",
        "unfold",
        "unsqueeze",
        "view",
    )
)
"""Operations that look at memory otherwise, or only set it aside."""
META = torch.device("meta")
HEAD = 64
VOCABULARY = 4096
GAMMA, WIDTH, POSITIONS = 4, 8, 1088
SAMPLINGS = {
    "greedy": Sampling(),
    "temperature": Sampling(temperature=0.8),
    "nucleus": Sampling(temperature=0.8, top_p=0.9),
    "penalties": Sampling(repetition_penalty=1.2),
}
REACHES = (128, POSITIONS)
"""One split of the kernels' attention, and several."""


class Launches(TorchDispatchMode):
    """Counts by name what would be a kernel."""

    def __init__(self) -> None:
        """Start with none."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: Counter[str] = collections.Counter()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Count an operation of torch's."""
        name = operation.overloadpacket.__name__
        if name not in NO_KERNEL:
            self.names[name] += 1
        return operation(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        """All of them."""
        return self.names.total()

    def launch(self, kernel: Any, *args: Any) -> None:
        """Count a kernel of the project's, after seeing that its tensors are on the device."""
        for argument in args:
            if isinstance(argument, Tensor):
                assert argument.device == META, (kernel.__name__, argument.device)
        self.names[kernel.__name__] += 1


@contextlib.contextmanager
def counting() -> Iterator[Launches]:
    """Count the launches of what is run on the meta device."""
    launches = Launches()

    def start(kernel: Any, grid: Any) -> Any:
        del grid
        return lambda *args, **options: launches.launch(kernel, *args)

    def attention(query: Tensor, *args: Any, **options: Any) -> Tensor:
        del args, options
        launches.names["scaled_dot_product_attention"] += 1
        return torch.empty_like(query)

    # On the meta device torch's attention would be taken apart, which on a GPU is one kernel.
    with (
        mock.patch.object(F, "scaled_dot_product_attention", attention),
        mock.patch.object(KernelInterface, "__getitem__", start),
        torch.no_grad(),
        launches,
    ):
        yield launches


@functools.cache
def weights_of(shape: str) -> tuple[Architecture, Weights]:
    """A model of a shape, without numbers."""
    sizes = SHAPES[shape]
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        intermediate_size=sizes.intermediate,
        head_dim=HEAD,
    )
    kind: Any = LlamaForCausalLM
    with META:
        model = kind(config).to(torch.bfloat16)
    architecture = describe(config)
    return architecture, fuse(model, architecture)


def decoder_of(
    pair: tuple[str, str], *, backend: Backend, rule: VerificationRule, rows: int = 1
) -> Decoder:
    """A decoder of a pair of shapes, target and draft."""
    target, draft = (
        StaticModel(
            *weights_of(shape),
            positions=POSITIONS,
            backend=backend,
            reaches=reaches(POSITIONS),
        )
        for shape in pair
    )
    decoder = Decoder(
        target,
        rows=rows,
        width=WIDTH,
        rule=rule,
        drafter=ModelDrafter(draft, rows=rows),
        gamma=GammaPolicy(GAMMA),
        eos_token_ids=(0,),
        detokenise=lambda token_ids: "",
        reads_together=True,
    )
    decoder.rows.streams.kernel = backend is not STOCK
    return decoder


def step_launches(
    decoder: Decoder, sampling: Sampling, *, reach: int, gamma: int = GAMMA
) -> Launches:
    """Of one step of requests of one sampling that attends to `reach` positions."""
    requests = [
        Request(
            key=f"request/{row}",
            prompt_ids=(1, 2, 3),
            max_new_tokens=64,
            sampling=sampling,
            seed=0,
        )
        for row in range(len(decoder.seats))
    ]
    with counting():
        decoder.clear()
        decoder.fill(deque(requests))
        decoder.rows.reach = reach
    with counting() as launches:
        decoder.speculate(gamma=gamma, unread=2)
    return launches


def chunk_launches(decoder: Decoder) -> Launches:
    """Of the target reading one chunk of prompts."""
    with counting() as launches:
        decoder.prefill.read(decoder.rows.tokens, [Span(0, 0, BLOCK)])
    return launches


def main() -> None:
    """Print two tables."""
    print(
        "| sampling and rule | reach | arithmetic | plain step | a draft token | step of gamma 4 |"
    )
    print("|---|---:|---|---:|---:|---:|")
    for name, sampling in SAMPLINGS.items():
        for rule in (MatchRule(), RejectionRule()):
            for backend in (STOCK, FusedBackend()):
                decoder = decoder_of(("8b", "0.15b"), backend=backend, rule=rule)
                for reach in REACHES:
                    plain, one, whole = (
                        step_launches(decoder, sampling, reach=reach, gamma=gamma).total
                        for gamma in (0, 1, GAMMA)
                    )
                    each = (whole - one) / (GAMMA - 1)
                    print(
                        f"| {name}, {type(rule).__name__} | {reach:,} | {backend.name} "
                        f"| {plain:,} | {each:,.0f} | {whole:,} |"
                    )
    print("\n| arithmetic | a chunk of prompts |\n|---|---:|")
    for backend in (STOCK, FusedBackend()):
        decoder = decoder_of(("8b", "0.15b"), backend=backend, rule=MatchRule())
        print(f"| {backend.name} | {chunk_launches(decoder).total:,} |")


if __name__ == "__main__":
    main()
