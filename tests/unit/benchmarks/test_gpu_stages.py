"""What there is to measure on a GPU, in which order, and what counts as a promise kept."""

from __future__ import annotations

from argparse import Namespace
from itertools import groupby
from pathlib import Path

import pytest
import torch

from benchmarks import bandwidth, identity
from benchmarks.gpu_stages import FULL, GIB, REHEARSAL, Place, Sizes, anew, fits, stages
from equivcheck.core.generation import Step
from tests.unit.make import make_generation, make_request

PLACE = Place(folder=Path("reports/some-gpu"), device="cuda", dtype="bfloat16", memory=80 * GIB)
MODULES = {
    "benchmarks.bandwidth",
    "benchmarks.ahead",
    "benchmarks.identity",
    "benchmarks.products",
    "benchmarks.step_profile",
    "equivcheck",
    "pytest",
}


@pytest.mark.parametrize("sizes", [FULL, REHEARSAL], ids=["full", "rehearsal"])
def test_every_stage_has_a_name_a_module_and_a_limit(sizes: Sizes) -> None:
    found = list(stages(sizes, PLACE))
    assert len({stage.name for stage in found}) == len(found)
    assert all(0 < stage.minutes <= 4 * sizes.patience for stage in found)
    assert {stage.command[0] for stage in found} == MODULES
    outs = [word for stage in found for word in stage.command if word.startswith("reports/")]
    benches = [out for out in outs if "/bench-" in out]
    assert len(set(benches)) == len(benches) > 5


def test_stages_of_a_group_follow_each_other() -> None:
    groups = [group for group, _ in groupby(stages(FULL, PLACE), key=lambda stage: stage.group)]
    shared = [group for group in groups if group]
    assert len(set(shared)) == len(shared) > 1


def test_what_is_to_be_measured_is_asked_for() -> None:
    found = {stage.name: " ".join(stage.command) for stage in stages(FULL, PLACE)}
    assert "--worst-case" in found["worst"]
    assert "compiled=true" in found["compiled"]
    assert "mode=assisted" in found["library"]
    assert "--dtype float16" in found["identity-float16"]
    assert "--contract batch-invariant --other-batch-size 1" in found["identity-invariant"]
    assert "gamma=1,2,4,6,7" in found["gamma"]
    assert "batch=2,8,32,64" in found["batch"]
    assert "--pair tiny@8b+tiny:3bit@0.15b" in found["close"]
    assert "--no-stock" not in found["speed"] + found["close"]


def test_a_pair_that_the_device_cannot_hold_is_left_out() -> None:
    assert [fits(f"tiny@{shape}+0.15b", 80 * GIB) for shape in ("8b", "14b", "32b")] == [
        True,
        True,
        False,
    ]
    assert fits("tiny@32b+0.15b", 140 * GIB)
    assert fits("tiny@32b+0.15b", None)
    assert fits("tiny", GIB)
    assert not any("32b" in stage.name for stage in stages(FULL, PLACE))


def test_stages_divide_the_gammas() -> None:
    asked = [
        stage.command[stage.command.index("--gamma") + 1]
        for stage in stages(FULL, PLACE)
        if "--gamma" in stage.command and stage.beside
    ]
    assert asked == [str(gamma) for gamma in identity.GAMMAS]


def test_a_measurement_that_is_run_again_goes_on_with_nothing() -> None:
    for stage in stages(FULL, PLACE):
        measures = stage.command[:2] == ("equivcheck", "bench")
        assert anew(stage).command == (*stage.command, *(["--fresh"] if measures else []))


def test_copies_have_a_bandwidth() -> None:
    (record,) = bandwidth.measure(torch.device("cpu"), (1,))
    assert record["buffer_bytes"] == 2**20
    assert float(str(record["bytes_per_second"])) > 0
    assert (record["device"], record["clock"]) == ("cpu", "monotonic clock")


def test_identity_is_compared_across_batch_sizes() -> None:
    usual = Namespace(batch_size=16, contract="fixed-shape", other_batch_size=[], options="")
    assert list(identity.arms_of(usual, gamma=1)) == [
        ("native:gamma=1", 16),
        ("native:gamma=0,width=1,kernels=library", 16),
    ]
    assert list(identity.arms_of(usual, gamma=2)) == [("native:gamma=2", 16)]
    several = Namespace(batch_size=16, contract="batch-invariant", other_batch_size=[1], options="")
    assert list(identity.arms_of(several, gamma=1)) == [
        ("native:gamma=1,contract=batch-invariant", 16),
        ("native:gamma=0,width=1,contract=batch-invariant", 16),
        ("native:gamma=1,contract=batch-invariant", 1),
        ("native:gamma=0,contract=batch-invariant", 1),
    ]


def test_rows_are_counted_by_slot_up_to_the_first_other_token() -> None:
    steps = (Step(drafted=2, accepted=2, emitted=3), Step(drafted=2, accepted=1, emitted=2))
    request = make_request("a/b", max_new_tokens=5)
    plain, other, torn = (
        make_generation(tokens, key="a/b", steps=steps, logit_digests=digests)
        for tokens, digests in (
            ((1, 2, 3, 4, 5), (1, 2, 3, 4, 5)),
            ((1, 2, 3, 4, 5), (1, 2, 3, 4, 9)),
            ((1, 2, 9, 4, 5), (1, 2, 9, 4, 5)),
        )
    )
    found = identity.compare({"a/b": plain}, {"a/b": other}, [request])
    assert (found["positions"], found["positions_by_slot"]) == (5, [2, 2, 1])
    assert found["positions_with_other_bits"] == 1
    found = identity.compare({"a/b": plain}, {"a/b": torn}, [request])
    assert (found["positions"], found["positions_by_slot"]) == (3, [1, 1, 1])
    assert (found["requests_with_other_tokens"], found["accepted"]) == (1, 3)


def test_a_broken_promise_and_an_empty_comparison_fail() -> None:
    kept = {
        "contract": "fixed-shape 8x8x1088 float32",
        "arm": "native:gamma=2",
        "batch_size": 8,
        "arm_batch_size": 8,
        "positions": 9,
        "positions_with_other_bits": 0,
        "requests_with_other_tokens": 0,
    }
    broken = kept | {"positions_with_other_bits": 1}
    alone = broken | {"arm": "native:gamma=0,width=1"}
    assert identity.holds([kept, alone])
    assert not identity.holds([kept, broken])
    assert not identity.holds([kept | {"positions": 0}])
    assert not identity.holds([])
    # Of a fallback: the arm of another width was asked for, and ran, without it.
    fallback = {"contract": "batch-invariant 1088"}
    assert identity.holds([kept | fallback, alone | fallback])
    named = {"arm": "native:gamma=0,width=1,contract=batch-invariant"}
    assert not identity.holds([kept | fallback, broken | fallback | named])
    elsewhere = broken | fallback | {"arm_batch_size": 1}
    assert identity.holds([kept | fallback, elsewhere])
    assert not identity.holds([kept | {"contract": None}])


def test_every_identity_stage_compares_something() -> None:
    for sizes in (FULL, REHEARSAL):
        for stage in stages(sizes, PLACE):
            if stage.command[0] == "benchmarks.identity":
                words = dict(zip(stage.command, stage.command[1:], strict=False))
                requests = int(words["--positions"]) // int(words["--tokens"])
                assert requests >= len(identity.GAMMAS) * len(identity.TEMPERATURES), stage.name
