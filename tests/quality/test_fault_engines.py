"""Interface faults are found in an engine by itself, by the rules that adapters are tried by."""

from __future__ import annotations

from contextlib import closing

import pytest

from equivcheck.core.findings import Outcome
from equivcheck.core.generation import Prompt
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import load_engine
from equivcheck.faults.catalogue import CATALOGUE, find
from equivcheck.pairs.load import load_tokenizer
from equivcheck.testing.rules import RULES, apply_rule
from equivcheck.testing.trial import PROMPT_TEXTS, Trial

SETUP = EngineSetup(pair="tiny", context=256, batch_size=2, threads=1)
FOUND_BY = {
    "eos-mid-block": "stop-ids",
    "budget-overrun": "limits",
    "length-before-stop": "stop-ids",
    "stop-string-window": "stop-strings",
    "logprobs-of-neighbour": "scores",
    "delta-first-only": "limits",
    "delta-doubled": "steps",
    "final-flush-dropped": "limits",
}


@pytest.mark.parametrize("name", FOUND_BY)
def test_a_rule_finds_the_fault(name: str) -> None:
    entry = find(name)
    assert entry.breaks == "interface"
    (rule,) = (rule for rule in RULES if rule.name == FOUND_BY[name])
    tokenizer = load_tokenizer(SETUP.pair)
    prompts = [Prompt(tuple(tokenizer(text)["input_ids"])) for text in PROMPT_TEXTS]
    with closing(load_engine(entry.candidate, SETUP)) as engine:
        finding = apply_rule(rule, Trial(engine, prompts=prompts, tokenizer=tokenizer))
    assert finding.outcome is Outcome.FAIL


def test_every_kind_of_interface_fault_is_tried() -> None:
    kinds = {entry.family for entry in CATALOGUE if entry.breaks == "interface"}
    # By which rule drafts were verified is told by scores, which no single engine has.
    assert {find(name).family for name in FOUND_BY} == kinds - {"F1", "F13"}
