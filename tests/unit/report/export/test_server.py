"""A real Prometheus scrapes the export, and answers every question of the dashboard."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from equivcheck.report.export.grafana import PANELS
from tests.unit.report.export.make import text_of, timed_run

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="needs Prometheus")
PATIENCE = 60.0
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: equivcheck
    metrics_path: /equivcheck.prom
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Folder(SimpleHTTPRequestHandler):
    """A file server that keeps quiet."""

    extensions_map = {".prom": "text/plain; version=0.0.4"}

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[int]:
    """The port on which a folder with the export is served."""
    (tmp_path / "equivcheck.prom").write_text(text_of(timed_run()), encoding="utf-8")
    handler = partial(Folder, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def address(served: int, tmp_path: Path) -> Iterator[str]:
    """A Prometheus that scrapes that folder."""
    (tmp_path / "prometheus.yml").write_text(CONFIG.format(port=served), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        "prometheus",
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={listen}",
        "--log.level=error",
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield listen
    finally:
        process.terminate()
        process.wait()


def ask(address: str, expression: str) -> list[Any]:
    query = urlencode({"query": expression})
    with urlopen(f"http://{address}/api/v1/query?{query}") as answer:
        told = json.load(answer)
    assert told["status"] == "success"
    result: list[Any] = told["data"]["result"]
    return result


def wait_for(address: str, expression: str) -> list[Any]:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if found := ask(address, expression):
                return found
        except (URLError, ConnectionError):
            pass  # it has not started yet
        time.sleep(0.2)
    raise AssertionError(f"Prometheus has nothing for {expression}")


def test_every_panel_has_something_to_show(address: str) -> None:
    wait_for(address, "up == 1")
    (info,) = wait_for(address, "equivcheck_run_info")
    assert info["metric"]["candidate"] == "native:gamma=2"
    for panel in PANELS:
        for expression in panel.expressions.values():
            found = ask(address, expression.replace("$workload", ".*"))
            assert found or panel.title == "Findings that did not pass", (panel.title, expression)
    (panel,) = [panel for panel in PANELS if "after / before" in panel.title]
    (expression,) = panel.expressions.values()
    ratios = {
        row["metric"]["workload"]: float(row["value"][1])
        for row in ask(address, expression.replace("$workload", ".*"))
    }
    assert len(ratios) == 5
    assert all(ratio == pytest.approx(0.5) for ratio in ratios.values())


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool")
def test_promtool_has_nothing_to_say() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text_of(timed_run()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
