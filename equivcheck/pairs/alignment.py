"""Whether a draft's token ids mean what the target's mean: checked token by token.

Pure: reads two tokenizers and two sizes. A verifier compares ids and keeps what the target itself
would emit, so ids that only one side names as added tokens (special, reserved or user-defined), and
padded vocabulary tails, cannot change an output: they are notes. Everything else is refused.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from equivcheck.core.errors import PairError
from equivcheck.core.escape import visible

SHOWN = 5
"""Differing ids named in an error."""


class Alignment(Struct, frozen=True, kw_only=True):
    """Two vocabularies that agree."""

    compared: int
    """Ids that both tokenizers name, all with the same token."""
    target_only: int
    """Ids that only the target's tokenizer names."""
    target_padding: int
    """Embedding rows of the target beyond its tokenizer's highest id."""
    draft_padding: int
    notes: tuple[str, ...] = ()


def check_alignment(
    *, target_tokenizer: Any, draft_tokenizer: Any, target_vocab: int, draft_vocab: int
) -> Alignment:
    """Hold the draft's vocabulary against the target's.

    Args:
        target_tokenizer: a transformers tokenizer.
        draft_tokenizer: a transformers tokenizer.
        target_vocab: rows of the target's embedding; ids from here on cannot be emitted.
        draft_vocab: rows of the draft's embedding.

    Raises:
        PairError: an id stands for two different tokens, or one side has text tokens that the
            draft has no row for or the target does not name.
    """
    target, draft = by_id(target_tokenizer), by_id(draft_tokenizer)
    shared = sorted(target.keys() & draft.keys())
    refuse_different_tokens(
        [
            (token_id, target[token_id], draft[token_id])
            for token_id in shared
            if target[token_id] != draft[token_id]
        ],
        total=len(shared),
    )
    used = [token_id for token_id in target if token_id < target_vocab]
    homeless = [token_id for token_id in sorted(used) if token_id >= draft_vocab]
    if set(homeless) - added_ids(target_tokenizer):
        raise PairError(
            f"the draft's vocabulary is too small: it has {draft_vocab} embedding rows, but the "
            f"target uses {len(homeless)} ids beyond them, the first "
            f"{_named(homeless[0], target[homeless[0]])}"
        )
    foreign = sorted(draft.keys() - target.keys() - added_ids(draft_tokenizer))
    if foreign:
        raise PairError(
            f"the draft has {len(foreign)} text tokens that the target lacks, the first "
            f"{_named(foreign[0], draft[foreign[0]])}"
        )
    target_only = target.keys() - draft.keys()
    return Alignment(
        compared=len(shared),
        target_only=len(target_only),
        target_padding=max(0, target_vocab - max(target, default=-1) - 1),
        draft_padding=max(0, draft_vocab - max(draft, default=-1) - 1),
        notes=(
            *_role_notes(target_tokenizer, draft_tokenizer),
            *_size_notes(target, draft, target_vocab=target_vocab, draft_vocab=draft_vocab),
        ),
    )


def by_id(tokenizer: Any) -> dict[int, str]:
    """Every token of a tokenizer, special and added ones included, by id."""
    return {token_id: token for token, token_id in tokenizer.get_vocab().items()}


def added_ids(tokenizer: Any) -> set[int]:
    """Ids of tokens that stand beside the vocabulary of text, as the tokenizer lists them."""
    return set(tokenizer.added_tokens_decoder)


def refuse_different_tokens(different: list[tuple[int, str, str]], *, total: int) -> None:
    """Name the first differing ids.

    Raises:
        PairError: there are any.
    """
    if not different:
        return
    shown = "; ".join(
        f"id {token_id}: target '{visible(ours)}', draft '{visible(theirs)}'"
        for token_id, ours, theirs in different[:SHOWN]
    )
    more = f"; and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
    raise PairError(
        f"target and draft do not share a vocabulary: {len(different)} of {total} ids stand for "
        f"different tokens. {shown}{more}"
    )


def _role_notes(target: Any, draft: Any) -> list[str]:
    """Special tokens that play another role in the draft: the target's alone are used."""
    notes = []
    for role in ("bos_token", "eos_token"):
        ours, theirs = getattr(target, role), getattr(draft, role)
        if ours != theirs:
            notes.append(
                f"the draft's {role} is '{visible(str(theirs))}', the target's "
                f"'{visible(str(ours))}': the target's is used"
            )
    return notes


def _size_notes(
    target: dict[int, str], draft: dict[int, str], *, target_vocab: int, draft_vocab: int
) -> list[str]:
    notes = []
    if beyond := sorted(token_id for token_id in target if token_id >= target_vocab):
        notes.append(
            f"the tokenizer has {len(beyond)} ids beyond the target's {target_vocab} embedding "
            f"rows, the first {_named(beyond[0], target[beyond[0]])}: they cannot be used"
        )
    if missing := sorted(target.keys() - draft.keys()):
        notes.append(
            f"the draft's tokenizer lacks {len(missing)} tokens of the target, the first "
            f"{_named(missing[0], target[missing[0]])}: they are seldom drafted, and kept only "
            f"where the target emits them"
        )
    if extra := sorted(draft.keys() - target.keys()):
        notes.append(
            f"the draft has {len(extra)} added tokens that the target lacks, the first "
            f"{_named(extra[0], draft[extra[0]])}: their ids are cut from the draft where the "
            f"target has no row for them, and elsewhere kept only where the target emits them"
        )
    if target_vocab != draft_vocab:
        notes.append(
            f"vocabularies are padded to different sizes: {target_vocab} rows in the target, "
            f"{draft_vocab} in the draft"
        )
    return notes


def _named(token_id: int, token: str) -> str:
    return f"{token_id} '{visible(token)}'"
