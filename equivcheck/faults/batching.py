"""F15: rows of one batch with different parameters are not kept apart."""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.decoding.transforms import sharpen
from equivcheck.decoding.verification import Proposal, Verified
from equivcheck.faults.fault import fault
from equivcheck.faults.target_probs import with_other

COLD = 1e-6
"""The temperature that some engines take for 0."""


@fault(
    "greedy-as-cold",
    family="F15",
    recreates="FreeToken #471",
    caught_by="greedy",
    schedules=("ties",),
)
class DrawsGreedyRows(Decoder):
    """Beside sampled rows a greedy one is drawn at temperature 1e-6: ties fall at random."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Give greedy rows noise in a mixed batch."""
        controls = self.rows.controls
        if not controls.features.random or controls.features.all_random:
            return super().verify(target_log_probs, proposal)
        cold = (target_log_probs - target_log_probs.amax(dim=-1, keepdim=True)) / COLD
        probs = torch.where(controls.greedy[:, None, None], cold, target_log_probs)
        self.rows.controls = with_other(controls, greedy=torch.zeros_like(controls.greedy))
        try:
            return super().verify(probs, proposal)
        finally:
            self.rows.controls = controls


@fault(
    "parameters-of-row-0",
    family="F15",
    recreates="lorax #570",
    caught_by="coupled",
    schedules=("mixed",),
)
class SharesParameters(Decoder):
    """Every sampled row has the temperature and cuts of the first sampled one."""

    def sharpened(self, penalised: Tensor) -> Tensor:
        controls = self.rows.controls
        first = int((~controls.greedy).long().argmax())
        names = ("safe_temperature", "top_k", "top_p", "min_p")
        same = {
            name: torch.where(controls.greedy, own, own[first])
            for name in names
            for own in [getattr(controls, name)]
        }
        return sharpen(penalised, with_other(controls, **same))


@fault(
    "temperature-of-row-before",
    family="F15",
    recreates="vLLM #42638",
    caught_by="coupled",
    schedules=("mixed",),
)
class TakesNeighboursTemperature(Decoder):
    """Verified drafts are judged at the temperature of the row before, 1 where that is greedy."""

    def sharpened(self, penalised: Tensor) -> Tensor:
        """Move the temperatures on by a row in all slots but the last."""
        controls = self.rows.controls
        moved = controls.safe_temperature.roll(1)
        others = sharpen(penalised, with_other(controls, safe_temperature=moved))
        return torch.cat([others[:, :-1], super().sharpened(penalised)[:, -1:]], dim=1)


@fault(
    "sentinel-as-count",
    family="F15",
    recreates="vLLM #27077",
    breaks="measurement",
    caught_by="counters",
    schedules=("mixed",),
)
class CountsSentinel(Decoder):
    """In a mixed batch a greedy row counts one accepted draft too few, down to -1."""

    def step(self, gamma: int) -> list[RowOutcome]:
        rows = super().step(gamma)
        controls = self.rows.controls
        if not controls.features.random or controls.features.all_random:
            return rows
        return [
            row._replace(accepted=row.accepted - int(greedy))
            for row, greedy in zip(rows, controls.greedy.tolist(), strict=True)
        ]
