"""What the adapters here share: requests one by one, what is refused, and why an output ended.

An adapter names its package, says what it serves, and decodes one request. How it does is in
docs/write-an-adapter.md, which needs none of this.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from msgspec import Struct

from equivcheck import (
    Capabilities,
    EngineError,
    EngineSetup,
    Generation,
    Request,
    Sampling,
    Step,
    lacking,
    load_setup,
)
from equivcheck_examples.remembering import Remembering


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can follow the name of any of these engines."""

    gamma: int = 4
    cut: bool = False
    """Cut at stops and limits that the package runs over, so that the rest is judged by itself."""
    sound: bool = False
    """The adapter's control: `sound.py` in the place of the package's own step."""


class Round(NamedTuple):
    """A verify step as the package tells it."""

    drafted: int
    accepted: int
    emitted: int


class OneAtATime:
    """An engine without a batch. Subclasses say `NAME`, `SERVES` and `decode`."""

    NAME = ""
    SERVES: tuple[str, ...] = ("temperature",)
    """Fields of `Sampling` that the package's API has."""
    LACKS: tuple[str, ...] = ("stop",)
    """Fields of `Request` that it lacks."""
    SAYS: dict[str, Any] = {"rule": "rejection", "drafter": "model", "reports_steps": True}
    """More of its `Capabilities`."""

    def __init__(self, options: Any, setup: EngineSetup) -> None:
        torch.set_num_threads(setup.threads or torch.get_num_threads())
        self.options, self.setup, self.pair = options, setup, load_setup(setup)
        self.target, self.draft = Remembering(self.pair.target), Remembering(self.pair.draft)
        """For packages without a cache; others take the pair's modules."""
        self.most = options.gamma
        """Draft tokens a step, at most."""

    @property
    def capabilities(self) -> Capabilities:
        given = ((name, getattr(self.options, name)) for name in self.options.__struct_fields__)
        told = ",".join(f"{name}={str(value).lower()}" for name, value in given)
        return Capabilities(
            engine=f"{self.NAME}:{told}",
            device=str(self.pair.target.device),
            dtype=self.setup.dtype,
            threads=torch.get_num_threads(),
            num_speculative_tokens=self.most,
            refuses=(
                *(name for name in Sampling.__struct_fields__ if name not in self.SERVES),
                *self.LACKS,
            ),
            **self.SAYS,
        )

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], Any]:
        """The output as the package gives it, and its verify steps, or `DraftCounts` of them."""
        raise NotImplementedError

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            if lacks := lacking(self.capabilities, request):
                raise EngineError(f"{self.NAME} has no {lacks[0]}: cannot serve {request.key}")
        for request in requests:
            yield self.answer(request)

    @torch.inference_mode()
    def answer(self, request: Request) -> Generation:
        eos = () if request.ignore_eos else self.pair.eos_token_ids
        stops = [*eos, *request.stop_token_ids]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.stream_seed)
            tokens, rounds = self.decode(request, stops)
        length = last(tokens, request, stops) if self.options.cut else len(tokens)
        counts = None if isinstance(rounds, list) else rounds
        tokens, rounds = cut(tokens, rounds if counts is None else [], length=length)
        ended = "eos" if tokens and tokens[-1] in eos else "stop"
        return Generation(
            key=request.key,
            token_ids=tuple(tokens),
            finish_reason=ended if tokens and tokens[-1] in stops else "length",
            prompt_tokens=len(request.prompt_ids),
            counts=counts,
            steps=tuple(Step(drafted=d, accepted=a, emitted=e) for d, a, e in rounds),
        )

    def close(self) -> None:
        del self.pair


def last(tokens: Sequence[int], request: Request, stops: Sequence[int]) -> int:
    """Where an output has to end: its length up to the first stop, or the limit."""
    ends = (place + 1 for place, token in enumerate(tokens) if token in stops)
    return min(next(ends, len(tokens)), request.max_new_tokens)


def cut(tokens: list[int], rounds: list[Round], *, length: int) -> tuple[list[int], list[Round]]:
    """Output and steps up to a length: what was emitted in steps is then as long as the output."""
    kept, left = [], length
    for each in rounds:
        if left > 0:
            kept.append(each._replace(emitted=min(each.emitted, left)))
        left -= each.emitted
    return tokens[:length], kept
