"""Heads as trained: chains of drafts side by side are what each chain is by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.unit.pairs.make import make_model
from training import distil, heads, outputs
from training.acceptance import Text, acceptance, by_draft, by_eagle, by_mtp
from training.distil import taught
from training.heads import EagleHead, MtpHead
from training.save_heads import load_eagle, load_mtp, save_eagle, save_mtp

TEXT = 14
END = 0


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (heads, distil):
        monkeypatch.setattr(module, "TAPPED", (0, 1, 2))
    monkeypatch.setattr("training.acceptance.TAPPED", (0, 1, 2))
    monkeypatch.setattr(distil, "DRAFT_VOCABULARY", 40)
    monkeypatch.setattr(distil, "CONTINUED", 8)


@pytest.fixture(scope="module")
def target() -> Any:
    torch.manual_seed(0)
    return make_model(rows=264, hidden=64).eval()


def texts(rows: int = 2) -> Tensor:
    return torch.randint(1, 264, (rows, TEXT), generator=torch.Generator().manual_seed(1))


def given_eagle(target: Any) -> EagleHead:
    torch.manual_seed(5)
    return distil.new_eagle(target, [(texts(40).int(), 2)])


def chain_by_itself(head: EagleHead, given: Any, start: int, steps: int, size: int) -> list[Tensor]:
    """Logits of one chain, entry by entry, with a cache as a decoder has it."""
    layer, attention = head.midlayer, head.midlayer.self_attn
    tapped = torch.cat([given.hidden[place][:1, : start + 1] for place in (0, 1, 2)], dim=-1)
    hidden, found = head.fc(tapped), []
    keys: list[Tensor] = []
    values: list[Tensor] = []
    for step in range(steps):
        first = 0 if step == 0 else start + step
        tokens = given.texts[:1, first + 1 : start + step + 2]
        token = layer.input_layernorm(F.embedding(tokens, given.embedding))
        beside = torch.cat([token, layer.hidden_norm(hidden)], dim=-1)
        shape = (1, beside.shape[1], -1, size)
        query, key, value = (
            project(beside).view(shape).transpose(1, 2)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        angles = heads.rotated(torch.cat([query, key], dim=1), step=first)
        query, key = angles[:, : query.shape[1]], angles[:, query.shape[1] :]
        groups = query.shape[1] // key.shape[1]
        keys.append(key.repeat_interleave(groups, dim=1))
        values.append(value.repeat_interleave(groups, dim=1))
        mixed = F.scaled_dot_product_attention(
            query, torch.cat(keys, dim=2), torch.cat(values, dim=2), is_causal=step == 0
        )
        hidden = hidden + attention.o_proj(mixed.transpose(1, 2).flatten(2))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        hidden = hidden[:, -1:]
        found.append(head.lm_head(head.norm(hidden))[0, 0])
    return found


@torch.inference_mode()
def test_chains_side_by_side_are_what_each_is_by_itself(target: Any) -> None:
    head, embedding = given_eagle(target), target.lm_head.weight
    told = taught(target, texts(), end=END, exact=True)
    entries, steps = TEXT - 5, 4
    tapped = [told.hidden[place][:, :entries] for place in (0, 1, 2)]
    together = head(tapped, F.embedding(told.texts[:, 1:], embedding), steps=steps)

    class Given:
        hidden, texts, embedding = told.hidden, told.texts, target.lm_head.weight

    for start in (0, 3, entries - 1):
        alone = chain_by_itself(head, Given, start, steps, head.midlayer.self_attn.size)
        for step in range(steps):
            torch.testing.assert_close(together[step][0, start], alone[step], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_chain_sees_nothing_of_the_text_behind_it(target: Any) -> None:
    head, mtp, embedding = given_eagle(target), distil.new_mtp(target), target.lm_head.weight
    one = texts(1)
    other = one.clone()
    other[0, 9:] = 1 + (other[0, 9:] + 7) % 200
    found = []
    for text in (one, other):
        told = taught(target, text, end=END, exact=True)
        embedded = F.embedding(told.texts[:, 1:], embedding)
        tapped = [told.hidden[place][:, :9] for place in (0, 1, 2)]
        chains = head(tapped, embedded, steps=3)
        depths = mtp(told.hidden[-1][:, :9], embedded)
        found.append((chains[0][0, 7], chains[2][0, 5], depths[0][0, 7], depths[1][0, 6]))
    for before, after in zip(*found, strict=True):
        torch.testing.assert_close(before, after)


def test_heads_come_back_as_they_were_saved(target: Any, tmp_path: Path) -> None:
    head, mtp = given_eagle(target), distil.new_mtp(target)
    save_eagle(head, tmp_path / "eagle3", target=target)
    save_mtp(mtp, tmp_path / "mtp", target=target)
    read = load_eagle(tmp_path / "eagle3", target=target)
    drafted = read.d2t + torch.arange(len(read.d2t))
    assert torch.equal(read.t2d.nonzero()[:, 0], drafted)
    assert torch.equal(read.fc.weight, head.fc.weight.bfloat16().float())
    saved = load_mtp(tmp_path / "mtp", target=target).state_dict()
    for name, tensor in mtp.state_dict().items():
        assert torch.equal(saved[name], tensor.bfloat16().float()), name


@pytest.mark.parametrize("role", ["eagle3", "mtp"])
def test_an_interrupted_distillation_ends_as_an_uninterrupted_one(
    target: Any, tmp_path: Path, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distil, "CHECKPOINT_EVERY", 2)
    embedding = target.lm_head.weight.detach()

    def run(file: Path, *, stop: bool = False) -> tuple[EagleHead | MtpHead, list[str]]:
        model = given_eagle(target) if role == "eagle3" else distil.new_mtp(target)
        loss = distil.eagle_loss if role == "eagle3" else distil.mtp_loss
        lines: list[str] = []

        def report(line: str) -> None:
            lines.append(line)
            if stop:
                raise KeyboardInterrupt

        distil.distil(
            model,
            lambda told: loss(model, embedding, told),  # type: ignore[arg-type]
            target,
            [(texts(6).int(), TEXT - 8)],
            rate=2e-3,
            epochs=3,
            rows=3,
            end=END,
            file=file,
            report=report,
        )
        return model, lines

    whole, lines = run(tmp_path / "whole.safetensors")
    losses = [float(line.split("loss ")[1].split()[0]) for line in lines]
    assert losses[-1] < losses[0]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "part.safetensors", stop=True)
    resumed, _ = run(tmp_path / "part.safetensors")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@torch.inference_mode()
def test_a_draft_that_is_the_target_is_always_kept_and_another_is_not(target: Any) -> None:
    prompts = texts(3)[:, :4]
    made = outputs.continued(target, prompts, generator=torch.Generator().manual_seed(0))
    ids = target.generate(prompts[:1], max_new_tokens=30, do_sample=False, eos_token_id=None)[0]
    assert made.shape == (3, 4 + outputs.CONTINUED)
    own = [Text("code", ids, 4)]
    same = acceptance(target, own, by_draft(target), end=END)["code"]
    assert (same.share, same.if_reached) == (1.0, (1.0,) * 4)
    counts = acceptance(target, own, half_right, end=END)["code"]
    assert (counts.steps, counts.by_slot) == (9, (9, 9, 0, 0))
    assert (counts.share, counts.tokens_a_step) == (0.5, 3.0)
    assert counts.if_reached == (1.0, 1.0, 0.0, 0.0)


def half_right(given: Any) -> Tensor:
    """Of four drafts the first two."""
    return torch.tensor([[True, True, False, True]]).repeat(given.texts.shape[1], 1)


@torch.inference_mode()
def test_heads_are_looked_at_where_their_drafts_stand(target: Any) -> None:
    """A head's logits are replaced by ones that name the text's own token, or the next one."""
    ids = texts(1)[0]
    own = [Text("code", ids, 4)]
    embedding = target.lm_head.weight.detach()
    head = EagleHead(target.config, drafted=torch.arange(264))

    def naming(shift: int) -> Any:
        def forward(tapped: list[Tensor], embedded: Tensor, *, steps: int) -> list[Tensor]:
            entries = tapped[0].shape[1]
            padded = F.pad(ids, (0, steps + shift + 2))
            at = [padded[step + 2 + shift :][:entries] for step in range(steps)]
            return [F.one_hot(token, 264).float()[None] for token in at]

        return forward

    for shift, share in ((0, 1.0), (1, 0.0)):
        head.forward = naming(shift)  # type: ignore[method-assign]
        found = acceptance(target, own, by_eagle(head, embedding), end=END)["code"]
        assert found.share == share
    mtp = acceptance(target, own, by_mtp(MtpHead(target.config), embedding), end=END)["code"]
    assert len(mtp.by_slot) == heads.DEPTHS
