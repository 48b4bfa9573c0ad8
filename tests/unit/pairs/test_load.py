from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from equivcheck.core.errors import PairError
from equivcheck.pairs.load import load_model, load_pair, load_tokenizer
from equivcheck.pairs.sources import resolve
from equivcheck.pairs.suitability import REPEATED
from equivcheck.pairs.vocabulary import fit_vocabulary
from equivcheck.pairs.weights import weights_sha256
from tests.unit.pairs.make import make_model, make_tokenizer, write_model

CPU = torch.device("cpu")


def pair_of(folder: Path, *, draft_rows: int = 264, draft_hidden: int = 16) -> str:
    write_model(folder / "target", hidden=48)
    write_model(folder / "draft", rows=draft_rows, hidden=draft_hidden, seed=1)
    return f"{folder / 'target'}+{folder / 'draft'}"


def test_a_pair_is_loaded_ready_to_run(tmp_path: Path) -> None:
    pair = load_pair(pair_of(tmp_path), dtype=torch.bfloat16, device="cpu")
    assert pair.draft is not None
    for model in (pair.target, pair.draft):
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert (pair.eos_token_ids, pair.vocab_size) == ((0,), 264)
    assert pair.tokenizer.decode(pair.tokenizer("hello")["input_ids"]) == "hello"


def test_weights_are_those_on_disk(tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    pair = load_pair(str(tmp_path / "m"), dtype=torch.float32, device="cpu")
    stored = load_file(tmp_path / "m" / "model.safetensors")
    loaded = pair.target.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in stored.items())
    assert pair.draft is None


def test_the_manifest_names_each_role_with_its_digest(tmp_path: Path) -> None:
    pair = load_pair(pair_of(tmp_path), dtype=torch.float32, device="cpu")
    assert pair.digests == {
        role: f"{tmp_path / place} sha256:{weights_sha256(tmp_path / place)}"
        for role, place in (("target", "target"), ("tokenizer", "target"), ("draft", "draft"))
    }


def test_two_arms_share_weights(tmp_path: Path) -> None:
    spec = pair_of(tmp_path)
    first = load_pair(spec, dtype=torch.float32, device="cpu")
    again = load_pair(spec, dtype=torch.float32, device=CPU)
    other = load_pair(spec, dtype=torch.bfloat16, device="cpu")
    assert first.target is again.target
    assert first.target is load_model(resolve(spec).target, dtype=torch.float32, device="cpu")
    assert first.target is not other.target


def test_a_tokenizer_needs_no_weights(tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    assert load_tokenizer(str(tmp_path / "m")).eos_token_id == 0


def test_a_misaligned_draft_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "target", rows=272, tokenizer=make_tokenizer(added=["<a>", "<b>"]))
    write_model(tmp_path / "draft", rows=272, tokenizer=make_tokenizer(added=["<b>", "<a>"]))
    with pytest.raises(PairError, match="id 264: target '<a>', draft '<b>'; id 265"):
        load_pair(f"{tmp_path / 'target'}+{tmp_path / 'draft'}", dtype=torch.float32, device="cpu")


def test_a_draft_without_tokenizer_is_refused(tmp_path: Path) -> None:
    spec = pair_of(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "draft" / name).unlink()
    with pytest.raises(PairError, match=r"draft has no tokenizer .*cannot be checked"):
        load_pair(spec, dtype=torch.float32, device="cpu")


def test_a_draft_padded_to_another_size_is_fitted(tmp_path: Path) -> None:
    pair = load_pair(pair_of(tmp_path, draft_rows=320), dtype=torch.float32, device="cpu")
    assert pair.draft is not None
    ids = torch.arange(12)[None]
    whole = load_model(pair.source.draft, dtype=torch.float32, device="cpu")  # type: ignore[arg-type]
    with torch.inference_mode():
        cut, full = pair.draft(ids).logits, whole(ids).logits
    assert (cut.shape[-1], full.shape[-1]) == (264, 320)
    assert torch.equal(cut, full[..., :264])
    assert any("padded to different sizes" in warning for warning in pair.warnings)


def test_a_fitted_draft_never_prefers_a_row_it_was_padded_with() -> None:
    draft = make_model(rows=264, hidden=16).eval()
    fitted = fit_vocabulary(draft, rows=300)
    ids = torch.arange(40)[None]
    with torch.inference_mode():
        before, after = draft(ids).logits, fitted(ids).logits
    assert after.shape[-1] == 300
    assert torch.equal(before, after[..., :264])
    assert torch.equal(before.argmax(-1), after.argmax(-1))


def test_a_draft_that_repeats_the_target_is_noticed(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    pair = load_pair(f"{folder}+{folder}", dtype=torch.float32, device="cpu")
    assert pair.warnings == (REPEATED,)


def test_a_repeated_target_is_noticed_in_other_files(tmp_path: Path) -> None:
    target, copy = write_model(tmp_path / "target"), write_model(tmp_path / "copy")
    tensors = load_file(copy / "model.safetensors")
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt", "written": "again"})
    pair = load_pair(f"{target}+{copy}", dtype=torch.float32, device="cpu")
    assert weights_sha256(target) != weights_sha256(copy)
    assert REPEATED in pair.warnings


def test_incomplete_weights_are_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m") / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"], tensors["model.norm.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(
        PairError, match=r"lack 2 tensors, the first model\.layers\.1\.mlp\.up_proj"
    ):
        load_pair(str(tmp_path / "m"), dtype=torch.float32, device="cpu")


def test_cut_off_weights_are_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(PairError, match=r"m/model\.safetensors: no readable .*: incomplete: "):
        load_pair(str(tmp_path / "m"), dtype=torch.float32, device="cpu")


def test_a_torn_tokenizer_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m") / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(PairError, match="its tokenizer cannot be read: "):
        load_tokenizer(str(tmp_path / "m"))


@pytest.mark.parametrize(("configured", "ends"), [([2, 7], (0, 2, 7)), (0, (0,)), (None, (0,))])
def test_ends_of_text_are_gathered(
    tmp_path: Path, configured: object, ends: tuple[int, ...]
) -> None:
    write_model(tmp_path / "m")
    config = tmp_path / "m" / "generation_config.json"
    config.write_text(json.dumps({"eos_token_id": configured}))
    assert load_pair(str(tmp_path / "m"), dtype=torch.float32, device=CPU).eos_token_ids == ends


def test_disagreeing_ends_of_text_are_noted(tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    (tmp_path / "m" / "generation_config.json").write_text('{"eos_token_id": 1}')
    pair = load_pair(str(tmp_path / "m"), dtype=torch.float32, device="cpu")
    assert pair.eos_token_ids == (0, 1)
    assert pair.warnings == (
        "the model's config ends a text with 1 '<|start|>', its tokenizer with 0 '<|end|>': both "
        "are taken as end of text",
    )


def test_an_end_of_text_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    (tmp_path / "m" / "generation_config.json").write_text('{"eos_token_id": 264}')
    with pytest.raises(PairError, match="end-of-text id 264 is outside the vocabulary of 264"):
        load_pair(str(tmp_path / "m"), dtype=torch.float32, device="cpu")
