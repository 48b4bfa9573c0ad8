"""A judged run in MLflow, by its own client: what was run, the figures, and the report's files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from equivcheck.checks.verdict import Verdict
from equivcheck.core.exit_codes import EXIT_CODES
from equivcheck.core.findings import Outcome
from equivcheck.records.records import CANDIDATE, TARGET, Evidence
from equivcheck.report.view import view_of
from equivcheck.statistics.acceptance_rate import acceptance_by_workload

EXPERIMENT = "equivcheck"
FILES = ("report.html", "report.md", "records.jsonl")
"""Files of the run's folder, as far as they are there."""
_MOST = 500
"""Characters of a parameter that every store of MLflow takes."""
_ALLOWED = "MLFLOW_ALLOW_FILE_STORE"


def log_run(evidence: Evidence, verdict: Verdict, *, store: str, folder: Path) -> str:
    """Log the run in ``store`` and say where it is.

    Args:
        evidence: The run.
        verdict: What was found about it.
        store: A folder, which is made, or an address that MLflow knows (``http:``, ``sqlite:``).
        folder: Of the run's report.

    Returns:
        The run's id in MLflow.

    Raises:
        ModuleNotFoundError: MLflow is not installed.
    """
    from mlflow.tracking import MlflowClient

    address = store
    if "://" not in store and not store.startswith(("file:", "databricks")):
        # Its newer releases refuse folders unless they are told that one is meant.
        os.environ.setdefault(_ALLOWED, "true")
        address = Path(store).absolute().as_uri()
    client = MlflowClient(tracking_uri=address)
    known = client.get_experiment_by_name(EXPERIMENT)
    experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT)
    passed = verdict.outcome is Outcome.PASS
    run = client.create_run(
        experiment,
        run_name=evidence.header.run,
        tags={"equivcheck.verdict": verdict.outcome.value, "equivcheck.headline": verdict.headline},
    ).info.run_id
    for name, value in _parameters(evidence):
        client.log_param(run, name, value[:_MOST])
    for name, figure in _figures(evidence, verdict):
        client.log_metric(run, name, figure)
    for name in FILES:
        if (folder / name).is_file():
            client.log_artifact(run, str(folder / name))
    client.set_terminated(run, status="FINISHED" if passed else "FAILED")
    return str(run)


def _parameters(evidence: Evidence) -> Iterator[tuple[str, str]]:
    header = evidence.header
    yield "pair", header.settings.setup.pair
    yield "dtype", header.settings.setup.dtype
    yield "suites", ", ".join(suite.workload for suite in header.suites)
    for arm in (TARGET, CANDIDATE):
        if arm in header.arms:
            yield arm, header.arms[arm].engine
    if header.git_commit:
        yield "commit", header.git_commit


def _figures(evidence: Evidence, verdict: Verdict) -> Iterator[tuple[str, float]]:
    view = view_of(evidence, verdict)
    yield "exit_code", EXIT_CODES[verdict.outcome]
    yield "cases", sum(row.cases for row in view.workloads)
    yield "identical_cases", sum(row.identical for row in view.workloads)
    for outcome in Outcome:
        found = sum(finding.outcome is outcome for finding in verdict.findings)
        yield f"findings.{outcome.value}", found
    for workload, told in acceptance_by_workload(evidence).items():
        if told.rate is not None and told.mean_length is not None:
            yield f"acceptance_rate.{workload}", told.rate
            yield f"acceptance_length.{workload}", told.mean_length
