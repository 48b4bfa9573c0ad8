"""Faults of drafters that look up, whose drafts are ragged and whose memory outlives a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import Text
from equivcheck.decoding.suffix_drafter import Own, SuffixDrafter
from equivcheck.decoding.suffixes import SuffixIndex
from equivcheck.decoding.verification import Proposal
from equivcheck.faults.counters import CountsMaximum
from equivcheck.faults.fault import fault

SUFFIX = "native:gamma=4,drafter=suffix"

Kind = TypeVar("Kind", bound=type[SuffixDrafter])


class OtherPool(Decoder):
    """Base: looks up otherwise."""

    other: type[SuffixDrafter]

    def __init__(self, *args: Any, drafter: SuffixDrafter, **options: Any) -> None:
        rows, device = len(drafter.own), drafter.drafts.device
        other = self.other(rows=rows, most=drafter.most, device=device)
        super().__init__(*args, drafter=other, **options)


def pool_fault(fault_id: str, *, recreates: str) -> Callable[[Kind], Kind]:
    """Put a suffix drafter that drafts worse into the catalogue, by the decoder that asks it.

    Raises:
        ValueError: the id is taken.
    """

    def register(kind: Kind) -> Kind:
        members = {"__doc__": kind.__doc__, "__module__": kind.__module__, "other": kind}
        fault(
            fault_id,
            family="F20",
            recreates=recreates,
            breaks="speed",
            caught_by="acceptance",
            engine=SUFFIX,
            schedules=("drafts",),
        )(type(kind.__name__, (OtherPool,), members))
        return kind

    return register


@pool_fault("pool-dropped-each-step", recreates="vllm-rbln #1084")
class DropsIndex(SuffixDrafter):
    """What a row holds is forgotten after every step, but for its newest tokens."""

    def follow(self, texts: Sequence[Text | None]) -> None:
        for own in self.own:
            if own is not None:
                own.index = SuffixIndex()
        super().follow(texts)


class Unread(Own):
    """A text of which nothing is indexed."""

    def grow(self) -> None:
        """Know what it says, and no more."""
        self.tokens = [*self.text.prompt_ids, *self.text.output]


@pool_fault("pool-keeps-last-request", recreates="llama.cpp #27852")
class KeepsLastRequest(SuffixDrafter):
    """A row keeps the index of its last request, and nothing of the new one enters it."""

    def __init__(self, **options: Any) -> None:
        """No request has ended yet."""
        super().__init__(**options)
        self.left: dict[int, SuffixIndex] = {}

    def begin(self, row: int, text: Text) -> Own:
        """Go on with what is there."""
        own = super().begin(row, text)
        if row in self.left:
            own = Unread(text)
            own.index = self.left[row]
        return own

    def end(self, row: int, own: Own) -> None:
        super().end(row, own)
        self.left[row] = own.index


@pool_fault("pool-of-neighbour", recreates="llama.cpp #27117 (in kind)")
class LooksUpNeighbour(SuffixDrafter):
    """Each row is given what was found for the row beside it, another request's text."""

    def follow(self, texts: Sequence[Text | None]) -> None:
        super().follow(texts)
        self.drafts.copy_(self.drafts.roll(1, dims=0))
        self.found.copy_(self.found.roll(1))


@fault(
    "drafts-from-width",
    family="F22",
    recreates="sglang #34814",
    breaks="measurement",
    caught_by="counters",
    engine=SUFFIX,
)
class CountsWidth(CountsMaximum):
    """Drafts are counted as steps times the most of a step, where a step may have fewer."""


@fault(
    "drafter-dead",
    family="F23",
    recreates="TensorRT-LLM #18905 (a review)",
    breaks="speed",
    caught_by="engaged",
)
class NeverRight(Decoder):
    """No draft is ever right, which an acceptance measured before, as dead, does not tell."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Draft another token than was chosen."""
        proposal = super().propose(gamma=gamma, unread=unread)
        vocab = self.model.architecture.vocab
        other = torch.remainder(proposal.tokens + vocab // 2, vocab)
        return proposal._replace(tokens=other, log_probs=None)
