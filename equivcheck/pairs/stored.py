"""Whether what a folder stores goes with what its config describes; by headers, before any weight.

Sizes are compared with the files, so that a small file cannot have a large model built. `entire.py`
says of a loaded model whether it took everything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from equivcheck.core.errors import PairError
from equivcheck.core.escape import visible
from equivcheck.pairs.locate import SIZES, read_config
from equivcheck.pairs.sources import ModelSource
from equivcheck.pairs.weights import StoredTensor, read_weights, stored_tensors

LAYERS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer")
"""How configs name their number of layers."""
SCALE = "scale"
"""In the name of every tensor that scales another (weight_scale, weight_scale_inv, ...)."""


def check_stored(folder: Path, source: ModelSource) -> tuple[str, ...]:
    """Hold a model's config against the headers of its weights; say how the weights are stored.

    Raises:
        PairError: the config describes more than the files can hold, or float8 weights come
            without their scales.
    """
    config = read_config(folder, source)
    _refuse_oversized(config, folder)
    _refuse_unscaled(stored_tensors(folder), label=visible(source.label))
    return quantisation_notes(config, label=visible(source.label))


def most_numbers(size: int) -> int:
    """How many numbers `size` bytes can hold: no format stores one in less than a bit."""
    return 8 * size


def _refuse_oversized(config: dict[str, Any], folder: Path) -> None:
    place = visible(str(folder / "config.json"))
    most, tensors = most_numbers(read_weights(folder).size), len(stored_tensors(folder))
    parts = [part for part in (config, config.get("text_config")) if isinstance(part, dict)]
    for part in parts:
        for key in LAYERS:
            # Every layer has a tensor of its own.
            if type(layers := part.get(key)) is int and layers > tensors:
                raise PairError(f"{place}: {key}: {layers}, but only {tensors} tensors are stored")
        sizes = {key: size for key in SIZES if type(size := part.get(key)) is int}
        rows, width = sizes.get("vocab_size"), sizes.get("hidden_size")
        if rows is not None and width is not None:
            sizes["vocab_size x hidden_size"] = rows * width
        for key, size in sizes.items():
            if size > most:
                raise PairError(
                    f"{place}: {key}: {size}, more than the weights' {most // 8} bytes can hold"
                )


def _refuse_unscaled(tensors: tuple[StoredTensor, ...], *, label: str) -> None:
    scales = {tensor.name for tensor in tensors if SCALE in tensor.name.rpartition(".")[2]}
    # A scale is named after its weight: X.weight_scale or X.scale beside X.weight.
    scaled = {name[: name.rfind(SCALE)].rstrip("._") for name in scales}
    unscaled = [
        tensor.name
        for tensor in tensors
        if tensor.dtype.startswith(("F8_E4", "F8_E5"))
        and tensor.name not in scales
        and scaled.isdisjoint((tensor.name, tensor.name.removesuffix(".weight")))
    ]
    if unscaled:
        raise PairError(
            f"{label}: {len(unscaled)} float8 weights are stored without their scales, the first "
            f"{visible(min(unscaled))}: what they stand for cannot be told"
        )


def quantisation_notes(config: dict[str, Any], *, label: str) -> tuple[str, ...]:
    """Say so if a checkpoint is quantised by its config."""
    stored = config.get("quantization_config")
    if stored is None:
        return ()
    method = stored.get("quant_method") if isinstance(stored, dict) else stored
    return (
        f"{label} stores its weights quantised ({visible(str(method))}): what is tested is what "
        f"transformers makes of them as it loads them here",
    )
