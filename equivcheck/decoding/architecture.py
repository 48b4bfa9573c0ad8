"""Which transformers architectures the static decoder can run, and what sets each apart.

Reads a transformers config and answers with an `Architecture`, or refuses by name. Whether the
reading was right is proven afterwards, by comparing logits (`adoption.py`).
"""

from __future__ import annotations

import dataclasses
from typing import Any

from equivcheck.core.errors import PairError, unknown_name

FAMILIES = ("gemma", "llama", "mistral", "qwen2", "qwen3")
"""`model_type`s whose blocks are: norm, attention with rotary positions, norm, gated MLP."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of a Llama-like decoder and the few things in which its relatives differ."""

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    norm_eps: float
    activation: str
    norm_offset: float
    """Added to each norm weight: 1 for Gemma, which stores the gain minus one."""
    embedding_scale: float
    query_key_norm: bool
    windows: tuple[int | None, ...]
    """Per layer, how many latest positions attention sees; None: all."""

    @property
    def heads_per_kv(self) -> int:
        """Query heads that share one key/value head."""
        return self.heads // self.kv_heads


def describe(config: Any) -> Architecture:
    """Read a transformers config.

    Raises:
        PairError: the architecture is not Llama-like enough to be run exactly.
    """
    family = config.model_type
    if family not in FAMILIES:
        raise PairError(
            f"the native decoder cannot run this model: "
            f"{unknown_name('supported architecture', family, FAMILIES)}; "
            f"the `transformers` engine can"
        )
    refuse_unknown_features(config)
    layers = config.num_hidden_layers
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Architecture(
        family=family,
        layers=layers,
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
        head_dim=head_dim,
        vocab=config.vocab_size,
        norm_eps=config.rms_norm_eps,
        activation=getattr(config, "hidden_activation", None) or config.hidden_act,
        norm_offset=1.0 if family == "gemma" else 0.0,
        embedding_scale=config.hidden_size**0.5 if family == "gemma" else 1.0,
        query_key_norm=family == "qwen3",
        windows=tuple(window_of(config, layer) for layer in range(layers)),
    )


def window_of(config: Any, layer: int) -> int | None:
    """Sliding window of one layer, None where it attends to everything."""
    window: int | None = getattr(config, "sliding_window", None)
    if window is None or getattr(config, "use_sliding_window", True) is False:
        return None
    kinds = getattr(config, "layer_types", None)
    return window if kinds is None or kinds[layer] == "sliding_attention" else None


def refuse_unknown_features(config: Any) -> None:
    """Refuse what would silently change the result if it were not implemented.

    Raises:
        PairError: a feature is switched on that the static decoder does not have.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    kind = rope.get("rope_type", "default")
    unsupported = {
        "dynamic rotary scaling": kind in ("dynamic", "longrope"),
        "partial rotary positions": rope.get("partial_rotary_factor", 1.0) != 1.0,
        "logit soft-capping": getattr(config, "final_logit_softcapping", None) is not None,
        "quantised weights": getattr(config, "quantization_config", None) is not None,
        "tensor-parallel pretraining": getattr(config, "pretraining_tp", 1) not in (None, 1),
    }
    for feature, present in unsupported.items():
        if present:
            raise PairError(f"the native decoder cannot run this model: it uses {feature}")
