"""What `benchmarks.ahead` holds against each other: ways to launch kernels, steps and bits."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="needs triton")

from benchmarks import ahead
from benchmarks.ahead import ARMS, Arm, launching, main
from equivcheck.core.generation import Generation, Request, Step
from equivcheck.decoding.backends import fused, products
from equivcheck.decoding.kernels import starting

TALL = {"columns": 4096 * products.TALL_FROM, "inner": 4096}


def ways() -> tuple[bool, int, products.Tiles]:
    """How a product of few rows would be launched now."""
    can = starting.starts_ahead(torch.device("cuda"))
    return can, products.FETCHED_TILES, vars(fused)["tiles_for_few"](**TALL)


def test_an_arm_launches_as_it_says_and_leaves_everything_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(starting, "starts_ahead", lambda device: True)
    before, found = ways(), []
    for arm in ARMS:
        with launching(arm):
            found.append(ways())
        assert ways() == before
    assert found == [
        (False, 0, products.FEWEST),
        (False, 0, products.TALL),
        (True, 0, products.TALL),
        (True, 2, products.TALL),
        (True, 8, products.TALL),
    ]


def test_a_gpu_that_cannot_start_ahead_is_not_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "starts_ahead", lambda device: False)
    with launching(ARMS[-1]):
        assert starting.starting(torch.device("cuda"), ahead=True) == {"AHEAD": False}


class Stand:
    """An engine that takes as long as its arm says, and whose bits are those of `digest`."""

    def __init__(self, *, seconds: float, digest: int) -> None:
        self.seconds, self.digest = seconds, digest

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            yield Generation(
                key=request.key,
                token_ids=(1, 2, 3),
                finish_reason="length",
                prompt_tokens=len(request.prompt_ids),
                logit_digests=(self.digest, 5, 6),
                steps=tuple(
                    Step(drafted=0, accepted=0, emitted=1, seconds=seconds)
                    for seconds in (9.0, self.seconds, self.seconds)
                ),
            )

    def close(self) -> None: ...


@pytest.mark.parametrize("wrong", [None, ARMS[2]], ids=["same", "other"])
def test_other_bits_fail(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    wrong: Arm | None,
) -> None:
    opened: list[Arm] = []

    def load_engine(*_: Any) -> Any:
        arm = ARMS[len(opened) % len(ARMS)]
        opened.append(arm)
        return Stand(seconds=0.002 if arm == ARMS[0] else 0.001, digest=int(arm == wrong))

    monkeypatch.setattr(ahead, "load_engine", load_engine)
    monkeypatch.setattr(sys, "argv", ["ahead", "--out", str(tmp_path / "ahead.jsonl")])
    assert main() == (0 if wrong is None else 1)
    lines = (tmp_path / "ahead.jsonl").read_text(encoding="utf-8").splitlines()
    records = [SimpleNamespace(**json.loads(line)) for line in lines]
    assert [record.arm for record in records] == 2 * [arm.name for arm in ARMS]
    assert [record.over_first for record in records] == 2 * [1.0, 2.0, 2.0, 2.0, 2.0]
    assert {record.arm for record in records if not record.same_bits} == (
        set() if wrong is None else {wrong.name}
    )
    printed = capsys.readouterr().out
    assert printed.count("bits DIFFER") == (0 if wrong is None else 2)
    assert "gamma 4, ahead: 1.000 ms a step, 2.000x the first" in printed
