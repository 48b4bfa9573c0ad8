"""Make a failure of a stored run as small as it gets, and write it as a suite that can be run.

First neighbours are dropped, then tokens of prompts, then length of outputs. What is kept was seen
to fail; at the end engines that are opened anew say whether the written suite fails.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from equivcheck.checks.subjects import command
from equivcheck.checks.verdict import judge
from equivcheck.core.atomic_write import replace
from equivcheck.core.cases import Case, Suite
from equivcheck.core.errors import RecordsError
from equivcheck.core.exit_codes import EXIT_CODES
from equivcheck.core.findings import Finding, Outcome
from equivcheck.core.load_suites import SuiteHeader, load_suites
from equivcheck.core.schedule import waves
from equivcheck.core.settings import Settings
from equivcheck.pipeline.company import (
    arm_of,
    cases_of,
    companies,
    in_company,
    in_waves,
    suite_of,
    suite_order,
)
from equivcheck.pipeline.reducing import Tries, fewest, lowest
from equivcheck.pipeline.trials import Trials
from equivcheck.records.records import CANDIDATE, Evidence

if TYPE_CHECKING:
    from equivcheck.core.on_progress import OnProgress

MOST_TRIES = 200
CHECKS = ("greedy", "coupled", "batching", "stopping", "counters", "logprobs")
"""Whose failures are one case's, and show in one run of it."""
_Fails = Callable[[Sequence[Case]], bool]
SHRINKING = "making the case smaller"


class Size(Struct, frozen=True, kw_only=True):
    """How much a failing input is."""

    neighbours: int
    prompt: int
    """Tokens of the case's prompt."""
    output: int
    """Most tokens of its output."""


class Smallest(Struct, frozen=True, kw_only=True):
    """A failure, made smaller."""

    key: str
    check: str
    file: str
    before: Size
    after: Size
    tries: int
    fails: bool
    """Whether the written suite fails on the case with engines opened anew."""
    findings: tuple[Finding, ...]
    """What that run found about the case."""
    command: str
    """Runs the suite."""

    @property
    def exit_code(self) -> int:
        """As for a whole run."""
        return EXIT_CODES[Outcome.FAIL if self.fails else Outcome.INCONCLUSIVE]


def smallest(
    evidence: Evidence,
    key: str,
    file: Path,
    *,
    most: int = MOST_TRIES,
    progress: OnProgress | None = None,
) -> Smallest:
    """Shrink the failure of a case and write it to ``file``.

    Args:
        evidence: the stored run.
        key: ``workload/id``.
        file: the suite to write; replaced where there is one.
        most: tries.
        progress: told after each.

    Raises:
        RecordsError: the case did not fail by a check of `CHECKS`, or does not fail any more.
        EquivcheckError: an engine or the pair cannot be loaded, or the file cannot be written.
    """
    check = _failed_check(evidence, key)
    arm, workload = arm_of(check), evidence.asked[key].workload
    tries = Tries(most=most, tell=partial(progress, SHRINKING) if progress else None)
    with Trials(evidence, key, check=check, arm=arm) as trials:

        def fails(cases: Sequence[Case]) -> bool:
            return tries.fails(lambda: trials.fails(cases))

        levels = [[key]] if arm == CANDIDATE else []
        for keys in (*levels, *companies(evidence, key, arm=arm)):
            cases = cases_of(evidence, keys, workload=workload)
            if fails(cases):
                break
        else:
            raise RecordsError(
                f"{key} fails by {check} no more, alone or in the company that it was asked in"
            )
        own = key.partition("/")[2]
        kept = _shrunk(cases, own, fails)
        settings = in_company(evidence.header.settings, check=check)
        written = suite_order(kept, settings, arm=arm)
    replace(file, _text(suite_of(written, workload=workload, path=str(file))))
    findings = _found(settings, load_suites([file]), key)
    return Smallest(
        key=key,
        check=check,
        file=str(file),
        before=_size(cases, own),
        after=_size(kept, own),
        tries=tries.made,
        fails=any(each.outcome is Outcome.FAIL and each.check == check for each in findings),
        findings=tuple(findings),
        command=command("run", str(file), *_flags(settings)),
    )


