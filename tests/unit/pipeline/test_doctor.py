"""What the doctor says of probes that did not hold."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from equivcheck.pipeline.doctor import DoctorReport, ProbeRow, lines_of


def told(name: str, *, required: bool, contract: str | None) -> str:
    probe = ProbeRow(name=name, shape="4 x 8", differing=3, compared=32, required=required)
    diagnosis = DoctorReport(
        engine="native:gamma=4",
        pair="tiny",
        device="cpu",
        dtype="float32",
        threads=2,
        contract=contract,
        probes=(probe,),
        step_seconds=0.004,
        narrow_seconds=0.003,
        warnings=(),
        environment={},
    )
    return "\n".join(lines_of(diagnosis))


@pytest.mark.parametrize(
    ("required", "contract"), [(True, None), (False, "fixed-shape 4x8x1088 read-alone")]
)
def test_only_what_a_contract_hangs_on_breaks_it(required: bool, contract: str | None) -> None:
    text = told("prefill", required=required, contract=contract)
    assert "3 of 32 differ" in text
    assert ("broken by: prefill" in text) is required
    assert text.startswith(
        "no identity contract" if required else f"identity holds here: {contract}"
    )


def test_the_command_says_what_holds_here() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "equivcheck", "doctor", "--batch-size", "2", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["engine"] == "native:gamma=4"
