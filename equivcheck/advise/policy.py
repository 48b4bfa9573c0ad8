"""The nouns of advice: `Policy`, `Proof`, `Route`, and the file `routes.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from equivcheck.core.atomic_write import replace, writing
from equivcheck.core.engine import DraftSource
from equivcheck.core.errors import RecordsError, SettingsError
from equivcheck.core.validation import decoded, explain
from equivcheck.metrics.costs import Costs
from equivcheck.metrics.estimates import Estimate

SCHEMA = 1
ROUTES_NAME = "routes.json"

Decision = Literal["enable", "disable", "hold"]


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When speculation is worth it."""

    enable_at: Annotated[float, Meta(ge=0, le=1)] = 0.40
    """Acceptance rate that is enough to switch on."""
    disable_at: Annotated[float, Meta(ge=0, le=1)] = 0.35
    """Below it, speculation is switched off; between the two it stays as it is."""
    least_speedup: Annotated[float, Meta(gt=0)] = 1.05
    p99_limit: Annotated[float, Meta(gt=0)] = 1.5
    """Most that the p99 of the effective latency a token may be, the plain arm's being 1."""
    least_goodput: Annotated[float, Meta(gt=0)] = 0.95
    """Least that requests within stated limits may be under load, the plain arm's being 1."""

    def __post_init__(self) -> None:
        """Hold the thresholds in order.

        Raises:
            SettingsError: it would be switched on below where it is switched off.
        """
        if self.disable_at > self.enable_at:
            raise SettingsError(
                f"disable at {self.disable_at:g} is above enable at {self.enable_at:g}: a route "
                f"would flap"
            )


class Proof(Struct, frozen=True, kw_only=True):
    """What is known of the decoder's equivalence."""

    state: Literal["pass", "inconclusive", "fail", "none"]
    why: str
    """One line: which run, or what is missing."""


NO_PROOF = Proof(state="none", why="no equivalence verdict was given (--verdict RUN)")


class Cost(Struct, frozen=True, kw_only=True):
    """Price of a million tokens."""

    plain: float | None
    speculative: float | None


class Route(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to do for one workload, and why."""

    workload: str
    decision: Decision
    enabled: bool
    """The state after the decision; a hold leaves what was."""
    arm: str
    """Which candidate this is about."""
    pair: str
    num_speculative_tokens: int
    drafter: DraftSource | None
    baseline: str
    """The plain arm that it is compared with."""
    reasons: tuple[str, ...]
    """One line each; what decided comes first."""
    prompts: int
    more_prompts: int | None = None
    """About as many prompts in all as would settle it, were the estimates right."""
    method: str | None = None
    """How drafts are made, as in `Capabilities.method`."""
    acceptance: Estimate = Estimate()
    acceptance_needed: float | None = None
    """The larger of policy and break-even."""
    speedup: Estimate = Estimate()
    p99_ratio: Estimate = Estimate()
    load: str | None = None
    """How requests came, and by which limits they were good; None: they did not come at times of
    their own."""
    goodput_ratio: Estimate = Estimate()
    """Requests within the limits, over the plain arm's."""
    costs: Costs = Costs()
    cost: Cost | None = None
    crossovers: dict[str, float] = {}
    """Setting (batch, context) to the value at which speculation stops paying in a sweep."""

    @property
    def decoder(self) -> tuple[str, str, int, str | None, str | None]:
        """Tells one decoder from another, as far as a route knows them."""
        return self.arm, self.pair, self.num_speculative_tokens, self.drafter, self.method


class Routes(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`routes.json`: the advice of one measurement, and the state for the next."""

    schema: int = SCHEMA
    run: str
    created: str
    policy: Policy
    proof: Proof
    picked_among: int = 1
    """Candidates among which the fastest was taken, on the same prompts."""
    routes: dict[str, Route]
    """By workload."""


_decode_routes = msgspec.json.Decoder(Routes).decode


def read_routes(path: Path) -> Routes:
    """Read the routes of an earlier advice.

    Raises:
        RecordsError: there are none, or they cannot be used; names file and field.
    """
    if path.is_fifo():
        raise RecordsError(f"{path}: no regular file")
    try:
        found = decoded(_decode_routes, path.read_bytes())
    except FileNotFoundError:
        raise RecordsError(f"{path}: no such routes file") from None
    except IsADirectoryError:
        raise RecordsError(f"{path}: a folder; name the {ROUTES_NAME} in it") from None
    except msgspec.DecodeError as error:
        raise RecordsError(f"{path}: {explain(error, {'': Routes})}") from error
    if found.schema != SCHEMA:
        raise RecordsError(
            f"{path}: schema: {found.schema}, but this equivcheck reads schema {SCHEMA}"
        )
    return found


def write_routes(path: Path, routes: Routes) -> None:
    """Write them, readable.

    Raises:
        EquivcheckError: they cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, msgspec.json.format(msgspec.json.encode(routes), indent=2) + b"\n")
