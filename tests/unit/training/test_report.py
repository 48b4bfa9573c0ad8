"""The report on a toy corpus, and what the bundled report promises."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from training import report
from training.corpus import Corpus, Document
from training.data import SEQUENCE
from training.models import DRAFT, bundled, new_model, save
from training.packages import EXTRACTS, WORKLOADS
from training.tokenizer import train_tokenizer

BUNDLED = Path("equivcheck/pairs/tiny")
TEXT = "SELECT name FROM towns WHERE size > 12;\nGrößer, 東京. | The sea was grey.\n"
LONG = TEXT * 40


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train_tokenizer([TEXT * 20], [tmp_path_factory.mktemp("tokenizer")])


@pytest.fixture(scope="module")
def model() -> Any:
    return new_model(DRAFT, end=0, pad=1, seed=0).eval()


def count_tokens(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def know_nothing() -> Any:
    made = new_model(DRAFT, end=0, pad=1, seed=0).eval()
    for weight in made.parameters():
        weight.data.zero_()
    return made


def test_a_model_that_knows_nothing_scores_as_a_uniform_guess(tokenizer: Any, model: Any) -> None:
    flat = know_nothing()
    result = report.evaluate([Document("chat", "p", LONG)], tokenizer, flat, model)
    tokens, size = count_tokens(tokenizer, LONG), len(LONG.encode())
    assert tokens > SEQUENCE  # more than one window
    assert result.bytes == size
    assert result.uniform_bits == pytest.approx(tokens * math.log2(len(tokenizer)) / size)
    # The model's rows for ids that this small tokenizer does not use count too.
    expected = tokens * math.log2(flat.config.vocab_size) / size
    assert result.target_bits == pytest.approx(expected, rel=1e-4)
    assert result.unigram_bits < result.uniform_bits


def test_a_draft_that_is_the_target_always_agrees(tokenizer: Any, model: Any) -> None:
    documents = [Document("chat", "p", TEXT), Document("chat", "p", LONG)]
    same = report.evaluate(documents, tokenizer, model, model)
    assert same.agreement == 1.0
    assert same.target_bits == same.draft_bits
    assert report.evaluate(documents, tokenizer, model, know_nothing()).agreement < 0.5


def test_saving_rounds_to_bf16_once(model: Any, tmp_path: Path) -> None:
    save(model, tmp_path)
    loaded = bundled(tmp_path)
    for name, weight in loaded.named_parameters():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, model.get_parameter(name).to(torch.bfloat16).float()), name


def test_both_files_name_every_class_and_package(
    tokenizer: Any, model: Any, tmp_path: Path
) -> None:
    made = tuple(Document(workload, "networkx", TEXT) for workload in WORKLOADS)
    report.write(tmp_path, Corpus(made, made), tokenizer, model, model, steps=3, seconds=61.0)
    written = (tmp_path / "REPORT.md").read_text(encoding="utf-8")
    assert "61 seconds" in written
    assert f"{3 * 16 * SEQUENCE:,} tokens seen" in written
    for workload in WORKLOADS:
        assert f"| {workload} | {len(TEXT.encode()):,} | " in written
    provenance = (tmp_path / "PROVENANCE.md").read_text(encoding="utf-8")
    for extract in EXTRACTS:
        assert f"| {extract.package.name} {extract.package.version} | " in provenance
        assert extract.package.sha256[:16] in provenance
    assert f"| BSD-3-Clause | {2 * len(TEXT.encode()):,} | " in provenance


@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_bundled_pair_has_learned_each_class(workload: str) -> None:
    """On the prompts of the suites, which were written for this project and not trained on."""
    from transformers import AutoTokenizer

    learned: Any = AutoTokenizer.from_pretrained(BUNDLED / "target")
    lines = Path(f"suites/{workload}.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = [prompt_of(json.loads(line)) for line in lines]
    documents = [Document(workload, "suites", prompt) for prompt in prompts if prompt]
    assert len(documents) > 10
    target, draft = (bundled(BUNDLED / role) for role in ("target", "draft"))
    result = report.evaluate(documents, learned, target, draft)
    assert result.target_bits < result.draft_bits < 0.8 * result.uniform_bits
    assert result.agreement > 0.2


def prompt_of(case: dict[str, Any]) -> str:
    messages = case.get("messages", [])
    return str(case.get("prompt", "")) or "\n".join(message["content"] for message in messages)
