"""Shards on a local Ray cluster of several nodes: a node that is lost costs no case."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from equivcheck.cluster.connection import Cluster, room_for
from equivcheck.cluster.spread import spread
from equivcheck.core.cases import Case
from equivcheck.core.errors import EquivcheckError, SettingsError
from equivcheck.core.findings import Outcome
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.pipeline.merge import merge
from equivcheck.pipeline.run import run
from equivcheck.records.evidence_digest import evidence_digest
from equivcheck.records.records import CANDIDATE
from equivcheck.records.records_file import RECORDS_NAME, read_evidence
from equivcheck.records.shards import Which
from tests.unit.make import suite_of

ray = pytest.importorskip("ray")

CASES = 12
ANSWER = b'"type":"generation"'
SUITE = suite_of(
    tuple(
        Case(id=f"c{index}", prompt="the cat sat on " * (1 + index % 5), max_new_tokens=24)
        for index in range(CASES)
    ),
    workload="spread",
)
LONG = replace(
    SUITE,
    cases=tuple(replace(case, max_new_tokens=160, ignore_eos=True) for case in SUITE.cases),
)
"""Answers that take several copies, so that a shard is lost in the middle of them."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head without room for shards, and two machines."""
    from ray.cluster_utils import Cluster as Nodes

    found = Nodes(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        found.add_node(num_cpus=1)
    ray.init(address=found.address, log_to_driver=False, logging_level="error")
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture
def settings(setup: EngineSetup) -> Settings:
    setup = replace(setup, batch_size=1, threads=1)
    return Settings(setup=setup, candidate="native:gamma=3", sampled=None)


def two(folder: Path) -> list[Path]:
    return [folder / Which(number, 2).folder for number in (1, 2)]


def test_a_node_that_is_killed_costs_no_case(
    nodes: Any, settings: Settings, tmp_path: Path
) -> None:
    said: list[str] = []
    lost = nodes.add_node(num_cpus=1)
    folder = tmp_path / "spread"
    done = threading.Event()

    def kill() -> None:
        """Once records of every shard are here, whichever node they came from."""
        while not (done.is_set() or (folder / Which(3, 3).folder / RECORDS_NAME).exists()):
            time.sleep(0.1)
        nodes.remove_node(lost)

    killer = threading.Thread(target=kill)
    killer.start()
    cluster = Cluster(address="auto", shards=3)
    told: list[tuple[str, int, int]] = []
    spread(
        settings,
        [LONG],
        folder,
        cluster=cluster,
        say=said.append,
        progress=lambda *each: told.append(each),
    )
    done.set()
    killer.join()
    assert len(said) == 1
    assert "was lost" in said[0]
    assert told
    _, verdict = merge([folder], tmp_path / "merged")
    whole = run(settings, [LONG], tmp_path / "whole")
    assert (verdict.outcome, verdict.headline) == (whole.outcome, whole.headline)
    one, other = read_evidence(tmp_path / "merged"), read_evidence(tmp_path / "whole")
    assert len(one.captured[CANDIDATE]) == CASES
    assert evidence_digest(one) == evidence_digest(other)


def test_what_is_finished_is_not_run_again(nodes: Any, settings: Settings, tmp_path: Path) -> None:
    cluster = Cluster(address="auto", shards=2)
    first = two(tmp_path)[0]
    run(settings, [SUITE], first, which=Which(1, 2))
    before = (first / RECORDS_NAME).read_bytes()
    spread(settings, [SUITE], tmp_path, cluster=cluster, say=print)
    assert (first / RECORDS_NAME).read_bytes() == before
    assert merge([tmp_path], tmp_path / "merged")[1].outcome is not Outcome.FAIL


def test_what_cannot_run_is_said_once(nodes: Any, settings: Settings, tmp_path: Path) -> None:
    cluster = Cluster(address="auto", shards=2)
    wrong = replace(settings, candidate="native:gamma=3,fault=none-such")
    with pytest.raises(EquivcheckError, match=r"shard . of 2: .*none-such"):
        spread(wrong, [SUITE], tmp_path, cluster=cluster, say=print)
    with pytest.raises(SettingsError, match="no machine of the cluster has room"):
        room_for(ray, cpus=1, gpus=1)
    assert room_for(ray, cpus=1, gpus=0) == 2


def test_interrupted_it_keeps_what_came_and_goes_on(nodes: Any, tmp_path: Path) -> None:
    case = {"prompt": "the cat sat on ", "max_new_tokens": 400, "ignore_eos": True}
    lines = [{"equivcheck": 1, "workload": "w"}, *({"id": f"c{at}"} | case for at in range(32))]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = f"-m equivcheck run s.jsonl --shards 2 --threads 1 --ray={nodes.address}".split()
    command = [sys.executable, *words, "--set", "control=none", "--only", "*", "--out", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    home = tmp_path / "run/shard-1-of-2" / RECORDS_NAME
    while not (home.exists() and ANSWER in home.read_bytes()):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "run the same again" in told
    kept = home.read_bytes().count(ANSWER)
    assert kept
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    assert len(read_evidence(tmp_path / "run").captured[CANDIDATE]) == 32
    assert home.read_bytes().count(ANSWER) > kept
