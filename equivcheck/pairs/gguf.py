"""Turn a GGUF file into a folder of float32 safetensors with its tokenizer, once.

The folder lies in the cache under the file's sha256. Weights are what the quantised file says:
dequantised exactly, rounded by no further step.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import sys
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader, LlamaFileType
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from equivcheck.core.cache import cache_folder, file_sha256, made_once
from equivcheck.core.errors import PairError
from equivcheck.core.escape import visible
from equivcheck.pairs.bars import without_bars
from equivcheck.pairs.entire import refuse_oversized, refuse_partial
from equivcheck.pairs.gguf_header import read_header
from equivcheck.pairs.gguf_tokenizer import build_tokenizer

LOG = logging.getLogger(__name__)
ORIGIN = "gguf.json"
"""Beside the weights: which file they come from and what it says of itself."""
CONVERSION = 2
"""Counts what this conversion has meant so far: what an older one wrote is not read."""
END_KEYS = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")


def dequantised(path: Path) -> Path:
    """The folder that stands for a GGUF file.

    Raises:
        PairError: the file is missing, is no GGUF file, or holds a model or tokenizer that cannot
            be rebuilt exactly.
    """
    if not path.is_file():
        raise PairError(f"{visible(str(path))}: no such GGUF file")
    return made_once(dequantised_folder(path), functools.partial(_dequantise, path))


def dequantised_folder(path: Path) -> Path:
    """Where the folder for this very content is or will be."""
    return cache_folder() / f"gguf-{CONVERSION}" / file_sha256(path)


def _dequantise(path: Path, folder: Path) -> None:
    LOG.info("dequantising %s, once", path.name)
    metadata = read_metadata(path)
    with contextlib.nullcontext() if sys.stderr.isatty() else without_bars():
        _write_model(path, folder, metadata=metadata)
    (folder / ORIGIN).write_text(json.dumps(origin(path, metadata), indent=2) + "\n")


def _write_model(path: Path, folder: Path, *, metadata: dict[str, Any]) -> None:
    label = visible(str(path))
    header = read_header(path)
    for key, value in metadata.items():
        # Every layer has a tensor of its own.
        if key.endswith(".block_count") and type(value) is int and value > header.tensors:
            raise PairError(f"{label}: {key}: {value}, but only {header.tensors} tensors are there")
    build_tokenizer(metadata, path).save_pretrained(folder)
    try:
        config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
        refuse_oversized(config, size=path.stat().st_size, label=label)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        raise PairError(f"{label} cannot be read: {visible(str(error))}") from error
    model, report = loaded
    refuse_partial(report, label=label)
    # transformers passes over tensors of a GGUF file that it has no place for.
    if (taken := numbers_of(model)) < header.numbers:
        raise PairError(
            f"{label}: {header.numbers - taken} of the {header.numbers} numbers in this file are "
            f"in tensors that no part of the model takes; use the model's safetensors folder"
        )
    plain = unquantised(model)
    plain.generation_config = generation_config(metadata)
    plain.save_pretrained(folder)


def numbers_of(model: Any) -> int:
    """How many numbers a model holds; those of tied tensors once."""
    places = {tensor.data_ptr(): tensor.numel() for tensor in model.state_dict().values()}
    return sum(places.values())


def origin(path: Path, metadata: dict[str, Any]) -> dict[str, Any]:
    """The file's name and its ``general.*`` keys (name, licence, organisation, ...)."""
    general = {
        key.removeprefix("general."): value
        for key, value in metadata.items()
        if key.startswith("general.")
    }
    kind = general.pop("file_type", None)
    named = LlamaFileType(kind).name if kind in set(LlamaFileType) else kind
    return {"file": path.name, "quantised": named, **general}


def unquantised(model: Any) -> Any:
    """The same model without the mark of a quantised one, which transformers will not save."""
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    config.pop("_name_or_path", None)
    plain = type(model)(type(model.config).from_dict(config))
    plain.load_state_dict(model.state_dict())
    plain.tie_weights()
    return plain


def generation_config(metadata: dict[str, Any]) -> Any:
    """Which ids end a text, as the file says: end of sequence and end of turn."""
    ends = sorted({metadata[key] for key in END_KEYS if key in metadata})
    kind: Any = GenerationConfig
    return kind(
        bos_token_id=metadata.get("tokenizer.ggml.bos_token_id"),
        eos_token_id=ends or None,
        pad_token_id=metadata.get("tokenizer.ggml.padding_token_id"),
    )


def read_metadata(path: Path) -> dict[str, Any]:
    """Every key of a GGUF file with its value.

    Raises:
        PairError: it is no readable GGUF file, or says something that would be lost on the way.
    """
    try:
        # The reader believes every length.
        read_header(path)
        reader = GGUFReader(path)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
    except (ValueError, OSError, IndexError, KeyError) as error:
        raise PairError(
            f"{visible(str(path))}: no readable GGUF file: {visible(str(error))}"
        ) from error
    scaled = [name for name in metadata if ".rope.scaling." in name]
    if scaled or any(tensor.name == "rope_freqs.weight" for tensor in reader.tensors):
        raise PairError(
            f"{visible(str(path))}: this model scales its rotary positions, which is lost when "
            f"its GGUF file is converted; use the model's safetensors folder"
        )
    return metadata
