"""``python -m benchmarks.by_url``: seeded faults behind a URL, gated as a user gates a server.

A server that speaks vLLM's dialect over the native decoder is gated against a sound one, twice:
with the pair's weights as judge, and as one of which nothing is known but its tokens. Results are
kept in ``reports/engines/by-url.json``; a page is made of them. Exit code 1 if any result is not
what the documentation says.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from equivcheck.checks.verdict import Verdict
from equivcheck.core.cases import Suite
from equivcheck.core.findings import Outcome
from equivcheck.core.load_suites import load_suites
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.faults.catalogue import find
from equivcheck.pipeline.run import run
from tests.engines.native_server import NativeVllm
from tests.unit.engines.http.stub import serving

ROOT = Path(__file__).parent.parent
FOUND = ROOT / "reports" / "engines" / "by-url.json"
PAGE = FOUND.with_suffix(".md")
PLAIN, SPECULATIVE = "native:gamma=0,rule=rejection", "native:gamma=4,rule=rejection"

Evidence = Literal["scores", "tokens"]
EVIDENCE: tuple[Evidence, ...] = ("scores", "tokens")
LENGTH = 16
"""Tokens of a drawn case; the test of tokens alone looks at so many."""
BUDGET: dict[Evidence, int] = {"scores": 12_000, "tokens": 1_600}
"""Tokens to draw at most. With scores drawing ends as soon as the distribution is refuted."""
MORE_TOKENS = {"position-after-reject": 6_400}
"""Budget by tokens alone where 1,600 tokens leave a fault inconclusive."""
FAIL, UNSURE, PASS = Outcome.FAIL.value, Outcome.INCONCLUSIVE.value, Outcome.PASS.value
WORDS = {FAIL: "not equivalent", UNSURE: "inconclusive", PASS: "equivalent"}


class Said(NamedTuple):
    """A server, and what the documentation leads one to expect of it."""

    name: str
    """A fault of the catalogue, or what is sound."""
    scores: str
    """The outcome with scores; of a fault by the check that the catalogue names."""
    tokens: str
    """The outcome by tokens alone."""
    why: str
    """What decides, in the words of the documentation."""


PREFACE = """Written by `python -m benchmarks.by_url`. A server that speaks vLLM's dialect over the
native decoder, one request at a time, with one fault of the
[catalogue](../../docs/faults.md#the-catalogue), is gated by its URL against a sound one: with
`dtype=float32` and the pair's weights as judge (profile `quick`), and by tokens alone (no `dtype`,
`law_evidence=tokens`), as [docs/engines.md](../../docs/engines.md#what-goes-over-the-wire) and
[docs/sampled.md](../../docs/sampled.md#tokens-alone) describe. In brackets the checks that decided.
By tokens alone each arm draws 1,600 tokens. They left two faults inconclusive: with 6,400
`position-after-reject` is refuted; `bonus-lost` was not run with more.
One thread, beside other work: seconds are no measurement."""
PROOF = "without a dtype, tokens that differ are no proof; draws that differ plainly are"
BY_ITSELF = "`stopping` needs nothing but the answer and what was asked"
SAID = (
    Said("sound", PASS, UNSURE, "nothing differs; so few tokens are no proof by themselves"),
    Said("bonus-lost", FAIL, FAIL, PROOF),
    Said("position-after-reject", FAIL, FAIL, PROOF),
    Said("penalties-ignored", FAIL, UNSURE, PROOF),
    Said("stop-strings-ignored", FAIL, FAIL, BY_ITSELF),
    Said("budget-overrun", FAIL, FAIL, BY_ITSELF),
    Said("accepts-every-draft", FAIL, FAIL, PROOF),
    Said("recovers-from-target", FAIL, UNSURE, "scores see far smaller shifts than tokens alone"),
    Said("temperature-5", FAIL, UNSURE, "scores see far smaller shifts than tokens alone"),
    Said("bonus-counted-as-accepted", FAIL, FAIL, "`counters` compares counts with tokens"),
    Said("never-drafts", UNSURE, UNSURE, "`engaged` looks at counts: never put to the test"),
)


def main() -> int:
    """Run what is asked for and has not been, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="Part of a name.")
    parser.add_argument("--fresh", action="store_true", help="Run what has a result, too.")
    parser.add_argument("--evidence", choices=EVIDENCE, help="Only runs by this.")
    given = parser.parse_args()
    suites = make_suites()
    # Faults first: with scores most are refuted early, and sound servers draw the whole budget.
    for evidence, said in itertools.product(EVIDENCE, reversed(SAID)):
        key = f"{said.name} by {evidence}"
        wanted = not given.only or any(part in said.name for part in given.only)
        if wanted and given.evidence in (None, evidence) and (given.fresh or key not in known()):
            found = gated(said, evidence, suites=suites)
            print(f"{key}: {found}", flush=True)
            FOUND.write_text(json.dumps(known() | {key: found}, indent=1) + "\n")
    found = known()
    PAGE.write_text("\n".join(page(found)) + "\n")
    return 0 if all(as_said(said, found) for said in SAID) else 1


def tokens_of(said: Said, evidence: Evidence) -> int:
    """How many tokens each arm draws at most."""
    return max(BUDGET[evidence], MORE_TOKENS.get(said.name, 0) if evidence == "tokens" else 0)


def known() -> dict[str, Any]:
    """What was found before."""
    found: dict[str, Any] = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    return found


def make_suites() -> tuple[Suite, ...]:
    """The smoke prompts, and the sampled ones cut to few tokens."""
    smoke, sampled = load_suites(
        ROOT / "suites" / f"{name}.jsonl" for name in ("smoke", "sampling")
    )
    cases = tuple(
        msgspec.structs.replace(case, max_new_tokens=min(LENGTH, case.max_new_tokens))
        for case in sampled.cases
    )
    digest = hashlib.sha256(msgspec.json.encode(cases)).hexdigest()
    return (smoke, msgspec.structs.replace(sampled, cases=cases, digest=digest))


def gated(said: Said, evidence: Evidence, *, suites: tuple[Suite, ...]) -> dict[str, Any]:
    """Gate one server by its URL."""
    seconds = time.monotonic()
    server = EngineSetup(batch_size=1, threads=1)
    fault = "" if said.name.startswith("sound") else f",fault={said.name}"
    dtype = ",dtype=float32" if evidence == "scores" else ""
    with (
        serving(NativeVllm(PLAIN, server)) as target,
        serving(NativeVllm(SPECULATIVE + fault, server)) as candidate,
        tempfile.TemporaryDirectory() as folder,
    ):
        settings = Settings(
            setup=EngineSetup(threads=1, batch_size=4),
            target=f"{target.url}{dtype}",
            candidate=f"{candidate.url}{dtype}",
            law_evidence=evidence,
            profile="quick",
            sampled_batch=4,
            sampled_tokens=tokens_of(said, evidence),
        )
        verdict = run(settings, suites, Path(folder) / "run")
    return {
        "outcome": verdict.outcome.value,
        "headline": verdict.headline,
        "checks": gravest(verdict),
        "drawn": max((each.n for each in verdict.findings if each.check == "sampled"), default=0),
        "seconds": round(time.monotonic() - seconds),
    }


def gravest(verdict: Verdict) -> list[str]:
    """The checks that decided an outcome other than a pass."""
    if verdict.outcome is Outcome.PASS:
        return []
    decided = (each.check for each in verdict.findings if each.outcome is verdict.outcome)
    return list(dict.fromkeys(decided))


def as_said(said: Said, found: dict[str, Any]) -> bool:
    """Whether both results are there, and are what the documentation says."""
    told = [found[key] for key in (f"{said.name} by {each}" for each in EVIDENCE) if key in found]
    if len(told) < len(EVIDENCE):
        return False
    named = said.name.startswith("sound") or find(said.name).caught_by in told[0]["checks"]
    return named and tuple(each["outcome"] for each in told) == (said.scores, said.tokens)


def page(found: dict[str, Any]) -> Iterator[str]:
    """The results as a table, and what each verdict says."""
    yield "# Seeded faults behind a URL"
    yield ""
    yield PREFACE
    yield ""
    yield "| server | catalogue: caught by | with scores | by tokens alone | documented | as said |"
    yield "|---|---|---|---|---|---|"
    for said in SAID:
        sound = said.name.startswith("sound")
        name = said.name if sound else f"`{said.name}`"
        caught = "nothing: a control" if sound else find(said.name).caught_by
        cells = [cell(found.get(f"{said.name} by {evidence}")) for evidence in EVIDENCE]
        held = "yes" if as_said(said, found) else "**no**"
        if "not run" in cells:
            held = ""
        expected = f"{WORDS[said.scores]}; {WORDS[said.tokens]}: {said.why}"
        yield f"| {' | '.join((name, caught, *cells, expected, held))} |"
    yield ""
    yield "## Verdicts"
    for key, each in found.items():
        yield ""
        drawn = f"{each['drawn']:,} tokens drawn, " if each["drawn"] else ""
        yield f"**{key}** ({drawn}{each['seconds']} s): {each['headline']}"


def cell(told: dict[str, Any] | None) -> str:
    """An outcome and the checks behind it."""
    if told is None:
        return "not run"
    checks = f" ({', '.join(told['checks'])})" if told["checks"] else ""
    return f"{WORDS[told['outcome']]}{checks}"


if __name__ == "__main__":
    sys.exit(main())
