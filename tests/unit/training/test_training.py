"""The recipe on a toy corpus: extraction, deduplication, tokenizer, learning, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from training.corpus import Document, capped, shuffled, without_duplicates
from training.data import SEQUENCE, batch, encode
from training.extract import (
    LONGEST,
    pieces,
    read_conversations,
    read_gutenberg,
    read_html,
    read_json,
)
from training.models import DRAFT, new_model
from training.packages import EXTRACTS, WORKLOADS
from training.tokenizer import VOCABULARY, train_tokenizer
from training.train import PEAK_RATE, Learner, schedule, train

BUNDLED = Path("equivcheck/pairs/tiny")


def test_every_class_has_packages_with_a_licence_and_a_checksum() -> None:
    assert {extract.workload for extract in EXTRACTS} == set(WORKLOADS)
    for extract in EXTRACTS:
        assert extract.package.licence
        assert len(extract.package.sha256) == 64


@given(st.text(max_size=200), st.integers(1, 400))
@settings(max_examples=40)
def test_pieces_are_short_and_lose_nothing_but_line_ends(text: str, repeat: int) -> None:
    text = text.replace("\x00", "") * repeat
    cut = list(pieces(text))
    assert all(0 < len(piece) <= LONGEST for piece in cut)
    assert "".join(cut).replace("\n", "") == text.strip().replace("\n", "")


def test_html_loses_tags_scripts_and_navigation(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<head><title>x</title></head><body><a>Next</a><script>var secret = 1;</script>"
        "<p>A paragraph that is   long enough &amp; kept.</p></body>"
    )
    assert list(read_html(page)) == ["A paragraph that is long enough & kept."]


def test_books_lose_the_licence_around_them(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text(
        "Licence\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\nTo be, or not.\n"
        "*** END OF THIS PROJECT GUTENBERG EBOOK X ***\nLicence"
    )
    assert list(read_gutenberg(book)) == ["To be, or not."]


def test_conversations_take_turns(tmp_path: Path) -> None:
    talk = tmp_path / "talk.yml"
    talk.write_text("conversations:\n- - Hello?\n  - Hi.\n")
    assert list(read_conversations(talk)) == ["<|user|>\nHello?\n<|assistant|>\nHi.\n"]


def test_json_is_indented_and_readable(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"name":"\\u00e9"}')
    assert list(read_json(file)) == ['{\n  "name": "é"\n}']


def documents(*texts: str) -> list[Document]:
    return [Document("code", "p", text) for text in texts]


def test_repeated_documents_are_dropped_and_order_does_not_depend_on_input_order() -> None:
    long = "\n".join(f"line {index}" for index in range(40))
    other = "\n".join(f"row {index}" for index in range(40))
    kept = list(without_duplicates(documents(long, other, long, long + "\nline 40")))
    assert [document.text for document in kept] == [long, other]
    assert shuffled(documents(long, other)) == shuffled(documents(other, long))


def test_a_class_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.corpus.BYTES_PER_CLASS", 10)
    assert len(list(capped(documents("aaaa", "bbbb", "cccc")))) == 2


TEXT = "def add(left, right):\n    return left + right\n\nThe sea was grey. Größe, 東京.\n"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train_tokenizer([TEXT * 20], [tmp_path_factory.mktemp("tokenizer")])


@given(st.text())
@settings(max_examples=60, deadline=None)
def test_any_text_round_trips(text: str) -> None:
    from transformers import AutoTokenizer

    bundled: Any = AutoTokenizer.from_pretrained(BUNDLED / "target")
    ids = bundled(text, add_special_tokens=False, verbose=False)["input_ids"]
    decoded = bundled.decode(ids, clean_up_tokenization_spaces=False)
    assert decoded == text.encode("utf-8", "replace").decode()


def streams(tokenizer: Any) -> dict[str, torch.Tensor]:
    return encode([Document("code", "p", TEXT * 30), Document("chat", "p", TEXT * 30)], tokenizer)


def learners() -> tuple[Learner, Learner]:
    made = [new_model(DRAFT, end=0, pad=1, seed=seed) for seed in (0, 1)]
    return Learner(made[0], peak=PEAK_RATE["target"]), Learner(made[1], peak=PEAK_RATE["draft"])


def test_windows_come_from_every_class_and_depend_on_the_seed_alone(tokenizer: Any) -> None:
    made = streams(tokenizer)
    windows = batch(made, size=4, seed=3)
    assert windows.shape == (4, SEQUENCE + 1)
    assert torch.equal(windows, batch(made, size=4, seed=3))
    assert not torch.equal(windows, batch(made, size=4, seed=4))


def test_training_lowers_the_loss_and_resuming_changes_nothing(
    tokenizer: Any, tmp_path: Path
) -> None:
    """Ten steps, against five steps, a stop, and five more."""
    made = streams(tokenizer)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        lines: list[str] = []
        whole = tmp_path / "whole"
        train(*learners(), made, steps=10, size=2, checkpoints=whole, report=lines.append)
        halves = tmp_path / "halves"
        for steps in (5, 10):
            train(*learners(), made, steps=steps, size=2, checkpoints=halves, report=lines.append)
    finally:
        torch.set_num_threads(threads)
    assert len(lines) == 3
    losses = [float(line.split("target ")[1].split()[0]) for line in lines]
    # A uniform guess costs log(3072) = 8.03 nats.
    assert losses[0] < 7.5
    first, second = (load_file(folder / "last.safetensors") for folder in (whole, halves))
    assert float(first["progress"][0]) == float(second["progress"][0]) == 10
    assert first.keys() == second.keys()
    for name in first.keys() - {"progress"}:
        assert torch.equal(first[name], second[name]), name


def test_two_runs_give_the_same_bits(tokenizer: Any, tmp_path: Path) -> None:
    made = streams(tokenizer)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name in ("a", "b"):
            folder = tmp_path / name
            train(*learners(), made, steps=3, size=2, checkpoints=folder, report=lambda line: None)
    finally:
        torch.set_num_threads(threads)
    first, second = (load_file(tmp_path / name / "last.safetensors") for name in ("a", "b"))
    for name in first.keys() - {"progress"}:
        assert torch.equal(first[name], second[name]), name


def test_the_rate_rises_then_falls_to_its_floor() -> None:
    shares = [schedule(step, steps=1350) for step in range(1350)]
    assert shares[0] < shares[30] < shares[99] == 1.0
    assert shares[100:] == sorted(shares[100:], reverse=True)
    assert shares[-1] == 0.05


def test_the_number_of_steps_only_matters_in_the_cool_down() -> None:
    for step in range(550):
        assert schedule(step, steps=1350) == schedule(step, steps=2000)


def test_the_bundled_pair_is_small_and_of_the_right_ratio() -> None:
    size = sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file())
    assert size <= 12_000_000
    counts = {
        role: sum(t.numel() for t in load_file(BUNDLED / role / "model.safetensors").values())
        for role in ("target", "draft")
    }
    assert 4 <= counts["target"] / counts["draft"] <= 10


@pytest.mark.parametrize("role", ["target", "draft"])
def test_the_bundled_tokenizers_are_the_same(role: str) -> None:
    from transformers import AutoTokenizer

    bundled: Any = AutoTokenizer.from_pretrained(BUNDLED / role)
    assert len(bundled) == VOCABULARY
    chat = bundled.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat == "<|user|>\nHi\n<|assistant|>\n"
    assert bundled.eos_token == "<|end|>"
