"""Ask the same two engines one small suite after another, and say whether its case still fails."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from equivcheck.checks.verdict import judge
from equivcheck.core.findings import Outcome
from equivcheck.engines.opening import Opening
from equivcheck.pipeline.company import in_company, suite_of, suite_order
from equivcheck.records.divergence import shared_contract
from equivcheck.records.records import CANDIDATE, SHUFFLED, TARGET, Evidence
from equivcheck.records.records_file import RECORDS_NAME, RecordsWriter, read_evidence

if TYPE_CHECKING:
    from equivcheck.core.cases import Case


class Trials:
    """Target and candidate of a stored run, for many tries."""

    def __init__(self, evidence: Evidence, key: str, *, check: str, arm: str) -> None:
        """Open nothing yet.

        Args:
            evidence: the stored run.
            key: the case that fails, ``workload/id``.
            check: that has to fail on it.
            arm: `CANDIDATE`, or `SHUFFLED` for what is asked in one go and refilled.

        Raises:
            PairError: the pair's tokenizer cannot be had.
        """
        from equivcheck.capture.arms import Arms
        from equivcheck.core.detokenise import detokeniser
        from equivcheck.pairs.tokenizer import load_tokenizer

        self.evidence, self.key, self.check, self.arm = evidence, key, check, arm
        self.workload = evidence.asked[key].workload
        settings = in_company(evidence.header.settings, check=check)
        self.settings = msgspec.structs.replace(settings, control=None)
        self.detokenise = detokeniser(load_tokenizer(self.settings.setup.pair))
        opening = Opening(tables=settings.engine, clock=settings.clock)
        self.arms = Arms(self.settings, opening=opening, stored=None)

    def __enter__(self) -> Self:
        """To be closed in the end."""
        return self

    def __exit__(self, *_: object) -> None:
        self.arms.close(TARGET, CANDIDATE)

    def fails(self, asked: Sequence[Case]) -> bool:
        """Whether the case fails by the check, asked in this order and company."""
        from equivcheck.capture.capture import ask_shuffled
        from equivcheck.capture.logbook import Logbook
        from equivcheck.capture.plan import make_plan
        from equivcheck.scoring import score

        cases = suite_order(asked, self.settings, arm=self.arm)
        suite = suite_of(cases, workload=self.workload, path="replayed.jsonl")
        plan = make_plan(self.settings, (suite,), encode=lambda case: case.token_ids or ())
        keys = tuple(each.request.key for each in plan.asked)
        planned = {TARGET: (self.key,), CANDIDATE: keys}
        if self.arm == SHUFFLED:
            planned[SHUFFLED] = keys
        told = {arm: self.arms.told(TARGET if arm == TARGET else CANDIDATE) for arm in planned}
        header = msgspec.structs.replace(
            self.evidence.header, settings=self.settings, planned=planned, arms=told, suites=()
        )
        plan = msgspec.structs.replace(plan, planned=planned)
        with tempfile.TemporaryDirectory(prefix="equivcheck-replay-") as folder:
            path = Path(folder) / RECORDS_NAME
            with RecordsWriter.create(path, header) as writer:
                book = Logbook(
                    plan,
                    Evidence(header=header, asked={}, captured={}),
                    writer=writer,
                    detokenise=self.detokenise,
                    progress=None,
                )
                for arm in (TARGET, CANDIDATE):
                    for chunk in plan.chunks:
                        book.put(self.arms[arm], chunk, arm=arm)
                if self.arm == SHUFFLED:
                    ask_shuffled(book, self.arms[CANDIDATE], settings=self.settings)
            found = read_evidence(path)
            # Under a contract nothing is excused, so no reference has to say why arms parted.
            if self.check == "logprobs" or shared_contract(found) is None:
                score(path)
                found = read_evidence(path)
        return any(
            finding.outcome is Outcome.FAIL
            and (finding.check, finding.subject) == (self.check, self.key)
            for finding in judge(found).findings
        )