def _failed_check(evidence: Evidence, key: str) -> str:
    """The first check that failed on a case and can be made smaller."""
    for finding in judge(evidence).findings:
        if (finding.subject, finding.outcome) == (key, Outcome.FAIL) and finding.check in CHECKS:
            return finding.check
    raise RecordsError(
        f"{key} did not fail by {', '.join(CHECKS)}: there is nothing to make smaller"
    )


def _shrunk(cases: Sequence[Case], own: str, fails: _Fails) -> list[Case]:
    """Drop neighbours, then tokens of prompts, then length of outputs."""
    place = next(index for index, case in enumerate(cases) if case.id == own)

    known = waves(cases)

    def among(neighbours: tuple[int, ...]) -> list[Case]:
        kept = [cases[index] for index in sorted((*neighbours, place))]
        return in_waves(kept, [known[case.id] for case in kept])

    others = [index for index in range(len(cases)) if index != place]
    kept = among(fewest(others, lambda neighbours: fails(among(neighbours))))
    # The case itself first: it is what will be read.
    order = sorted(range(len(kept)), key=lambda index: kept[index].id != own)
    for index in order:
        kept[index] = _shorter_prompt(kept, index, fails)
    for index in order:
        kept[index] = _shorter_output(kept, index, fails)
    return kept


def _shorter_prompt(cases: list[Case], index: int, fails: _Fails) -> Case:
    case = cases[index]

    def having(tokens: tuple[int, ...]) -> Case:
        return msgspec.structs.replace(case, token_ids=tokens)

    return having(
        fewest(
            case.token_ids or (),
            lambda tokens: fails([*cases[:index], having(tokens), *cases[index + 1 :]]),
            least=1,
        )
    )


def _shorter_output(cases: list[Case], index: int, fails: _Fails) -> Case:
    case = cases[index]

    def having(length: int) -> Case:
        return msgspec.structs.replace(case, max_new_tokens=length)

    return having(
        lowest(
            case.max_new_tokens,
            lambda length: fails([*cases[:index], having(length), *cases[index + 1 :]]),
        )
    )


def _size(cases: Sequence[Case], own: str) -> Size:
    case = next(each for each in cases if each.id == own)
    return Size(
        neighbours=len(cases) - 1,
        prompt=len(case.token_ids or ()),
        output=case.max_new_tokens,
    )


def _text(suite: Suite) -> str:
    """A suite as its file."""
    header = SuiteHeader(
        equivcheck=1, workload=suite.workload, description="a failure, made smaller"
    )
    lines = [msgspec.json.encode(header), *map(msgspec.json.encode, suite.cases)]
    return "".join(f"{line.decode()}\n" for line in lines)


def _found(settings: Settings, suites: Sequence[Suite], key: str) -> list[Finding]:
    """What a run of its own, with engines opened anew, finds about the case."""
    from equivcheck.pipeline.run import run

    with tempfile.TemporaryDirectory(prefix="equivcheck-replay-") as folder:
        verdict = run(settings, suites, Path(folder))
    found = [finding for finding in verdict.findings if finding.subject == key]
    return [msgspec.structs.replace(finding, repeat=None) for finding in found]


def _flags(settings: Settings) -> Iterator[str]:
    """``--set`` for every setting that is not at its default."""
    for name, value in _changed(settings, Settings(), prefix=""):
        yield from ("--set", f"{name}={_as_text(value)}")


def _changed(given: Struct, default: Struct, *, prefix: str) -> Iterator[tuple[str, object]]:
    for name in given.__struct_fields__:
        value, usual = getattr(given, name), getattr(default, name)
        if isinstance(value, Struct):
            yield from _changed(value, usual, prefix=f"{prefix}{name}.")
        elif value != usual and not isinstance(value, dict):
            yield f"{prefix}{name}", value


def _as_text(value: object) -> str:
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
