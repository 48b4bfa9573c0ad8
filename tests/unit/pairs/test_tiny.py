from __future__ import annotations

import torch

from equivcheck.core.cases import Case, Message
from equivcheck.pairs.describe import describe_pair
from equivcheck.pairs.load import load_pair
from equivcheck.pairs.prompts import encode
from equivcheck.pairs.sources import TINY_FOLDER

TEXTS = ("def f(x):\n\treturn x + 12", "Wie spät ist es? 日本語 🙂", "  \r\n\n")


def test_the_bundled_pair_fits_together_and_is_small() -> None:
    found = describe_pair("tiny")
    assert (found["aligned"], found["warnings"]) == (True, [])
    assert 4 <= found["ratio"] <= 10
    assert 2_000 <= found["tokens"] <= 4_096
    assert found["target"]["source"] == "tiny/target"
    files = [path for path in TINY_FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12 * 2**20


def test_the_bundled_pair_loads_and_chats() -> None:
    pair = load_pair("tiny", dtype=torch.float32, device="cpu")
    assert pair.draft is not None
    assert pair.warnings == ()
    assert pair.digests["draft"].startswith("tiny/draft sha256:")
    assert pair.eos_token_ids == (pair.tokenizer.eos_token_id,)
    for text in TEXTS:
        assert pair.tokenizer.decode(encode(pair.tokenizer, Case(id="t", prompt=text))) == text
    chat = encode(pair.tokenizer, Case(id="c", messages=(Message(role="user", content="Hi"),)))
    assert "Hi" in pair.tokenizer.decode(chat)
    assert max(chat) < pair.vocab_size
