"""Whether a loaded model took every tensor that is stored, and found each of its own.

Needs a model that transformers has loaded; `stored.py` reads headers only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from equivcheck.core.errors import PairError
from equivcheck.core.escape import first_line, visible
from equivcheck.pairs.stored import most_numbers
from equivcheck.pairs.weights import stored_tensors

PROBLEMS = {
    "missing_keys": "its weights lack {}; they would have been made up at random",
    "unexpected_keys": "its weights hold {} that no part of the model takes; what they say would "
    "have been ignored",
    "mismatched_keys": "its weights hold {} of another shape than its config describes; numbers "
    "made up at random would have taken their place",
}
"""By the keys of transformers' loading report; the braces stand for how many and which first."""
RECOMPUTED = (r"rotary_emb\.inv_freq", r"(^|\.)position_ids$")
"""Stored by older versions of transformers, which computes them since."""


def ignored_patterns(model: Any) -> tuple[str, ...]:
    """Which stored names may have no place in a model: regular expressions to search with.

    Those of transformers for its architecture, and the layers behind the last one that predict
    several tokens ahead, where its config tells how many there are.
    """
    layers = getattr(model.config, "num_hidden_layers", None) or 0
    ahead = getattr(model.config, "num_nextn_predict_layers", None) or 0
    return (
        *(model._keys_to_ignore_on_load_unexpected or ()),
        *RECOMPUTED,
        *(rf"(^|\.)layers\.{layers + index}\." for index in range(ahead)),
    )


def refuse_partial(report: Mapping[str, Any], *, label: str, ignored: Sequence[str] = ()) -> None:
    """Judge transformers' loading report (``output_loading_info``).

    Args:
        report: By transformers' keys.
        label: The model's, fit to be shown.
        ignored: `ignored_patterns`, of names that may be taken by nothing.

    Raises:
        PairError: tensors are missing, taken by nothing, or of another shape.
    """
    for key, problem in PROBLEMS.items():
        # Mismatched ones come with both shapes.
        names = sorted(name if isinstance(name, str) else name[0] for name in report[key])
        if key == "unexpected_keys":
            names = [name for name in names if not _matches(name, ignored)]
        if names:
            counted = f"{len(names)} tensors, the first {visible(names[0])},"
            raise PairError(f"{label}: {problem.format(counted).replace(',;', ';')}")
    if report["error_msgs"]:
        raise PairError(f"{label} cannot be loaded: {first_line(report['error_msgs'][0])}")


def refuse_untied(model: PreTrainedModel, *, label: str) -> None:
    """Refuse two tensors that the config calls one and that differ where they are stored.

    transformers would keep both, other engines the first.

    Raises:
        PairError: naming the pair.
    """
    loaded: Any = model
    tied = loaded.get_expanded_tied_weights_keys(all_submodels=True)
    for name, source in sorted(tied.items()):
        one, other = loaded.get_parameter(name), loaded.get_parameter(source)
        if one is not other and not torch.equal(one, other):
            raise PairError(
                f"{label}: its config ties {visible(name)} to {visible(source)}, but both are "
                f"stored and differ: which of them is meant cannot be told"
            )


def left_out(model: PreTrainedModel, folder: Path, *, label: str) -> tuple[str, ...]:
    """Say which stored tensors transformers leaves out by its own rules for this architecture.

    Layers that predict several tokens ahead, and what is computed since instead of being read.
    """
    loaded: Any = model
    patterns = ignored_patterns(loaded)
    taken = loaded.state_dict().keys()
    names = sorted(
        tensor.name
        for tensor in stored_tensors(folder)
        if tensor.name not in taken and _matches(tensor.name, patterns)
    )
    if not names:
        return ()
    return (
        f"{label}: {len(names)} stored tensors are no part of the model that transformers "
        f"builds, the first {visible(names[0])}: they are left out",
    )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def refuse_oversized(config: Any, *, size: int, label: str) -> None:
    """Refuse a model that `size` bytes of weights cannot be; it is built without memory.

    Args:
        config: A transformers config.
        size: Bytes of the files that hold the weights.
        label: The model's, fit to be shown.

    Raises:
        PairError: naming how many numbers the config describes.
    """
    kind: Any = AutoModelForCausalLM
    with torch.device("meta"):
        described = sum(tensor.numel() for tensor in kind.from_config(config).parameters())
    if described > most_numbers(size):
        raise PairError(
            f"{label} cannot be loaded: its config describes {described} numbers, more than the "
            f"{size} bytes of its weights can hold"
        )


def read_model_config(folder: Path) -> Any:
    """The transformers config of a folder."""
    return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
