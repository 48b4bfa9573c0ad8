"""One frozen `Settings` for a run. Where it comes from (TOML, flags) is `load_settings.py`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from equivcheck.core.engine_tables import EngineTable, TimeLimits

Dtype = Literal["float32", "bfloat16", "float16"]
ProfileName = Literal["quick", "default", "release"]
Order = Literal["in turn", "one at a time"]
"""Whether arms answer chunk by chunk in turn, all open, or one after the other, one open."""
AUTO = "auto"
ALL = "all"


class EngineSetup(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What both arms share. Different setups would compare different models, not decoders."""

    pair: str = "tiny"
    """Name of a known pair, or ``TARGET`` or ``TARGET+DRAFT``, each a hub id, folder or GGUF."""
    dtype: Dtype = "float32"
    device: str = "auto"
    """auto: cuda where there is one, else cpu."""
    threads: Annotated[int, Meta(ge=1)] | None = None
    """CPU threads. None: torch's own number, or one where `equivcheck run` times that as clearly
    faster. Part of the identity contract."""
    batch_size: Annotated[int, Meta(ge=1, le=64)] = 8
    context: Annotated[int, Meta(ge=64)] = 1024
    """Most positions (prompt and output) a request may take; the static cache's length."""


class WorkloadLimits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one workload is held to: ``[tool.equivcheck.workload.NAME]``. None: no limit."""

    min_acceptance: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    """Least accepted share of drafted tokens."""
    max_acceptance_drop: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    """Most that the acceptance rate may lie below the baseline's, as a difference."""
    min_speedup: Annotated[float, Meta(gt=0.0)] | None = None
    """Least geometric mean of times, target over candidate; of measurements."""
    max_p99_ratio: Annotated[float, Meta(gt=0.0)] | None = None
    """Most p99 of the latency a token, candidate over target; of measurements."""
    max_memory_ratio: Annotated[float, Meta(gt=0.0)] | None = None
    """Most peak memory, candidate over target; of measurements."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is run against what, and how strictly it is judged."""

    setup: EngineSetup = EngineSetup()
    target: str = "native:gamma=0"
    """Engine of the reference arm: ``name`` or ``name:option=value,...``."""
    candidate: str = "native:gamma=4"
    control: str | None = AUTO
    """Plain decoding of the target's kind with other kernel shapes: gives `numerics` its budget.
    auto: of a native target at another width, of another engine by itself, one request at a time.
    None: no control arm."""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    probe_every: Annotated[int, Meta(ge=1)] = 4
    """Every n-th case of a suite also runs in the arms `repeat` and `shuffled`."""
    rescore_every: Annotated[int, Meta(ge=1)] = 8
    """Every n-th case's log-probabilities are compared with an independent pass."""
    near_tie_ulps: Annotated[float, Meta(gt=0)] = 8.0
    """Most ulps of the compute dtype, at the logits' magnitude, that arithmetic may excuse."""
    logprob_tolerance: Annotated[float, Meta(gt=0)] | None = None
    """Nats; None: derived from the dtype."""
    arbitration: Literal["float32", "float64"] = "float32"
    profile: ProfileName = "default"
    """How many tokens the test of the sampled distribution draws, and what it has to exclude."""
    sampled: str | None = AUTO
    """Engine whose sampled distribution is tested. auto: the candidate; a native one draws by
    rejection. None: the distribution is not tested."""
    sampled_tokens: Annotated[int, Meta(ge=1)] | None = None
    """Tokens to draw, in place of the profile's."""
    sampled_batch: Annotated[int, Meta(ge=1, le=64)] = 32
    """Batch size of the arm `sampled`."""
    shadow: Literal["auto", "model", "lookup"] = "auto"
    """Who says what a drafter that cannot be run again would have drafted."""
    grade_code: bool = False
    """Whether answers whose grader runs them as Python code are graded. They are run in
    bubblewrap, and not graded where that is missing."""
    score_margin: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None
    """The loss of sampled score, as a share of prompts, that has to be excluded. None: a loss fails
    where it is proved, and nothing has to be excluded."""
    scorer: str | None = None
    """A server by URL that scores tokens in the place of the pair's weights, which are not read
    then; an engine as `target` names one. None: the weights score."""
    law_evidence: Literal["scores", "tokens"] = "scores"
    """What the sampled distribution is judged by: every token scored by the target, or the tokens
    of both engines alone, where the target cannot score."""
    require_events: str | tuple[str, ...] | None = AUTO
    """Events that have to have been exercised for a pass: ids (in a text, commas between them), or
    all. auto: all in the profile `release`, else none. None: none."""
    baseline: str | None = None
    """Saved run that this one is compared with, by name or file. None: none."""
    arms: Order | Literal["auto"] = "auto"
    """auto: in turn, unless an engine says that it holds its device alone."""
    clock: TimeLimits = TimeLimits()
    """Limits on the time that engines in processes of their own take."""
    engine: dict[str, EngineTable] = {}
    """Engines by a name of one's own: ``[tool.equivcheck.engine.NAME]``."""
    workload: dict[str, WorkloadLimits] = {}
    """Limits by workload. Token identity needs none: it is always held."""

    def in_full(self) -> Settings:
        """The settings with what their profile requires written out, as a run's header has them."""
        if self.require_events == AUTO and self.profile == "release":
            return msgspec.structs.replace(self, require_events=ALL)
        return self
