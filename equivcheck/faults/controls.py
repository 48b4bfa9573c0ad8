"""Controls: sound decoders under odd circumstances, which no check may accuse."""

from __future__ import annotations

from typing import Any

import torch

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import ModelDrafter
from equivcheck.decoding.verification import Proposal
from equivcheck.faults.fault import control

RARE = 6
"""One draft in so many of a terrible drafter is left as it was."""
FEW = ("plain", "sampled", "penalised", "mixed", "budgets", "repeats")
TIMED = ("turns", "shared", "samples")
ALL = (*FEW, "endings", "borders")


MORE = ("strings", "prefixes", "bans", "ties", "repetitive", "long", *TIMED)


@control("sound", schedules=(*ALL, *MORE))
class Sound(Decoder):
    """The decoder as it is."""


@control("sound-gamma-1", schedules=ALL, engine="native:gamma=1")
class SoundShort(Decoder):
    """The decoder as it is, one draft a step."""


@control("sound-gamma-7", schedules=(*ALL, "repetitive", *TIMED), engine="native:gamma=7")
class SoundLong(Decoder):
    """The decoder as it is, seven drafts a step."""


@control("sound-adaptive", schedules=FEW, engine="native:gamma=4,adaptive=true")
class SoundAdaptive(Decoder):
    """The decoder as it is, with a gamma that changes from step to step."""


@control("sound-greedy-rule", schedules=("plain", "endings"), engine="native:gamma=4,rule=greedy")
class SoundGreedy(Decoder):
    """The decoder as it is, under the greedy rule."""


@control("sound-rejection", schedules=("law",), engine="native:gamma=4,rule=rejection")
class SoundRejection(Decoder):
    """The decoder as it is, under the rejection rule, its distribution tested on drawn tokens."""


@control("block-verification", schedules=("law",), engine="native:gamma=4,rule=block")
class SoundBlock(Decoder):
    """The decoder as it is, which verifies blocks as a whole and says so."""


@control("one-hot-drafts", schedules=("law",), engine="native:gamma=4,rule=one-hot")
class SoundOneHot(Decoder):
    """The decoder as it is, which takes the draft model's best tokens for certain."""


@control("agreement", schedules=("law",), engine="native:gamma=4,rule=agreement")
class SoundAgreement(Decoder):
    """The decoder as it is, which keeps drafts that its own draw agrees with."""


@control("empty-drafts", schedules=(*FEW, "turns"), engine="native:gamma=4,drafter=lookup")
class SoundLookup(Decoder):
    """Prompt lookup: many steps have no draft, or fewer than gamma."""


@control("sound-mixed", schedules=(*FEW, "turns"), engine="native:gamma=6,drafter=mixed")
class SoundMixed(Decoder):
    """The decoder as it is, by lookup and by the draft model in turn."""


@control("perfect-draft", schedules=("plain", "sampled", "mixed", "endings"))
class DraftsWithTarget(Decoder):
    """The target drafts for itself, so that hardly anything is rejected."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Exchange the draft model for the target."""
        super().__init__(*args, **options)
        self.drafter = ModelDrafter(self.model, rows=len(self.seats))


@control("terrible-draft", schedules=ALL, engine="native:gamma=1")
class DraftsBadly(Decoder):
    """Five drafts in six are some other token."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Spoil the drafts of most positions."""
        proposal = super().propose(gamma=gamma, unread=unread)
        positions = self.rows.upcoming(proposal.tokens.shape[1])
        other = (proposal.tokens + positions) % self.model.architecture.vocab
        tokens = torch.where(positions % RARE == 0, proposal.tokens, other)
        return proposal._replace(tokens=tokens, log_probs=None)


@control("sound-suffix", schedules=(*FEW, "turns"), engine="native:gamma=4,drafter=suffix")
class SoundSuffix(Decoder):
    """The decoder as it is, by a pool of earlier answers."""


@control("sound-eagle3", schedules=(*FEW, "turns"), engine="native:gamma=4,drafter=eagle3")
class SoundEagle(Decoder):
    """The decoder as it is, by an EAGLE-3 head."""


@control("sound-mtp", schedules=(*FEW, "turns"), engine="native:gamma=4,drafter=mtp")
class SoundMtp(Decoder):
    """The decoder as it is, by an MTP head."""


@control(
    "sound-eagle3-rejection",
    schedules=("law",),
    engine="native:gamma=4,drafter=eagle3,rule=rejection",
)
class SoundEagleRejection(Decoder):
    """The decoder as it is, which rejects drafts from a part of the vocabulary."""
