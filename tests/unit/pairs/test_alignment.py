from __future__ import annotations

from typing import Any

import pytest

from equivcheck.core.errors import PairError
from equivcheck.pairs.alignment import Alignment, check_alignment
from tests.unit.pairs.make import END, START, make_tokenizer, vocabulary

SIZE = len(vocabulary())


def align(target: Any, draft: Any, *, target_vocab: int, draft_vocab: int) -> Alignment:
    return check_alignment(
        target_tokenizer=target,
        draft_tokenizer=draft,
        target_vocab=target_vocab,
        draft_vocab=draft_vocab,
    )


def test_the_same_vocabulary_aligns_silently() -> None:
    found = align(make_tokenizer(), make_tokenizer(), target_vocab=264, draft_vocab=264)
    assert (found.compared, found.target_only, found.notes) == (SIZE, 0, ())
    assert found.target_padding == found.draft_padding == 264 - SIZE


def test_padded_tails_are_reported_not_refused() -> None:
    found = align(make_tokenizer(), make_tokenizer(), target_vocab=320, draft_vocab=272)
    assert (found.target_padding, found.draft_padding) == (320 - SIZE, 272 - SIZE)
    assert found.notes == (
        "vocabularies are padded to different sizes: 320 rows in the target, 272 in the draft",
    )


def test_swapped_tokens_are_named_first_ids_first() -> None:
    tokens = vocabulary()
    tokens[5], tokens[40] = tokens[40], tokens[5]
    with pytest.raises(PairError) as refused:
        align(make_tokenizer(), make_tokenizer(tokens), target_vocab=SIZE, draft_vocab=SIZE)
    ours = vocabulary()
    assert str(refused.value) == (
        f"target and draft do not share a vocabulary: 2 of {SIZE} ids stand for different tokens. "
        f"id 5: target {ours[5]!r}, draft {ours[40]!r}; id 40: target {ours[40]!r}, "
        f"draft {ours[5]!r}"
    )


def test_many_differences_are_counted_and_hostile_tokens_escaped() -> None:
    tokens = vocabulary()
    tokens[10:20] = [f"\x1b[3{index}m" for index in range(10)]
    with pytest.raises(PairError) as refused:
        align(make_tokenizer(), make_tokenizer(tokens), target_vocab=SIZE, draft_vocab=SIZE)
    message = str(refused.value)
    assert "10 of" in message
    assert message.endswith("; and 5 more")
    assert "\x1b" not in message
    assert r"draft '\x1b[30m'" in message


def test_an_added_token_in_another_place_is_refused() -> None:
    ours, theirs = make_tokenizer(added=["<a>", "<b>"]), make_tokenizer(added=["<b>", "<a>"])
    with pytest.raises(PairError, match=f"id {SIZE}: target '<a>', draft '<b>'"):
        align(ours, theirs, target_vocab=300, draft_vocab=300)


def test_swapped_special_tokens_are_refused() -> None:
    tokens = [START, END, *vocabulary()[2:]]
    with pytest.raises(PairError, match=r"id 0: target '<\|end\|>', draft '<\|start\|>'"):
        align(make_tokenizer(), make_tokenizer(tokens), target_vocab=SIZE, draft_vocab=SIZE)


def test_a_draft_without_rows_for_used_ids_is_refused() -> None:
    with pytest.raises(
        PairError, match=f"has 260 embedding rows, but the target uses {SIZE - 260}"
    ):
        align(make_tokenizer(), make_tokenizer(), target_vocab=SIZE, draft_vocab=260)


def test_a_draft_that_lacks_an_added_token_is_noted() -> None:
    found = align(
        make_tokenizer(added=["<tool>"]), make_tokenizer(), target_vocab=272, draft_vocab=272
    )
    assert (found.compared, found.target_only) == (SIZE, 1)
    assert f"lacks 1 tokens of the target, the first {SIZE} '<tool>'" in found.notes[0]


@pytest.mark.parametrize("rows", [SIZE, 272])
def test_a_draft_with_more_added_tokens_is_noted(rows: int) -> None:
    found = align(
        make_tokenizer(), make_tokenizer(added=["<x>", "<y>"]), target_vocab=rows, draft_vocab=272
    )
    assert (found.compared, found.target_only) == (SIZE, 0)
    assert found.notes[0] == (
        f"the draft has 2 added tokens that the target lacks, the first {SIZE} '<x>': their ids "
        f"are cut from the draft where the target has no row for them, and elsewhere kept only "
        f"where the target emits them"
    )


def test_a_draft_that_knows_more_text_than_the_target_is_refused() -> None:
    with pytest.raises(PairError) as refused:
        align(
            make_tokenizer(),
            make_tokenizer([*vocabulary(), "more"]),
            target_vocab=272,
            draft_vocab=272,
        )
    assert str(refused.value) == (
        f"the draft has 1 text tokens that the target lacks, the first {SIZE} 'more'"
    )


def test_an_added_token_without_a_row_in_the_draft_is_noted() -> None:
    found = align(
        make_tokenizer(added=["<tool>"]), make_tokenizer(), target_vocab=272, draft_vocab=SIZE
    )
    assert f"lacks 1 tokens of the target, the first {SIZE} '<tool>'" in found.notes[0]


def test_tokens_beyond_the_targets_rows_are_noted() -> None:
    tokenizer = make_tokenizer(added=["<image>"])
    found = align(tokenizer, tokenizer, target_vocab=SIZE, draft_vocab=SIZE)
    assert f"1 ids beyond the target's {SIZE} embedding rows" in found.notes[0]


def test_another_end_of_text_is_noted() -> None:
    found = align(make_tokenizer(), make_tokenizer(eos=START), target_vocab=SIZE, draft_vocab=SIZE)
    assert found.notes == (
        "the draft's eos_token is '<|start|>', the target's '<|end|>': the target's is used",
    )
