from __future__ import annotations

from pathlib import Path

import pytest
import torch

from equivcheck.core.cases import Case, Message
from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.backends.stock import STOCK
from equivcheck.decoding.head_files import eagle_head, mtp_head, read_head
from equivcheck.pairs.describe import describe_pair
from equivcheck.pairs.load import load_pair
from equivcheck.pairs.prompts import encode
from equivcheck.pairs.sources import TINY_FOLDER, TINY_V2_FOLDER

TEXTS = ("def f(x):\n\treturn x + 12", "Wie spät ist es? 日本語 🙂", "  \r\n\n")


@pytest.mark.parametrize(("name", "folder"), [("tiny", TINY_FOLDER), ("tiny-v2", TINY_V2_FOLDER)])
def test_a_bundled_pair_fits_together_and_is_small(name: str, folder: Path) -> None:
    found = describe_pair(name)
    assert (found["aligned"], found["warnings"]) == (True, [])
    assert 4 <= found["ratio"] <= 10
    assert 2_000 <= found["tokens"] <= 4_096
    assert found["target"]["source"] == f"{folder.name}/target"
    models = [folder / role for role in ("target", "draft")]
    files = [path for model in models for path in model.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12 * 2**20


@pytest.mark.parametrize("name", ["tiny", "tiny-v2"])
def test_a_bundled_pair_loads_and_chats(name: str) -> None:
    pair = load_pair(name, dtype=torch.float32, device="cpu")
    assert pair.draft is not None
    assert pair.warnings == ()
    assert pair.digests["draft"].startswith(f"{name.replace('-', '_')}/draft sha256:")
    assert pair.eos_token_ids == (pair.tokenizer.eos_token_id,)
    for text in TEXTS:
        assert pair.tokenizer.decode(encode(pair.tokenizer, Case(id="t", prompt=text))) == text
    chat = encode(pair.tokenizer, Case(id="c", messages=(Message(role="user", content="Hi"),)))
    assert "Hi" in pair.tokenizer.decode(chat)
    assert max(chat) < pair.vocab_size


def test_the_second_pair_has_the_first_ones_tokenizer_and_heads_that_native_reads() -> None:
    for role in ("target", "draft"):
        one, two = (folder / role / "tokenizer.json" for folder in (TINY_FOLDER, TINY_V2_FOLDER))
        assert one.read_bytes() == two.read_bytes()
    target = adopt(load_pair("tiny-v2", dtype=torch.float32, device="cpu").target, positions=64)
    for role, made, depths in (("eagle3", eagle_head, 1), ("mtp", mtp_head, 2)):
        folder = TINY_V2_FOLDER / role
        assert len(made(read_head(folder, target, backend=STOCK)).depths) == depths
        assert (folder / "model.safetensors").stat().st_size <= 4 * 2**20
