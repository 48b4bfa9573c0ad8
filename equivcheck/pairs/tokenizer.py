"""Load a pair's tokenizer, and say which ids end a text. Needs no weights and no torch."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from equivcheck.core.errors import PairError
from equivcheck.core.escape import first_line, visible
from equivcheck.pairs.locate import configured_ends, locate_tokenizer
from equivcheck.pairs.sources import ModelSource, resolve
from equivcheck.pairs.token_ids import check_token_ids

TOKENIZERS_KEPT = 6


def load_tokenizer(spec: str) -> Any:
    """The tokenizer of a pair, without any weights.

    Raises:
        PairError: it cannot be had or read.
    """
    return read_tokenizer(resolve(spec).tokenizer)


@functools.lru_cache(maxsize=TOKENIZERS_KEPT)
def read_tokenizer(source: ModelSource) -> Any:
    """The tokenizer of one model; the same object for the same source.

    Raises:
        PairError: it cannot be had or read.
    """
    from transformers import AutoTokenizer

    folder = locate_tokenizer(source)
    check_token_ids(folder)
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    # Over files that are not what they should be, transformers and tokenizers raise anything.
    except Exception as error:
        raise PairError(
            f"{visible(source.label)}: its tokenizer cannot be read: {first_line(error)}"
        ) from error


def end_tokens(
    folder: Path, tokenizer: Any, *, vocab_size: int
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The ids that end a text, ascending, and what is odd about them.

    Raises:
        PairError: one of them is outside the vocabulary, or no id.
    """
    configured = configured_ends(folder)
    own = {tokenizer.eos_token_id} - {None}
    ids = tuple(sorted(configured | own))
    for token in ids:
        if not 0 <= token < vocab_size:
            raise PairError(f"end-of-text id {token} is outside the vocabulary of {vocab_size}")
    notes = []
    if configured and own and configured.isdisjoint(own):
        notes.append(
            f"the model's config ends a text with {_named(tokenizer, configured)}, its tokenizer "
            f"with {_named(tokenizer, own)}: both are taken as end of text"
        )
    if not configured | own:
        notes.append("neither config nor tokenizer names an end of text: only lengths end one")
    return ids, tuple(notes)


def _named(tokenizer: Any, ids: set[int]) -> str:
    return ", ".join(
        f"{token} '{visible(str(tokenizer.convert_ids_to_tokens(token)))}'" for token in sorted(ids)
    )
