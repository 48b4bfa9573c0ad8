"""Heads that the recipe saves are those that the native decoder runs: two programs, one head."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.backends.stock import STOCK
from equivcheck.decoding.head_files import eagle_head, mtp_head, read_head
from equivcheck.decoding.heads import Head
from equivcheck.decoding.model import Passed
from tests.small_models import small_llama
from training.heads import EagleHead, MtpHead
from training.save_heads import load_eagle, load_mtp, save_eagle, save_mtp

VOCAB, TOKENS, STEPS = 120, 20, 3
TARGET = small_llama(vocab_size=VOCAB, num_hidden_layers=5, hidden_size=64)
NATIVE = adopt(TARGET, positions=64)
TEXT = torch.randint(VOCAB, (1, TOKENS + STEPS), generator=torch.Generator().manual_seed(1))


def kept(head: Head) -> list[Tensor]:
    """What the native target keeps of the text for a head, [1, TOKENS, hidden] each."""
    cache = NATIVE.new_cache(rows=1, keeps=head.keeps)
    NATIVE.forward(TEXT[:, :TOKENS], torch.zeros(1, dtype=torch.int64), cache)
    return [cache.hidden[place][:, :TOKENS] for place in head.keeps]


def entries(head: Head, depth: int, hidden: Tensor) -> Passed:
    """All entries of a depth, of the tokens that are as much further on."""
    layer = head.depths[depth]
    cache = layer.model.new_cache(rows=1)
    tokens = TEXT[:, depth + 1 : depth + 1 + TOKENS]
    return layer.forward(tokens, hidden, torch.zeros(1, dtype=torch.int64), cache)


@torch.inference_mode()
def test_an_eagle_head_drafts_alike(tmp_path: Path) -> None:
    torch.manual_seed(2)
    drafted = torch.arange(0, VOCAB, 3)
    save_eagle(EagleHead(TARGET.config, drafted=drafted), tmp_path, target=TARGET)
    trained = load_eagle(tmp_path, target=TARGET)
    head = eagle_head(read_head(tmp_path, NATIVE, backend=STOCK))
    tapped = kept(head)
    expected = trained(tapped, TARGET.get_input_embeddings()(TEXT[:, 1:]), steps=STEPS)
    (layer,) = head.depths
    cache = layer.model.new_cache(rows=1)
    passed = layer.forward(
        TEXT[:, 1 : TOKENS + 1], head.features(tapped), torch.zeros(1, dtype=torch.int64), cache
    )
    torch.testing.assert_close(head.logits(passed)[..., drafted], expected[0], atol=1e-4, rtol=0)
    for step in range(1, STEPS):
        at = torch.tensor([TOKENS - 1 + step])
        token = TEXT[:, TOKENS + step : TOKENS + step + 1]
        passed = layer.forward(token, head.passed_on(passed)[:, -1:], at, cache)
        found = head.logits(passed)[0, -1, drafted]
        torch.testing.assert_close(found, expected[step][0, -1], atol=1e-4, rtol=0)


@torch.inference_mode()
def test_an_mtp_head_drafts_alike(tmp_path: Path) -> None:
    torch.manual_seed(3)
    save_mtp(MtpHead(TARGET.config), tmp_path, target=TARGET)
    head = mtp_head(read_head(tmp_path, NATIVE, backend=STOCK))
    (last,) = kept(head)
    trained = load_mtp(tmp_path, target=TARGET)
    expected = trained(last, TARGET.get_input_embeddings()(TEXT[:, 1:]))
    hidden = head.features([last])
    for depth, read in enumerate(expected):
        hidden = head.passed_on(entries(head, depth, hidden))
        torch.testing.assert_close(hidden, read, atol=1e-4, rtol=0)
