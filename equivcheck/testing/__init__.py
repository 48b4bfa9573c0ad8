"""For authors of engine adapters: `check_engine` says what an engine does other than it must.

Tries the protocol's rules on the engine itself, without a second engine to compare with; whether
its output is the target's is what a run shows. Needs no pytest. See docs/write-an-adapter.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equivcheck.core.cases import Case, Message
from equivcheck.core.engine import Engine
from equivcheck.core.errors import SettingsError
from equivcheck.core.findings import Finding, Outcome
from equivcheck.core.generation import Prompt
from equivcheck.engines.ends import EndingEngine
from equivcheck.pairs.prompts import encode
from equivcheck.testing.rules import RULES, apply_rule
from equivcheck.testing.trial import PROMPT_IDS, PROMPT_TEXTS, Trial

__all__ = ["EngineBroken", "assert_engine", "check_engine"]


class EngineBroken(AssertionError):
    """An engine breaks a rule of the protocol. The first line says how many and the first."""


def check_engine(
    engine: Engine, *, prompts: Sequence[Sequence[int]] | None = None, tokenizer: Any = None
) -> list[Finding]:
    """Hold an engine to the protocol: one finding a rule, in the order they were tried.

    Args:
        engine: An open engine. It is closed at the end.
        prompts: A few prompts as token ids. None: short texts under the tokenizer, or, without
            one, small ids.
        tokenizer: A transformers tokenizer. None: what concerns text, the end-of-text id and the
            size of the vocabulary is left untested, and the findings say so.

    Raises:
        SettingsError: an engine that is asked by text or by messages needs a tokenizer, with a chat
            template for messages, and one that is asked by messages takes no prompts.
    """
    asked = [Prompt(tuple(prompt)) for prompt in prompts or PROMPT_IDS]
    if "raw_prompt" in engine.capabilities.refuses:
        if prompts is not None or getattr(tokenizer, "chat_template", None) is None:
            raise SettingsError(
                "check_engine: it is asked by messages: give a tokenizer with a chat template, and "
                "no prompts"
            )
        cases = [Case(id="trial", messages=(Message("user", text),)) for text in PROMPT_TEXTS]
        asked = [Prompt(encode(tokenizer, case), case.conversation) for case in cases]
    elif prompts is None and tokenizer is not None:
        asked = [Prompt(tuple(tokenizer(text)["input_ids"])) for text in PROMPT_TEXTS]
    elif prompts is None and engine.capabilities.text_alone:
        raise SettingsError("check_engine: it is asked by text: give a tokenizer")
    if tokenizer is not None and not engine.capabilities.ends_with_eos:
        engine = EndingEngine(engine, eos_token_id=tokenizer.eos_token_id)
    trial = Trial(engine, prompts=asked, tokenizer=tokenizer)
    return [apply_rule(rule, trial) for rule in RULES]


def assert_engine(
    engine: Engine, *, prompts: Sequence[Sequence[int]] | None = None, tokenizer: Any = None
) -> list[Finding]:
    """`check_engine`, but raises where a rule is broken.

    Raises:
        EngineBroken: with every broken rule and its evidence.
    """
    findings = check_engine(engine, prompts=prompts, tokenizer=tokenizer)
    broken = [finding for finding in findings if finding.outcome is Outcome.FAIL]
    if not broken:
        return findings
    head = f"{len(broken)} of {len(findings)} rules broken: {broken[0].headline}"
    lines = [
        line
        for finding in broken
        for line in (
            f"{finding.subject}: {finding.headline}",
            *(f"    {detail}" for detail in finding.details),
        )
    ]
    raise EngineBroken("\n".join([head, *lines]))
