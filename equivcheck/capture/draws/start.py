"""Begin the drawing, or go on with it: what can be seen in the budget is measured first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from equivcheck.capture.draws.draw_until import Refuted, SampleScorer, draw_and_score, draw_tokens
from equivcheck.capture.draws.ledger import Ledger, Output, scorable, share_of
from equivcheck.capture.draws.plan import CHECKPOINTS, DrawPlan
from equivcheck.core.detokenise import Detokenise
from equivcheck.core.engine import DraftSource, Engine
from equivcheck.core.on_progress import OnProgress
from equivcheck.records.lossy import lossy_by
from equivcheck.records.records import (
    CANDIDATE,
    SAMPLED,
    SCORER,
    TARGET,
    Evidence,
    Header,
    Preflight,
)
from equivcheck.records.records_file import RecordsWriter

if TYPE_CHECKING:
    from equivcheck.records.score_table import ScoreTable
    from equivcheck.scoring.served import ServerScorer

PREFLIGHT_POSITIONS = 2_000
"""Positions of the target's answers that are enough to look ahead."""


def draw(
    plan: DrawPlan,
    evidence: Evidence,
    engines: Mapping[str, Engine],
    *,
    writer: RecordsWriter,
    folder: Path,
    detokenise: Detokenise,
    served: ServerScorer | None = None,
    more: bool = False,
    progress: OnProgress | None = None,
) -> None:
    """Draw what the plan says, unless the budget is too small to show anything.

    Args:
        plan: What a round asks.
        evidence: The run so far, the target's answers included.
        engines: By arm that draws.
        writer: Of the run's records.
        folder: The run's, for the scores.
        detokenise: Ids to text, for stop strings.
        served: The server that scores; None: the pair's weights do.
        more: Draw another budget, on top of what was drawn.
        progress: Told after each draw.
    """
    ledger = Ledger(
        plan, evidence, writer=writer, folder=folder, detokenise=detokenise, progress=progress
    )
    header = evidence.header
    if ledger.preflight is None:
        ledger.note(look_ahead(plan, evidence, served=served))
    elif more:
        found = ledger.preflight
        ledger.note(msgspec.structs.replace(found, tokens=found.tokens + budget_of(header)))
    if header.settings.law_evidence == "tokens":
        draw_tokens(ledger, engines)
    elif promising(ledger.preflight, header):
        scorer = open_scorer(header, drafter=header.arms[SAMPLED].judges_by, served=served)
        draw_and_score(ledger, engines, scorer=scorer, refuted=refuter(header))


def budget_of(header: Header) -> int:
    """Tokens to draw in one go; shards share them."""
    from equivcheck.statistics.profiles import PROFILES

    settings = header.settings
    return settings.sampled_tokens or PROFILES[settings.profile].tokens


def open_served(evidence: Evidence, engines: Mapping[str, Engine]) -> ServerScorer | None:
    """The server that scores, once it is seen to agree with the target; None: weights score.

    Raises:
        SettingsError: it cannot score, or does not agree.
        EngineError: it does not score what it is compared by.
    """
    settings = evidence.header.settings
    if settings.scorer is None or settings.law_evidence == "tokens":
        return None
    from equivcheck.engines.http.scorer import open_scorer as of_engine
    from equivcheck.engines.naming import read_spec
    from equivcheck.scoring.agreement import agreement
    from equivcheck.scoring.served import ServerScorer

    served = ServerScorer(of_engine(engines[SCORER]))
    by_url = read_spec(settings.target, settings.engine).name == "http"
    agreed = agreement(served, evidence, target=engines[TARGET] if by_url else None)
    served.agreed = str(agreed)
    return served


def look_ahead(
    plan: DrawPlan, evidence: Evidence, *, served: ServerScorer | None = None
) -> Preflight:
    """Measure on the target's own answers how much each wrong distribution shows in a token."""
    header = evidence.header
    nothing = Preflight(positions=0, draft_distance=0.0, divergences={}, tokens=budget_of(header))
    answers = list(_answers(plan, evidence))
    if header.settings.law_evidence == "tokens" or not answers:
        return nothing
    from equivcheck.statistics.preflight import preflight

    drafter = header.arms[SAMPLED].judges_by
    if drafter == "one-hot":
        # Nobody but the engine can say what it drafts, so its own answers tell how q lies to p.
        own = list(_answers(plan, evidence, arm=CANDIDATE))
        named = any(step.drafts for _, answer in own for step in answer.steps)
        answers, drafter = (own, drafter) if named else (answers, "lookup")
    # The target's answers are not draws of the arm that is replayed.
    scorer = open_scorer(header, drafter=drafter, replays=False, served=served)
    found = preflight(scorer.score(answers), tokens=nothing.tokens)
    if served is None:
        return found
    return msgspec.structs.replace(found, scorer=f"{served.name}; it {served.agreed}")


def _answers(plan: DrawPlan, evidence: Evidence, *, arm: str = TARGET) -> Iterator[Output]:
    """An arm's answers to the cases that will be drawn, as many as are enough."""
    positions = 0
    captured = evidence.captured.get(arm, {})
    for case in plan.cases:
        if case.key not in captured or positions >= PREFLIGHT_POSITIONS:
            continue
        generation = captured[case.key].generation
        if scorable(generation, vocab_size=evidence.header.vocab_size):
            positions += len(generation.token_ids)
            yield case, generation


def open_scorer(
    header: Header,
    *,
    drafter: DraftSource | None,
    replays: bool = True,
    served: ServerScorer | None = None,
) -> SampleScorer:
    """The scorer of a run, drafts being `drafter`'s; it remembers what it has scored.

    It replays what can be replayed, unless told not to. A server scores where there is one.
    """
    from equivcheck.scoring.distribution_scorer import DistributionScorer
    from equivcheck.scoring.replay import can_be_replayed

    arm = header.arms[SAMPLED]
    return DistributionScorer(
        header.settings,
        eos_token_ids=header.eos_token_ids,
        drafter=drafter,
        stages=arm.tells_stages,
        rule=arm.rule,
        replays=replays and can_be_replayed(arm),
        served=served,
    )


def promising(found: Preflight | None, header: Header) -> bool:
    """Whether the budget can show what the profile asks for, as far as was measured."""
    from equivcheck.statistics.preflight import hopeless
    from equivcheck.statistics.profiles import PROFILES

    if found is None or found.positions == 0:
        return False
    return not hopeless(found, PROFILES[header.settings.profile])


def refuter(header: Header) -> Refuted:
    """A pure function that says whether scores refute the distribution at the profile's level.

    In the first eighth of the budget only what needs no draft distribution counts: drafts that
    contradict q have to have had the time to come.
    """
    from equivcheck.statistics.battery import evaluate
    from equivcheck.statistics.profiles import PROFILES

    profile = PROFILES[header.settings.profile]
    stages = header.arms[SAMPLED].tells_stages
    # What claims no distribution is not refuted: how far it is off is measured, by all tokens.
    if lossy_by(header):
        return lambda table: False

    def refuted(table: ScoreTable) -> bool:
        found = evaluate(
            table,
            alpha=profile.alpha,
            alpha_pass=profile.alpha_pass,
            stages=stages,
        )
        early = table.rows < share_of(header, budget_of(header)) / CHECKPOINTS
        return found.broken_alone if early else found.broken

    return refuted
