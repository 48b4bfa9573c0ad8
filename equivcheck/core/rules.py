"""The rules by which drafts are verified: what each promises, and what its stages rest on.

A rule is a name that an engine declares (`Capabilities.rule`). What follows from it for checks and
scores is here, in one entry a rule; how stages are computed from it is `scoring/stages.py`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Rule = Literal["greedy", "coupled", "agreement", "rejection", "one-hot", "block", "unknown"]
"""How drafts are verified:

greedy: by exact argmax; nothing is sampled.
coupled: a draft is kept where it is the target's own draw, with noise that both share, so that the
    seed decides the tokens (Daliri, Musco and Suresh 2024).
agreement: the same with noise of the target's own.
rejection: token by token, with probability min(1, p/q) (Leviathan et al. 2023, Chen et al. 2023).
one-hot: the same, each draft taken for certain, however it was made: q is 1 on it.
block: the longest prefix of the block that passes (Sun et al. 2024, arXiv 2403.10444).
unknown: some other rule that keeps the target's distribution, or one that nobody has said.
"""


class RuleFacts(Struct, frozen=True, kw_only=True):
    """What a rule means for whoever judges its output."""

    same_tokens: bool = False
    """Whether the tokens are those of plain decoding with the same noise, whatever was drafted.
    Otherwise only their distribution is."""
    stages: bool = False
    """Whether what becomes of a draft has a distribution that is known: acceptance, replacement and
    the token behind them all can be tested then."""
    certain: bool = False
    """Whether it takes drafts for certain: q in its stages is 1 on the draft, whoever drafted."""
    carries: bool = False
    """Whether it decides about a block as a whole, so that what was accepted before weighs in."""
    replayed: bool = False
    """Whether tokens can be computed again where an engine names its random stream."""


RULES: dict[Rule, RuleFacts] = {
    "greedy": RuleFacts(same_tokens=True),
    "coupled": RuleFacts(same_tokens=True, replayed=True),
    "agreement": RuleFacts(stages=True, certain=True, replayed=True),
    "rejection": RuleFacts(stages=True, replayed=True),
    "one-hot": RuleFacts(stages=True, certain=True, replayed=True),
    "block": RuleFacts(stages=True, carries=True, replayed=True),
    "unknown": RuleFacts(),
}
"""Rule to what it means."""
