"""Shapes that a small model can be widened to: sizes only, no torch.

Heads are 64 wide, as those of the bundled pair; the number of heads makes up for it. Vocabularies
stay the small model's, so a widened model lacks the embedding and head of its namesakes.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from equivcheck.core.errors import PairError, unknown_name


class Shape(Struct, frozen=True, kw_only=True):
    """What decides over the cost of a step."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int

    def parameters(self, *, head_dim: int = 64) -> int:
        """Parameters of all blocks, norms and embeddings left out."""
        attention = 2 * self.hidden * head_dim * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)


SHAPES = {
    "15m": Shape(hidden=384, layers=8, heads=8, kv_heads=4, intermediate=1024),
    "60m": Shape(hidden=640, layers=12, heads=10, kv_heads=5, intermediate=1792),
    "0.15b": Shape(hidden=768, layers=16, heads=12, kv_heads=4, intermediate=3072),
    "0.4b": Shape(hidden=1024, layers=24, heads=16, kv_heads=8, intermediate=4096),
    "1b": Shape(hidden=2048, layers=16, heads=32, kv_heads=8, intermediate=8192),
    "3b": Shape(hidden=3072, layers=28, heads=48, kv_heads=16, intermediate=8192),
    "8b": Shape(hidden=4096, layers=32, heads=64, kv_heads=16, intermediate=14_336),
    "14b": Shape(hidden=5120, layers=40, heads=80, kv_heads=16, intermediate=17_408),
    "32b": Shape(hidden=5120, layers=64, heads=128, kv_heads=16, intermediate=25_600),
}
"""By the number of parameters in their blocks."""


def shape_named(name: str) -> Shape:
    """Look a shape up.

    Raises:
        PairError: there is none of that name.
    """
    if name not in SHAPES:
        raise PairError(unknown_name("shape", name, SHAPES))
    return SHAPES[name]


def widened_config(config: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """The configuration of a model widened to a shape.

    Raises:
        PairError: the model is not one that can be widened, or larger than the shape.
    """
    family = config.get("model_type")
    if family != "llama" or config.get("attention_bias") or config.get("mlp_bias"):
        raise PairError(f"only Llama models without biases can be widened, not {family!r}")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    for field, least, given in (
        ("hidden", config["hidden_size"], shape.hidden),
        ("layers", config["num_hidden_layers"], shape.layers),
        ("kv_heads", kv_heads, shape.kv_heads),
        ("heads per kv head", heads // kv_heads, shape.heads // shape.kv_heads),
        ("intermediate", config["intermediate_size"], shape.intermediate),
    ):
        if given < least:
            raise PairError(f"a model can only be widened: it has {field} {least}, not {given}")
    return config | {
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.intermediate,
        "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
        # The mean square over the wider vector is smaller by this factor, and so must this be.
        "rms_norm_eps": config["rms_norm_eps"] * config["hidden_size"] / shape.hidden,
    }
