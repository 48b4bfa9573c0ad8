"""The recipe of `tiny-v2`: its exercises, its readers, and its target's training."""

from __future__ import annotations

import datetime
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from equivcheck.core.load_suites import load_suite
from tests.unit.pairs.make import make_model
from training import exercises, further
from training.extract import read_functions, read_listings
from training.further_packages import FURTHER
from training.packages import WORKLOADS


def test_further_packages_have_a_licence_and_a_checksum() -> None:
    for extract in FURTHER:
        assert extract.workload in WORKLOADS
        assert extract.package.licence
        assert len(extract.package.sha256) == 64


def test_exercises_are_the_same_each_time_and_of_no_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercises, "BYTES", 200_000)
    texts = list(exercises.exercises())
    assert texts == list(exercises.exercises())
    asked = [
        case.prompt or (case.messages or [])[-1].content
        for workload in WORKLOADS
        for case in load_suite(f"suites/{workload}.jsonl").cases
    ]
    whole = "\n\n".join(texts)
    assert not [prompt for prompt in asked if prompt and len(prompt) > 20 and prompt in whole]


@pytest.mark.parametrize("seed", range(20))
def test_answers_are_right(seed: int) -> None:
    draw = random.Random(seed)
    found = re.search(r"\n(\d+) (\D) (\d+) = (-?\d+)\.", exercises.sums(draw))
    assert found
    left, sign, right, value = found.groups()
    one, two = int(left), int(right)
    assert {"+": one + two, "-": one - two, "*": one * two}[sign] == int(value)
    text = exercises.days(draw)
    dates = re.search(r"between (\d+ \w+) and (\d+ \w+)\.", text)
    count = re.search(r"There are (\d+) days", text)
    assert dates
    assert count
    first, second = (
        datetime.datetime.strptime(f"{date} 2025", "%d %B %Y").replace(tzinfo=datetime.UTC)
        for date in dates.groups()
    )
    assert (second - first).days % 365 == int(count[1])
    rows = json.loads(exercises.table(draw).split("<|assistant|>\n")[1])
    assert all(isinstance(row["name"], str) for row in rows)
    code = exercises.textbook(draw)
    compile(code.split("```python\n")[-1].split("```")[0], "exercise", "exec")


def test_listings_and_functions_are_read(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>Prose</p><pre class='x'>SELECT <b>1</b> &lt; 2;</pre><pre></pre>")
    assert list(read_listings(page)) == ["SELECT 1 < 2;"]
    module = tmp_path / "module.py"
    module.write_text(
        'class A:\n    def f(self):\n        """Return what is the answer."""\n'
        '        return 42\n\ndef _g():\n    """Return what is not asked for."""\n'
    )
    (asked,) = read_functions(module)
    assert "Write a Python function `f`: Return what is the answer.\n<|assistant|>\n" in asked
    assert "```python\ndef f(self):\n" in asked
    assert "    return 42\n```" in asked


def test_the_rate_warms_up_and_cools_down() -> None:
    shares = [further.schedule(step, steps=1000) for step in range(1000)]
    assert shares[0] == 1 / further.WARM_UP
    assert set(shares[further.WARM_UP : 600]) == {1.0}
    assert shares[-1] == 0.02
    assert sorted(shares[600:], reverse=True) == shares[600:]


def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(further, "RANKS", 1)
    monkeypatch.setattr(further, "LENGTH", 24)
    monkeypatch.setattr(further, "CHECKPOINT_EVERY", 2)
    streams = {
        name: torch.randint(264, (200,), generator=torch.Generator().manual_seed(place)).int()
        for place, name in enumerate(WORKLOADS)
    }

    def run(folder: Path, *, stop: bool = False) -> Any:
        folder.mkdir(exist_ok=True)
        (folder / "meet").unlink(missing_ok=True)
        model = make_model(rows=264, hidden=64).requires_grad_(True)

        def report(_line: str) -> None:
            if stop:
                torch.distributed.destroy_process_group()
                raise KeyboardInterrupt

        further.train(model, streams, rank=0, steps=5, folder=folder, report=report)
        return model

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "part", stop=True)
    assert load_file(tmp_path / "part" / "last.safetensors")["progress"][0] == 2
    resumed = run(tmp_path / "part")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
