"""What an engine that loads weights by itself needs of a pair: folders, sizes, ends of text.

No weights are loaded; `load.py` does that.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from equivcheck.core.errors import PairError
from equivcheck.core.escape import visible
from equivcheck.pairs.locate import locate, read_config, vocabulary_of
from equivcheck.pairs.sources import ModelSource, resolve
from equivcheck.pairs.stored import check_stored
from equivcheck.pairs.tokenizer import end_tokens, read_tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairFiles:
    """A pair on disk."""

    target: Path
    """Folder of config, safetensors and tokenizer."""
    draft: Path | None
    """Likewise; None where the pair names no draft model."""
    tokenizer: Any
    """A transformers tokenizer: the target's."""
    eos_token_ids: tuple[int, ...]
    """Ascending: those of the target's generation config and that of the tokenizer."""
    vocab_size: int
    """Rows of the target's output embedding, by its config."""


def locate_pair(spec: str, *, weights: bool = True) -> PairFiles:
    """Find what ``spec`` names (`sources.resolve`), fetching or converting it where need be.

    Args:
        spec: of the pair.
        weights: whether its weights have to be there; without them, config and tokenizer do.

    Raises:
        PairError: it cannot be had, or one of its models has no files since it is made in memory
            (widened to a shape, or rounded to a number of bits), or its files and config do not
            go together.
    """
    source = resolve(spec)
    target = _folder(source.target, weights=weights)
    vocab_size = vocabulary_of(read_config(target, source.target), target)
    tokenizer = read_tokenizer(source.tokenizer)
    ends, _ = end_tokens(target, tokenizer, vocab_size=vocab_size)
    return PairFiles(
        target=target,
        draft=None if source.draft is None else _folder(source.draft, weights=weights),
        tokenizer=tokenizer,
        eos_token_ids=ends,
        vocab_size=vocab_size,
    )


def _folder(source: ModelSource, *, weights: bool) -> Path:
    if source.shape is not None or source.bits is not None:
        raise PairError(f"{visible(source.label)}: made in memory, so there is no folder of it")
    folder = locate(source, weights=weights)
    if weights:
        check_stored(folder, source)
    return folder
