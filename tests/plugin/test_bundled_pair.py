"""The real thing: pytest over a suite with the project's own decoder on the bundled pair."""

from __future__ import annotations

import json

import pytest

from tests.plugin.conftest import Project

SETTINGS = "[setup]\nbatch_size = 2\ncontext = 256\n"
PROMPTS = {
    "loop": "for i in range(10):\n    print(",
    "json": '{"name": "Anna", "age": 31, "city": ',
    "tale": "Once upon a time there was a ",
    "sampled": "The moon rose over ",
}


@pytest.fixture
def real(project: Project) -> Project:
    lines: list[dict[str, object]] = [{"equivcheck": 1, "workload": "mixed"}]
    for name, prompt in PROMPTS.items():
        case = {"id": name, "prompt": prompt, "max_new_tokens": 24, "ignore_eos": True}
        lines.append(case | ({"sampling": {"temperature": 1.0}} if name == "sampled" else {}))
    project.write("suites/code.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    project.settings(SETTINGS)
    return project


def test_the_native_decoder_passes_every_gate(real: Project) -> None:
    result = real.pytest("suites")
    assert result.ret == 0
    result.assert_outcomes(passed=len(PROMPTS) + 9)
    result.stdout.fnmatch_lines(
        ["EQUIVALENT — speculative matched target token for token on 4 of 4 prompts (96 tokens)"]
    )


def test_a_broken_decoder_fails_on_the_prompt_and_at_the_gate(real: Project) -> None:
    result = real.pytest("suites", "--equivcheck-candidate=native:gamma=4,fault=row-off-by-one")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "candidate diverged from target at output token * of 24: * became *",
            "*repeat: equivcheck replay reports/latest mixed/*",
            "suites/code.jsonl:*",
            "NOT EQUIVALENT — speculative diverged from target on * of 4 prompts",
            "FAILED suites/code.jsonl::greedy - *",
        ]
    )
