"""A run in MLflow's file store, written and read back by its own client."""

from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.checks.verdict import judge
from equivcheck.core.extras import how_to_install
from equivcheck.report.export.mlflow_run import EXPERIMENT, log_run
from tests.unit.report.test_report import make_run


def test_the_missing_package_is_named() -> None:
    assert how_to_install("mlflow.tracking") == "pip install 'equivcheck[mlflow]'"


@pytest.mark.parametrize(("parted", "status"), [((), "FINISHED"), (("code/c1",), "FAILED")])
def test_figures_reports_and_the_verdict_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parted: tuple[str, ...], status: str
) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    evidence = make_run(parted=parted)
    (tmp_path / "report.html").write_text("<p>")
    store = tmp_path / "store"
    made = log_run(evidence, judge(evidence), store=str(store), folder=tmp_path)
    client = tracking.MlflowClient(tracking_uri=store.as_uri())
    assert client.get_experiment_by_name(EXPERIMENT)
    run = client.get_run(made)
    assert run.info.status == status
    assert run.data.params["candidate"] == "native:gamma=2"
    assert run.data.metrics["identical_cases"] == 20 - len(parted)
    assert run.data.metrics["acceptance_rate.code"] == pytest.approx(8 / 14)
    assert [each.path for each in client.list_artifacts(made)] == ["report.html"]
