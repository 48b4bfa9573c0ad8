"""Load a pair: weights from safetensors or GGUF only, once a process, checked against each other.

Engines, scoring and the CLI come here for models and tokenizers. Decoding is not done here.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import msgspec
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from equivcheck.core.errors import PairError
from equivcheck.core.escape import first_line, visible
from equivcheck.pairs.alignment import check_alignment
from equivcheck.pairs.bars import without_bars
from equivcheck.pairs.entire import (
    ignored_patterns,
    left_out,
    read_model_config,
    refuse_oversized,
    refuse_partial,
    refuse_untied,
)
from equivcheck.pairs.extent import Extent, extent_of
from equivcheck.pairs.locate import locate
from equivcheck.pairs.memory import memory_warnings
from equivcheck.pairs.rounding import round_weights
from equivcheck.pairs.shapes import shape_named
from equivcheck.pairs.sources import ModelSource, PairSource, resolve
from equivcheck.pairs.stored import check_stored
from equivcheck.pairs.suitability import REPEATED, size_warnings
from equivcheck.pairs.tokenizer import end_tokens, load_tokenizer, read_tokenizer
from equivcheck.pairs.vocabulary import fit_vocabulary
from equivcheck.pairs.weights import digests, read_weights
from equivcheck.pairs.widening import widen

__all__ = ["LoadedPair", "load_model", "load_pair", "load_tokenizer"]

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
    """Role (target, draft, tokenizer) to the model it comes from and that one's sha256."""

    @property
    def extents(self) -> dict[str, Extent]:
        """Role (target, draft) to how far that model was made to read."""
        models = {"target": self.target, "draft": self.draft}
        return {role: extent_of(model.config) for role, model in models.items() if model}


def load_pair(spec: str, *, dtype: torch.dtype, device: torch.device | str) -> LoadedPair:
    """Load what ``spec`` names (`sources.resolve`) and check that it fits together.

    Models are shared between calls with the same dtype and device: do not change them.

    Raises:
        PairError: a model cannot be had or loaded, or the draft's token ids are not the target's.
    """
    return _load_pair(resolve(spec), dtype, torch.device(device))


@functools.lru_cache(maxsize=MODELS_KEPT)
def _load_pair(source: PairSource, dtype: torch.dtype, device: torch.device) -> LoadedPair:
    # This looks the models' files over first, so that what is wrong with one is named.
    notes = [*memory_warnings(source, dtype=dtype, device=device)]
    tokenizer = read_tokenizer(source.tokenizer)
    target = load_model(source.target, dtype=dtype, device=device)
    vocab_size = output_rows(target)
    notes.extend(stored_notes(source.target, target))
    draft = None
    if source.draft is not None:
        draft = load_model(source.draft, dtype=dtype, device=device)
        alignment = check_alignment(
            target_tokenizer=tokenizer,
            draft_tokenizer=read_tokenizer(source.draft),
            target_vocab=vocab_size,
            draft_vocab=output_rows(draft),
        )
        notes.extend(stored_notes(source.draft, draft))
        notes.extend(alignment.notes)
        notes.extend(size_warnings(source.target, source.draft))
        if REPEATED not in notes and same_weights(target, draft):
            notes.append(REPEATED)
        draft = fit_vocabulary(draft, rows=vocab_size)
    eos, eos_notes = end_tokens(locate(source.target), tokenizer, vocab_size=vocab_size)
    return LoadedPair(
        source=source,
        target=target,
        draft=draft,
        tokenizer=tokenizer,
        eos_token_ids=eos,
        vocab_size=vocab_size,
        warnings=(*notes, *eos_notes),
        digests=digests(source),
    )


def load_model(
    source: ModelSource, *, dtype: torch.dtype, device: torch.device | str
) -> PreTrainedModel:
    """One model in eval mode without gradients; the same object for the same arguments.

    Raises:
        PairError: it cannot be had, is no causal language model in safetensors, or its weights
            are incomplete, ambiguous, or more or less than its config describes.
    """
    return _load_model(source, dtype, torch.device(device))


@functools.lru_cache(maxsize=MODELS_KEPT)
def _load_model(source: ModelSource, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    if source.shape is not None:
        narrow = load_model(msgspec.structs.replace(source, shape=None), dtype=dtype, device=device)
        return widen(narrow, shape_named(source.shape))
    if source.bits is not None:
        exact = load_model(msgspec.structs.replace(source, bits=None), dtype=dtype, device=device)
        return round_weights(exact, bits=source.bits)
    folder = locate(source)
    label = visible(source.label)
    check_stored(folder, source)
    try:
        config = read_model_config(folder)
        refuse_oversized(config, size=read_weights(folder).size, label=label)
        with without_bars():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                # Refused below, by name.
                ignore_mismatched_sizes=True,
            )
    except PairError:
        raise
    # Over files that are not what they should be, transformers raises anything.
    except Exception as error:
        raise PairError(f"{label} cannot be loaded: {first_line(error)}") from error
    model, report = loaded
    refuse_partial(report, label=label, ignored=ignored_patterns(model))
    refuse_untied(model, label=label)
    ready: PreTrainedModel = model.requires_grad_(False).eval().to(device)
    return ready


def stored_notes(source: ModelSource, model: PreTrainedModel) -> tuple[str, ...]:
    """What has to be known of the files behind a model: how they are stored, what is left out.

    Raises:
        PairError: as `check_stored` raises it.
    """
    folder = locate(source)
    label = visible(source.label)
    return (*check_stored(folder, source), *left_out(model, folder, label=label))


def same_weights(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    """Whether two models hold equal tensors, however their files were cut or stored."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(
        torch.equal(tensor, theirs[name]) for name, tensor in ours.items()
    )


def output_rows(model: PreTrainedModel) -> int:
    """How many token ids a model can emit."""
    head: torch.nn.Linear = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return head.weight.shape[0]
