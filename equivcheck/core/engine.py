"""The one interface an engine has to offer, and what it must say about itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from equivcheck.core.generation import Generation, Request
from equivcheck.core.rules import RULES
from equivcheck.core.rules import Rule as Rule

PHILOX_STREAM = "philox4x32-10/1"
"""Name of the random stream that docs/decoder.md defines: which number decides what."""
UNTOLD = "not told"
"""The `Capabilities.dtype` of an engine that does not say in which numbers it computes."""

DraftSource = Literal["model", "lookup", "one-hot"]
"""Whose distribution q the drafts have: the pair's draft model's, prompt lookup's, or one-hot on
each draft (a deterministic drafter, whoever it is). None: nobody that could be run again."""


class Capabilities(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an engine is and what its answers can be held to."""

    engine: str
    """Registry name and options in force, e.g. ``native:gamma=4``; enough to build it again."""
    device: str
    dtype: str
    """As in `EngineSetup.dtype`, or UNTOLD: then no token that differs is proof of a fault, as
    nobody can say what its arithmetic may do."""
    threads: int | None = None
    batch_size: int = 1
    num_speculative_tokens: int = 0
    """0: plain decoding; otherwise the most draft tokens per verify step."""
    rule: Rule = "greedy"
    """How drafts are verified, plain decoding being the case without any. It decides whether arms
    have to agree on sampled cases token by token, and which tests of its stages apply
    (`core/rules.py`). ``unknown``: only the output is judged."""
    sampled: bool = True
    """Whether temperature > 0 is supported at all."""
    reports_steps: bool = False
    reports_scores: bool = False
    reports_rejected: bool = False
    """Whether `Step.rejected` is filled in."""
    reports_counts: bool = False
    """Whether `Generation.counts` is filled in: totals a request, where steps are not told."""
    drafter: DraftSource | None = None
    method: str | None = None
    """How drafts are made, in vLLM's word for it: ``draft_model``, ``ngram``, ``eagle3``, ``mtp``,
    ``suffix``. None: not told."""
    stateful_drafter: bool = False
    """Whether drafts depend on requests that have ended, as from a pool of earlier answers. How
    often they are accepted then depends on what was asked before; no answer may."""
    random_stream: str | None = None
    """Whose random numbers sampled tokens are drawn with, e.g. `PHILOX_STREAM`. An engine that
    names a stream claims that each of its draws follows from that, p and q. None: not told."""
    lossy: tuple[str, ...] = ()
    """Settings in force by which the engine gives up the target's distribution, as ``NAME=VALUE``
    (`core/lossy.py`), where it is told of them elsewhere than in `engine`. Its output is then not
    judged by identity or distribution, and never passes."""
    text_alone: bool = False
    """Whether the engine gives text and no token ids. `Generation.token_ids` are then what the
    pair's tokenizer makes of the text, whichever tokens were emitted, with the pair's first end of
    text behind them where the engine says that the text ended."""
    ends_with_eos: bool = True
    """Whether `Generation.token_ids` holds the end-of-sequence id that ended the text. If not,
    `load_engine` adds it, which takes a pair with one such id."""
    refuses: tuple[str, ...] = ()
    """Fields of `Sampling` and `Request` that the engine's public API lacks, e.g. ``min_p``, or
    serves by themselves alone, e.g. ``min_p+top_p``. Cases that need them are asked of no arm, and
    the verdict says so."""
    ranges: dict[str, tuple[float, float]] = {}
    """Least and greatest value that the public API accepts, by field of `Sampling`; of each bias
    for ``logit_bias``. A value at its default is needed by no case."""
    steady_company: bool = True
    """Whether requests that are given together are decoded together, each time in the same way;
    False: their timing decides, as on a server."""
    exclusive: bool = False
    """Whether the engine holds its device alone: no other engine may be open beside it."""
    serves: bool = False
    """Whether it is a `ServingEngine` too (`core/serving.py`): requests can come and be given up
    while it works."""
    identity: str | None = None
    """Name of the identity contract that the engine's own probe proved, e.g. ``fixed-shape``.

    Arms that name the same contract are held to bit-identical tokens: nothing is excused.
    """
    versions: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    recorded: str | None = None
    """The engine that gave the answers, where this one repeats them from a record."""

    @property
    def judges_by(self) -> DraftSource | None:
        """Whose q the rule judges drafts by: the drafter's, or none but the draft itself."""
        return "one-hot" if RULES[self.rule].certain else self.drafter

    @property
    def tells_stages(self) -> bool:
        """Whether each stage of its rule can be tested: by drafts that steps name."""
        names_drafts = self.reports_rejected or self.judges_by == "one-hot"
        return RULES[self.rule].stages and self.reports_steps and names_drafts


class Engine(Protocol):
    """A decoder under test or its reference. Both arms of a run satisfy it."""

    @property
    def capabilities(self) -> Capabilities:
        """What this engine is; constant for its life."""
        ...

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Yield one generation a request, in any order, each as soon as it is finished.

        Raises:
            EngineError: the engine cannot serve a request as asked (it must never answer with
                other parameters than those asked for).
        """
        ...

    def close(self) -> None:
        """Free what the engine holds. Called once."""
        ...
