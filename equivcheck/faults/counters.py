"""F22: what is counted is not what happened. The output stays right; every rate is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from equivcheck.core.generation import Generation
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.faults.fault import fault


@fault(
    "drafts-overcounted",
    family="F22",
    recreates="tokenspeed #1443",
    breaks="measurement",
    caught_by="counters",
)
class OvercountsDrafts(Decoder):
    """Each step reports one draft token too many."""

    def step(self, gamma: int) -> list[RowOutcome]:
        return [row._replace(drafted=row.drafted + 1) for row in super().step(gamma)]


@fault(
    "bonus-counted-as-accepted",
    family="F22",
    recreates="sglang #11572",
    breaks="measurement",
    caught_by="counters",
)
class CountsBonus(Decoder):
    """The bonus token counts as an accepted draft, which makes rates above 1."""

    def step(self, gamma: int) -> list[RowOutcome]:
        """Add one where everything was accepted."""
        return [
            row._replace(accepted=row.accepted + 1) if 0 < row.drafted == row.accepted else row
            for row in super().step(gamma)
        ]


@fault(
    "accepted-overcounted-at-end",
    family="F22",
    recreates="sglang #11572 (in kind)",
    breaks="measurement",
    caught_by="counters",
    schedules=("endings",),
)
class OvercountsLastAccepted(Decoder):
    """A request's last step reports one accepted draft too many: the token that ended it."""

    def collect(self, outcomes: list[RowOutcome], landed: float) -> Iterator[Generation]:
        """Add one where a draft was rejected in the last step."""
        for generation in super().collect(outcomes, landed):
            *steps, last = generation.steps
            if last.accepted < last.drafted:
                last = replace(last, accepted=last.accepted + 1, rejected=None)
            yield replace(generation, steps=(*steps, last))


@fault(
    "drafts-from-maximum",
    family="F22",
    recreates="TensorRT-LLM #14724",
    breaks="measurement",
    caught_by="counters",
    schedules=("budgets",),
)
class CountsMaximum(Decoder):
    """Each step reports gamma drafts, however many there were."""

    def step(self, gamma: int) -> list[RowOutcome]:
        return [row._replace(drafted=gamma) for row in super().step(gamma)]


@fault(
    "accepted-undercounted",
    family="F22",
    recreates="vLLM #42508",
    breaks="measurement",
    caught_by="counters",
)
class UndercountsAccepted(Decoder):
    """Each step reports one accepted draft too few."""

    def step(self, gamma: int) -> list[RowOutcome]:
        """Take one away where there is one."""
        return [row._replace(accepted=max(0, row.accepted - 1)) for row in super().step(gamma)]
