from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from equivcheck.core.errors import PairError
from equivcheck.pairs.sources import ModelSource, known_pairs, resolve


def folder(path: Path) -> ModelSource:
    return ModelSource(kind="folder", location=str(path))


def test_known_names_resolve_to_themselves() -> None:
    assert {name: resolve(name) for name in known_pairs()} == known_pairs()
    assert set(known_pairs()) == {"tiny", "tiny-v2", "smollm2"}


def test_tiny_has_a_draft_and_smollm2_none() -> None:
    tiny, smollm2 = resolve("tiny"), resolve("smollm2")
    assert tiny.draft is not None
    assert tiny.tokenizer == tiny.target
    assert (smollm2.target.kind, smollm2.draft) == ("package", None)


def test_target_and_draft_of_every_kind(tmp_path: Path) -> None:
    quantised = tmp_path / "draft.gguf"
    quantised.touch()
    pair = resolve(f"{tmp_path}+{quantised}")
    assert pair.target == pair.tokenizer == folder(tmp_path)
    assert pair.draft == ModelSource(kind="gguf", location=str(quantised))
    hub = resolve("org/big@v1.0+org/small")
    assert hub.target == ModelSource(kind="hub", location="org/big", revision="v1.0")
    assert hub.target.label == "org/big@v1.0"
    assert hub.draft == ModelSource(kind="hub", location="org/small")


def test_a_known_target_takes_the_users_own_draft(tmp_path: Path) -> None:
    pair = resolve(f"smollm2+{tmp_path}")
    assert pair.target == known_pairs()["smollm2"].target
    assert pair.draft == folder(tmp_path)


@pytest.mark.parametrize(
    ("spec", "bits", "shape"),
    [
        ("tiny+tiny", None, None),
        ("tiny+tiny:3bit", 3, None),
        ("tiny@8b+tiny:3bit", 3, None),
        ("tiny@8b+tiny:3bit@0.15b", 3, "0.15b"),
        ("smollm2+tiny@15m", None, "15m"),
    ],
)
def test_a_known_model_drafts_rounded_and_widened(
    spec: str, bits: int | None, shape: str | None
) -> None:
    target = known_pairs()["tiny"].target
    pair = resolve(spec)
    assert pair.draft == msgspec.structs.replace(target, bits=bits, shape=shape)
    assert pair.target.bits is None


def test_a_widened_target_takes_the_users_own_draft(tmp_path: Path) -> None:
    pair = resolve(f"tiny@8b+{tmp_path}")
    assert (pair.target.shape, pair.draft) == ("8b", folder(tmp_path))


def test_a_made_model_says_so() -> None:
    pair = resolve("tiny@8b+tiny:3bit@0.15b")
    assert pair.draft is not None
    assert pair.draft.label == "tiny/target rounded to 3 bits, widened to 0.15b"


def test_paths_may_contain_a_plus(tmp_path: Path) -> None:
    target, draft = tmp_path / "c++", tmp_path / "a+b"
    target.mkdir()
    draft.mkdir()
    assert resolve(str(target)).draft is None
    pair = resolve(f"{target}+{draft}")
    assert (pair.target, pair.draft) == (folder(target), folder(draft))


def test_relative_paths_are_pinned_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("model").target == resolve("./model").target == folder(tmp_path / "model")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("smolm2", "no pair named 'smolm2' (did you mean 'smollm2'?); known: smollm2, tiny"),
        ("tinny+tiny", "no pair named 'tinny' (did you mean 'tiny'?)"),
        ("tiny@8b+tinny:3bit@1b", "no pair named 'tinny' (did you mean 'tiny'?)"),
        ("tiny@8b+tinny", "no shape or pair named 'tinny' (did you mean 'tiny'?)"),
        ("tiny@", "pair 'tiny@' lacks a shape"),
        ("tiny+tiny:3bits", "'tiny:3bits' is no way to write a model: tiny is rounded as tiny:3b"),
        ("tiny:3BIT", "widened as tiny@15m, and both as tiny:3bit@15m"),
        ("tiny+tiny:1bit", "tiny:1bit: weights are rounded to 2 to 8 bits, not 1"),
        ("tiny+tiny:3bit@9b", "no shape named '9b'"),
        ("tiny@8b+./nowhere", "./nowhere: no such folder"),
        ("./nowhere", "./nowhere: no such folder"),
        ("a/b/c", "a/b/c: no such folder"),
        ("nowhere.gguf", "nowhere.gguf: no such GGUF file"),
        ("org/name@", "no pair named 'org/name@'"),
        ("tiny+", "pair 'tiny+' lacks a side"),
        ("+tiny", "pair '+tiny' lacks a side"),
        ("", "pair '' lacks a side"),
        ("two\nlines", r"no pair named 'two\nlines'"),
    ],
)
def test_what_names_nothing_says_so(spec: str, message: str) -> None:
    with pytest.raises(PairError) as refused:
        resolve(spec)
    assert message in str(refused.value)


def test_a_file_that_is_no_gguf_points_at_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(PairError, match="name the folder that holds the model's config"):
        resolve(str(path))
