"""The rules of the protocol and how one is tried. What each rule does is in the files beside.

A rule is a generator of sentences, each something the engine does wrong. Refusing a request with
`EngineError` is never wrong where the rule is about something an engine may lack. What it says that
it refuses it is not asked, values are those that it takes, and what stays untried is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from equivcheck.core.errors import EngineError
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.testing import answers, ending, sampling, self_report
from equivcheck.testing.trial import RuleBroken, Trial, Untried

MOST_FAULTS = 5
"""Faults of one rule that are told."""


class Rule(NamedTuple):
    """One thing that an engine must do."""

    name: str
    held: str
    """Half a sentence for an engine that does it."""
    faults: Callable[[Trial], Iterator[str]]
    reason: Reason
    optional: bool = False
    """Whether an engine may refuse instead."""
    needs_tokenizer: bool = False


def _law(name: str, held: str, faults: Callable[[Trial], Iterator[str]]) -> Rule:
    """A rule about a sampling parameter."""
    return Rule(name, held, faults, Reason.NOT_COMPARABLE, optional=True)


RULES = (
    Rule("answers", "every request answered once", answers.once_each, Reason.MISSING),
    Rule(
        "vocabulary",
        "all ids in range",
        answers.in_vocabulary,
        Reason.STOP_RULE,
        needs_tokenizer=True,
    ),
    Rule("limits", "token limits kept in every slot", ending.limits, Reason.LENGTH),
    Rule(
        "stop-ids",
        "ends at stop ids in every slot",
        ending.stop_ids,
        Reason.STOP_RULE,
        optional=True,
    ),
    Rule(
        "eos",
        "ends at end of text, not sooner",
        ending.eos,
        Reason.STOP_RULE,
        optional=True,
        needs_tokenizer=True,
    ),
    Rule(
        "stop-strings",
        "ends at the token that completes a stop string",
        ending.stop_strings,
        Reason.STOP_RULE,
        optional=True,
        needs_tokenizer=True,
    ),
    Rule("repeats", "the same greedy answer twice", answers.repeats, Reason.NONDETERMINISTIC),
    Rule("leaks", "nothing left over from other requests", answers.leaks, Reason.BATCH_DEPENDENT),
    Rule("batches", "the same answers alone and together", answers.alone, Reason.BATCH_DEPENDENT),
    Rule(
        "seeds", "sampling follows the seed", sampling.seeds, Reason.NONDETERMINISTIC, optional=True
    ),
    _law("banned", "banned tokens never appear", sampling.banned),
    _law("bias", "a bias moves the choice", sampling.bias),
    _law("presence", "presence penalty works", sampling.presence),
    _law("frequency", "frequency penalty works", sampling.frequency),
    _law("repetition", "repetition penalty works", sampling.repetition),
    _law("top-k", "top_k = 1 is greedy", sampling.top_k),
    _law("top-p", "a small top_p is greedy", sampling.top_p),
    _law("min-p", "min_p = 1 is greedy", sampling.min_p),
    Rule("capabilities", "says what it is", self_report.capabilities, Reason.NOT_COMPARABLE),
    Rule("steps", "steps add up", self_report.steps, Reason.COUNTERS),
    Rule("drafts", "drafts named as it says", self_report.drafts, Reason.COUNTERS),
    Rule("scores", "log-probabilities are possible", self_report.scores, Reason.LOGPROBS),
    Rule("close", "closes", self_report.closes, Reason.NOT_COMPARABLE),
)


def apply_rule(rule: Rule, trial: Trial) -> Finding:
    """Try one rule; whatever the engine raises is a fault of its own."""
    if rule.needs_tokenizer and trial.tokenizer is None:
        return _finding(
            rule, Outcome.INCONCLUSIVE, "not tried: it takes a tokenizer", Reason.NOT_COMPARABLE
        )
    faults: list[str] = []
    try:
        for fault in islice(rule.faults(trial), MOST_FAULTS):
            faults.append(fault)
    except Untried as untried:
        if not faults:
            return _finding(
                rule, Outcome.INCONCLUSIVE, f"not tried: {untried}", Reason.NOT_COMPARABLE
            )
    except RuleBroken as broken:
        faults = [str(broken)]
    except EngineError as refusal:
        if rule.optional:
            return _finding(rule, Outcome.PASS, f"refused: {visible(str(refusal))}", Reason.HELD)
        faults = [f"refused: {visible(str(refusal))}"]
    # An adapter may raise anything; here that is a finding like any other.
    except (Exception, SystemExit) as error:
        faults = [f"raised {type(error).__name__}: {visible(str(error))}"]
    if not faults:
        return _finding(rule, Outcome.PASS, rule.held, Reason.HELD)
    return _finding(rule, Outcome.FAIL, faults[0], rule.reason, details=tuple(faults[1:]))


def _finding(
    rule: Rule, outcome: Outcome, headline: str, reason: Reason, *, details: tuple[str, ...] = ()
) -> Finding:
    return Finding(
        check="engine",
        subject=rule.name,
        outcome=outcome,
        reason=reason,
        headline=headline,
        details=details,
    )
