"""Load a pair: weights from safetensors or GGUF only, once a process, checked against each other.

Engines, scoring and the CLI come here for models and tokenizers. Decoding is not done here.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from equivcheck.errors import PairError
from equivcheck.escape import visible
from equivcheck.pairs.alignment import check_alignment
from equivcheck.pairs.locate import locate, locate_tokenizer
from equivcheck.pairs.sources import ModelSource, PairSource, resolve
from equivcheck.pairs.suitability import pair_warnings
from equivcheck.pairs.vocabulary import fit_vocabulary
from equivcheck.pairs.weights import digest

MODELS_KEPT = 6
"""A target and draft in the run's dtype and in both precisions of arbitration."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedPair:
    """Models on their device, in eval mode, without gradients, and what they share."""

    source: PairSource
    target: PreTrainedModel
    draft: PreTrainedModel | None
    tokenizer: Any
    """A transformers tokenizer."""
    eos_token_ids: tuple[int, ...]
    """Ascending: those of the target's generation config and that of the tokenizer."""
    vocab_size: int
    """Rows of the target's output embedding: one more than the highest id it can emit."""
    warnings: tuple[str, ...]
    digests: dict[str, str]
    """Role (target, draft, tokenizer) to what was loaded and its sha256."""


def load_pair(spec: str, *, dtype: torch.dtype, device: torch.device | str) -> LoadedPair:
    """Load what ``spec`` names (`sources.resolve`) and check that it fits together.

    Models are shared between calls with the same dtype and device: do not change them.

    Raises:
        PairError: a model cannot be had or loaded, or the draft's token ids are not the target's.
    """
    return _load_pair(resolve(spec), dtype, torch.device(device))


@functools.lru_cache(maxsize=MODELS_KEPT)
def _load_pair(source: PairSource, dtype: torch.dtype, device: torch.device) -> LoadedPair:
    tokenizer = _load_tokenizer(source.tokenizer)
    notes = [*pair_warnings(source, dtype=dtype, device=device)]
    target = load_model(source.target, dtype=dtype, device=device)
    vocab_size = output_rows(target)
    draft = None
    if source.draft is not None:
        draft = load_model(source.draft, dtype=dtype, device=device)
        alignment = check_alignment(
            tokenizer,
            _load_tokenizer(source.draft),
            target_vocab=vocab_size,
            draft_vocab=output_rows(draft),
        )
        notes.extend(alignment.notes)
        draft = fit_vocabulary(draft, rows=vocab_size)
    eos, eos_notes = end_tokens(locate(source.target), tokenizer, vocab_size=vocab_size)
    digests = {"target": digest(source.target), "tokenizer": source.tokenizer.label}
    if source.draft is not None:
        digests["draft"] = digest(source.draft)
    return LoadedPair(
        source=source,
        target=target,
        draft=draft,
        tokenizer=tokenizer,
        eos_token_ids=eos,
        vocab_size=vocab_size,
        warnings=(*notes, *eos_notes),
        digests=digests,
    )


def load_tokenizer(spec: str) -> Any:
    """The tokenizer of a pair, without any weights.

    Raises:
        PairError: it cannot be had or read.
    """
    return _load_tokenizer(resolve(spec).tokenizer)


@functools.lru_cache(maxsize=MODELS_KEPT)
def _load_tokenizer(source: ModelSource) -> Any:
    folder = locate_tokenizer(source)
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise PairError(
            f"{visible(source.label)}: its tokenizer cannot be read: {_first_line(error)}"
        ) from error


def load_model(
    source: ModelSource, *, dtype: torch.dtype, device: torch.device | str
) -> PreTrainedModel:
    """One model in eval mode without gradients; the same object for the same arguments.

    Raises:
        PairError: it cannot be had, is no causal language model in safetensors, or its weights
            are incomplete.
    """
    return _load_model(source, dtype, torch.device(device))


@functools.lru_cache(maxsize=MODELS_KEPT)
def _load_model(source: ModelSource, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    folder = locate(source)
    label = visible(source.label)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise PairError(f"{label} cannot be loaded: {_first_line(error)}") from error
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise PairError(
            f"{label}: its weights lack {len(missing)} tensors, the first {visible(missing[0])}; "
            f"they would have been made up at random"
        )
    ready: PreTrainedModel = model.requires_grad_(False).eval().to(device)
    return ready


def output_rows(model: PreTrainedModel) -> int:
    """How many token ids a model can emit."""
    head: torch.nn.Linear = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return head.weight.shape[0]


def end_tokens(
    folder: Path, tokenizer: Any, *, vocab_size: int
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The ids that end a text, ascending, and what is odd about them.

    Raises:
        PairError: one of them is outside the vocabulary.
    """
    configured = _configured_end_tokens(folder)
    own = {tokenizer.eos_token_id} - {None}
    notes = []
    if configured and own and configured.isdisjoint(own):
        notes.append(
            f"the model's config ends a text with {_named(tokenizer, configured)}, its tokenizer "
            f"with {_named(tokenizer, own)}: both are taken as end of text"
        )
    if not configured | own:
        notes.append("neither config nor tokenizer names an end of text: only lengths end one")
    ids = tuple(sorted(configured | own))
    for token in ids:
        if not 0 <= token < vocab_size:
            raise PairError(f"end-of-text id {token} is outside the vocabulary of {vocab_size}")
    return ids, tuple(notes)


def _configured_end_tokens(folder: Path) -> set[int]:
    """From generation_config.json, or else from config.json, as far as it says so itself."""
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        if path.is_file():
            value = json.loads(path.read_bytes()).get("eos_token_id")
            if value is not None:
                return set(value) if isinstance(value, list) else {value}
    return set()


def _named(tokenizer: Any, ids: set[int]) -> str:
    return ", ".join(
        f"{token} {visible(str(tokenizer.convert_ids_to_tokens(token)))!r}" for token in sorted(ids)
    )


def _first_line(error: BaseException) -> str:
    return visible(next((line for line in str(error).splitlines() if line.strip()), repr(error)))
