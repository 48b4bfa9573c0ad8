"""A draft that proposes nothing but a token that the target's tokenizer does not have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import load_engine
from equivcheck.pairs.load import load_pair
from tests.unit.pairs.make import make_model, make_tokenizer, vocabulary

FOREIGN = len(vocabulary())
REQUESTS = [
    Request(key=f"test/{index}", prompt_ids=tuple(range(10, 20 + index)), max_new_tokens=16)
    for index in range(3)
]


def write_pair(folder: Path, *, rows: int) -> str:
    """A target of `rows` rows, and a draft of 8 more whose head answers FOREIGN to any text."""
    target = make_model(rows=rows, initializer_range=0.2)
    draft = make_model(rows=rows + 8, tie_word_embeddings=False, seed=1)
    with torch.no_grad():
        draft.model.embed_tokens.weight.fill_(1.0)
        for layer in draft.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        draft.lm_head.weight[FOREIGN] = 1.0
    for role, model in (("target", target), ("draft", draft)):
        model.save_pretrained(folder / role)
        added = ["<foreign>"] if role == "draft" else []
        make_tokenizer(added=added).save_pretrained(folder / role)
    return f"{folder / 'target'}+{folder / 'draft'}"


def answers(engine: str, setup: EngineSetup) -> list[Generation]:
    found = load_engine(engine, setup).generate(REQUESTS)
    return [each for each in found if isinstance(each, Generation)]


@pytest.mark.parametrize("engine", ["native:gamma=3", "transformers:mode=assisted,gamma=3"])
@pytest.mark.parametrize("rows", [FOREIGN, FOREIGN + 8])
def test_foreign_drafts_change_no_output(tmp_path: Path, rows: int, engine: str) -> None:
    """Without a row in the target they are cut, with one they are judged like any other."""
    pair = write_pair(tmp_path, rows=rows)
    setup = EngineSetup(pair=pair, device="cpu", threads=1, batch_size=2, context=64)
    plain = {each.key: each.token_ids for each in answers("native:gamma=0", setup)}
    found = answers(engine, setup)
    assert len(plain) == len(REQUESTS)
    assert {each.key: each.token_ids for each in found} == plain
    assert sum(step.drafted for each in found for step in each.steps) > 0
    draft = load_pair(pair, dtype=torch.float32, device="cpu").draft
    assert draft is not None
    with torch.inference_mode():
        proposed = set(draft(torch.arange(40)[None]).logits.argmax(-1).flatten().tolist())
    assert (proposed == {FOREIGN}) == (rows > FOREIGN)
    assert max(proposed) < rows
