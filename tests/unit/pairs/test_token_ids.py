"""Token ids for which a library would make room until memory ends, and abort."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equivcheck.core.errors import PairError
from equivcheck.pairs.load import load_tokenizer
from equivcheck.pairs.token_ids import HARMLESS, check_token_ids
from tests.unit.pairs.make import make_tokenizer, write_model

FAR = 2**31


def in_vocabulary(found: dict[str, Any]) -> None:
    found["model"]["vocab"]["far"] = FAR


def in_added(found: dict[str, Any]) -> None:
    found["added_tokens"].append({**found["added_tokens"][0], "id": FAR, "content": "far"})


def in_settings(found: dict[str, Any]) -> None:
    found["added_tokens_decoder"] = {str(FAR): {"content": "far", "special": True}}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tokenizer.json", in_vocabulary),
        ("tokenizer.json", in_added),
        ("tokenizer_config.json", in_settings),
    ],
)
def test_an_id_beyond_any_vocabulary_is_refused(
    tmp_path: Path, name: str, change: Callable[[dict[str, Any]], None]
) -> None:
    path = write_model(tmp_path / "m") / name
    found = json.loads(path.read_bytes())
    change(found)
    path.write_text(json.dumps(found))
    with pytest.raises(PairError) as refused:
        load_tokenizer(str(tmp_path / "m"))
    assert str(refused.value) == (
        f"{path}: token 'far' has the id {FAR}, beyond any vocabulary that a file of "
        f"{path.stat().st_size} bytes can hold"
    )


@pytest.mark.parametrize("name", ["vocab.json", "added_tokens.json"])
def test_tables_of_tokens_are_looked_through(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps({"a": HARMLESS - 1}))
    check_token_ids(tmp_path)
    (tmp_path / name).write_text(json.dumps({"a": HARMLESS}))
    with pytest.raises(PairError, match=f"{name}: token 'a' has the id {HARMLESS}, beyond"):
        check_token_ids(tmp_path)


def test_a_large_file_may_have_large_ids(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(json.dumps({"a" * HARMLESS: HARMLESS}))
    check_token_ids(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "{bad",
        "[1]",
        "{}",
        '{"model": 1, "added_tokens": 1}',
        '{"model": {"vocab": [["a", -1.0]]}, "added_tokens": [1, {}]}',
        '{"added_tokens_decoder": {"a": 1}}',
        '{"added_tokens_decoder": [1]}',
    ],
)
def test_what_is_no_table_of_tokens_is_left_to_the_library(tmp_path: Path, text: str) -> None:
    for name in ("tokenizer.json", "vocab.json", "tokenizer_config.json"):
        (tmp_path / name).write_text(text)
    check_token_ids(tmp_path)


def test_a_number_of_many_digits_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"added_tokens_decoder": {"9" * 5_000: "far"}})
    )
    with pytest.raises(PairError, match=r"token 'far' has the id 9{20}, beyond"):
        check_token_ids(tmp_path)


def test_a_sound_tokenizer_passes(tmp_path: Path) -> None:
    make_tokenizer(added=["<a>"]).save_pretrained(tmp_path)
    check_token_ids(tmp_path)
