"""What the battery found, in words and plain units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from equivcheck.checks.schedules import happened_words
from equivcheck.checks.subjects import at_token, plural
from equivcheck.core.escape import visible
from equivcheck.core.rules import RULES, Rule
from equivcheck.core.service_schedule import Served
from equivcheck.records.records import SAMPLED, Evidence, Preflight
from equivcheck.records.sample_keys import parse_draw
from equivcheck.records.score_table import ONE_HOT_DRAFTS, Support

if TYPE_CHECKING:
    from equivcheck.records.score_table import ScoreTable
    from equivcheck.statistics.battery import Battery
    from equivcheck.statistics.combination import Peak
    from equivcheck.statistics.draft_distribution import Void
    from equivcheck.statistics.impossible import Impossible
    from equivcheck.statistics.margins import Margin
    from equivcheck.statistics.preflight import Shortfall

EVENTS = {
    "emitted-outside": ("token", "that the target rules out"),
    "rejected-sure": ("rejection", "of a draft with p ≥ q"),
    "recovered-impossible": ("replacement", "with p ≤ q"),
    "drafted-impossible": ("draft", "with q = 0"),
}
STAGES = {
    "accept": "drafts are not accepted with probability min(1, p/q)",
    "recovered": "replacements do not follow the residual",
    "bonus": "tokens after accepted blocks do not follow p",
}
STAGES_OF_BLOCKS = STAGES | {
    "accept": "drafts are not accepted as often as block verification accepts them",
    "recovered": "replacements do not follow the residual of p as accepted drafts carry it",
}
PARTS = {
    "output": "tokens do not follow p",
    "stages": "a step of the rule is off",
    "bonus": STAGES["bonus"],
    "serial": "tokens of a request depend on each other's noise",
    "crossing": "requests share their noise",
}
KINDS = {
    "leak": "{share} of it follows the draft",
    "lenience": "drafts are accepted as if p were 1/{value:g} of what it is",
    "recover-from-target": "rejected drafts are replaced by a draw from p",
    "cut-one-short": "the least likely token that a cut keeps does not come",
    "temperature": "the temperature is {value:g} times that asked for",
    "tilt": "it is tilted by {value:+g} along ln(q/p)",
}
SHOWN_CASES = 5
"""At most so many of those that stand out."""
TELLING = 3.0
"""Standard errors from which a direction is named."""


def broken_headline(evidence: Evidence, battery: Battery) -> str:
    """Why the distribution is refuted: what happened, and after how many tokens."""
    if battery.impossible.counts:
        events = "; ".join(counted(battery.impossible))
        return f"sampled output cannot be the target's: {events} (0 allowed)"
    tokens = plural(battery.failed_after or battery.tokens, "token")
    what = blame(battery, rule_of(evidence))
    return f"wrong sampled distribution after {tokens}: {what}"


def counted(events: Impossible) -> Iterator[str]:
    """Impossible events, kind by kind."""
    for kind, count in events.counts.items():
        noun, which = EVENTS[kind]
        yield f"{plural(count, noun)} {which}"


def void_headline(battery: Battery, void: Void) -> str:
    """What contradicts q, and that it is no accusation."""
    what = "drafter degraded, or its q misread"
    if battery.broken:
        what = "drafts, or what became of them, do not fit q"
    found = [*counted(void.events), f"{power(void.draft.highest)} against drafts from q"]
    return f"{what}: judged by p alone ({'; '.join(found)})"


def void_details(void: Void) -> Iterator[str]:
    """What is void, a line each."""
    from equivcheck.statistics.draft_distribution import ALPHA_DRAFT

    limit = power(-math.log(ALPHA_DRAFT))
    yield f"q is void from one event that it rules out, or from {limit} against drafts from it"
    if first := void.events.first:
        yield f"first such event: {visible(first.key)}, token {first.position}"
    yield f"void of the stages: {_powers(void.stages)}"
    yield "bounds on leaks and lenience are towards the q of scoring, not towards the drafter's"


def blame(battery: Battery, rule: Rule) -> str:
    """The part of the battery with the strongest evidence, as its stage or best alternative."""
    part = max(battery.parts, key=lambda name: battery.parts[name].highest)
    if part == "output" and battery.explanation:
        return alternative(battery.explanation)
    if part == "stages":
        tested = [name for name in STAGES if name in battery.stages]
        words = STAGES_OF_BLOCKS if RULES[rule].carries else STAGES
        return words[max(tested, key=lambda name: battery.stages[name].highest)]
    if part == "output":
        return f"{PARTS[part]}, and none of the known wrong distributions explains it"
    return PARTS[part]


def alternative(name: str) -> str:
    """A wrong distribution in words."""
    kind, _, text = name.partition("=")
    if kind not in KINDS:
        return visible(name)
    value = float(text) if text else 0.0
    return KINDS[kind].format(value=value, share=percent(value))


def direction(battery: Battery) -> str | None:
    """Which way the output leans, where that can be told."""
    found = battery.excess
    if abs(found.draft_lean) <= TELLING * found.draft_lean_error:
        return None
    way = "to" if found.draft_lean > 0 else "away from"
    return (
        f"output leans {way} the draft: excess mass {100 * found.draft_lean:+.2g} % "
        f"± {100 * found.draft_lean_error:.1g} where q > p"
    )


def bounds_in_words(battery: Battery) -> str:
    """What a pass excludes."""
    return ", ".join(words for margin in battery.margins if (words := margin_in_words(margin)))


def margin_in_words(margin: Margin) -> str | None:
    """A bound that was reached; None where none was."""
    if margin.bound is None:
        return None
    value = percent(margin.bound) if margin.kind == "leak" else f"{margin.bound:g}"
    return f"{margin.kind} {'<' if margin.upward else '>'} {value}"


def missing_in_words(found: Preflight, short: Sequence[Shortfall], *, needed: int | None) -> str:
    """What the budget cannot show, and how much would."""
    names = ", ".join(each.required.name for each in short)
    if needed is None:
        why = (
            f"target and draft hardly differ (mean distance {found.draft_distance:.2g}), so no "
            f"number of tokens would do"
        )
    else:
        why = f"it would take about {needed:,}; raise sampled_tokens or choose a smaller profile"
    return f"{found.tokens:,} tokens cannot show {names}: {why}"


def details_of(evidence: Evidence, battery: Battery) -> tuple[str, ...]:
    """Everything else that the verdict rests on, a line each, the most telling first."""
    return tuple(_details(evidence, battery))


def drawn_under(evidence: Evidence) -> Iterator[str]:
    """How many tokens were drawn while an engine served, and what happened meanwhile."""
    for schedule in evidence.header.schedules:
        runs = [
            run
            for run in evidence.served
            if run.arm == SAMPLED and run.schedule.name == schedule.name
        ]
        keys = {each.key for each in schedule.arrivals if not each.give_up_after or each.retry}
        tokens = sum(
            len(draw.token_ids)
            for key, draw in evidence.draws.get(SAMPLED, {}).items()
            if parse_draw(key).case in keys
        )
        if runs and tokens:
            served = Served(events=tuple(event for run in runs for event in run.events))
            told = f"{plural(tokens, 'token')} drawn under the times of {visible(schedule.name)}"
            yield f"{told}{happened_words(served)}"


def _details(evidence: Evidence, battery: Battery) -> Iterator[str]:
    scores, found = evidence.scores, evidence.preflight
    assert scores is not None
    if first := battery.impossible.first:
        at = at_token(evidence, parse_draw(first.key).case, first.position)
        yield f"first impossible event: {visible(first.key)}, {at}"
    if leaning := direction(battery):
        yield leaning
    if 0 < len(battery.culprit_groups) < len(battery.groups):
        yield f"parameters that stand out: {', '.join(battery.culprit_groups)}"
    if 0 < (count := len(battery.culprit_cases)) < len(battery.cases):
        shown = ", ".join(visible(case) for case in battery.culprit_cases[:SHOWN_CASES])
        more = f" and {count - SHOWN_CASES} more" if count > SHOWN_CASES else ""
        yield f"cases that stand out: {shown}{more}"
    yield (
        f"highest e-value: {_powers({'all': battery.combined} | battery.parts)} "
        f"(refuted from {power(-math.log(battery.alpha))})"
    )
    if battery.stages:
        yield f"of the stages: {_powers(battery.stages)}"
    if (void := battery.void) and battery.broken:
        yield f"void, as they rest on q: {'; '.join([*counted(void.events), _powers(void.stages)])}"
    if battery.broken:
        yield _explanation(battery)
    yield from drawn_under(evidence)
    yield (
        f"{plural(battery.tokens, 'token')} of {plural(len(scores.keys), 'draw')} of "
        f"{plural(len(battery.cases), 'case')}; alpha {battery.alpha:g} for the gate, "
        f"{battery.alpha_pass:g} for each bound"
    )
    if not battery.broken:
        yield f"bounds: {bounds_in_words(battery) or 'none'}"
    yield (
        f"excess mass in monitored directions: {percent(battery.excess.coarse)} seen, "
        f"{percent(battery.excess.coarse_bound)} at most"
    )
    if found is not None:
        yield (
            f"mean distance of target and draft {found.draft_distance:.3g}, measured on "
            f"{plural(found.positions, 'position')} beforehand"
        )
        yield f"{found.tokens:,} tokens show with 99 %: {_visible(found, alpha=battery.alpha)}"
    if scores.draft_distribution.startswith("shadow"):
        yield "the engine's own drafts are unknown: leaks and leniency are towards the shadow draft"
    if RULES[rule_of(evidence)].carries:
        yield "blocks are verified as a whole: in the stages p is what accepted drafts carry of it"
    if scores.draft_distribution == ONE_HOT_DRAFTS:
        yield "the engine calls its drafts certain; drafts drawn from a q would break the stages"
    yield (
        f"draft distribution: {visible(scores.draft_distribution)}; "
        f"{plural(battery.impossible.border, 'token')} at the border of a truncated distribution, "
        f"where arithmetic decides"
    )
    if found is not None and found.scorer:
        yield f"scored by {visible(found.scorer)}"
        yield from _untold(scores)
    if not battery.stages:
        why = (
            "tells no stages"
            if RULES[rule_of(evidence)].stages
            else "has no rule with known stages"
        )
        yield f"the engine {why}: only its output was tested, and dependence of draws"
    yield f"draws are seeded from {evidence.header.draw_seed}"


def rule_of(evidence: Evidence) -> Rule:
    """The rule by which drawn tokens were verified, as the engine says."""
    told = evidence.header.arms.get(SAMPLED)
    return "unknown" if told is None else told.rule


def _untold(scores: ScoreTable) -> Iterator[str]:
    """What a server that scores could not tell, and cases of which it told nothing."""
    untold = scores.support == Support.UNKNOWN
    yield f"{plural(int(untold.sum()), 'token')} not judged: it could not tell their distribution"
    told: dict[str, bool] = {}
    for key, start, end in zip(scores.keys, scores.starts, scores.starts[1:], strict=False):
        case = parse_draw(key).case
        told[case] = told.get(case, False) or not untold[start:end].all()
    if lost := [visible(case) for case, any_told in told.items() if not any_told]:
        yield f"not judged at all: {', '.join(lost)}"


def _explanation(battery: Battery) -> str:
    """The wrong distribution that has most of the evidence for it, or that none has."""
    best = battery.explanation
    if best is None:
        return "none of the known wrong distributions explains it"
    won = f"{power(battery.alternatives[best])} of {power(battery.evidence)}"
    return f"the known wrong distribution that explains it: {best}, {won}"


def _visible(found: Preflight, *, alpha: float) -> str:
    from equivcheck.statistics.preflight import visible_departures

    shown = visible_departures(found, alpha=alpha)
    return ", ".join(f"{name} {departure:g}" for name, departure in shown.items()) or "nothing"


def _powers(peaks: Mapping[str, Peak]) -> str:
    return ", ".join(f"{name} {power(peak.highest)}" for name, peak in peaks.items())


def power(log_e: float) -> str:
    """An e-value by its decimal exponent."""
    return f"10^{log_e / math.log(10):.1f}"


def percent(share: float) -> str:
    """A share with two digits, never as a power of ten."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"
