"""Every supported architecture computes what transformers computes; the others are refused."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from typing import Any

import pytest
import torch
import transformers

from equivcheck.core.errors import PairError
from equivcheck.decoding import adoption
from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.weights import Weights, fuse

SHAPE = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 8.0}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}
ORIGINAL = {"original_max_position_embeddings": 64}
SUPPORTED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama-biased-tied": (
        "Llama",
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "llama-llama3-rope": ("Llama", {"rope_parameters": LLAMA3 | ORIGINAL}),
    "llama-yarn-rope": ("Llama", {"rope_parameters": YARN | ORIGINAL}),
    "mistral-windowed": ("Mistral", {"sliding_window": 8}),
    "qwen2": ("Qwen2", {}),
    "qwen2-half-windowed": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3", {}),
    "gemma": ("Gemma", {}),
}


def build(name: str, changes: dict[str, Any], dtype: torch.dtype) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**(SHAPE | changes))
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval().requires_grad_(False)
    for parameter_name, parameter in model.named_parameters():
        if "norm" in parameter_name or "bias" in parameter_name:
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.to(dtype)


@pytest.mark.parametrize("case", SUPPORTED)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_logits_are_those_of_transformers(case: str, dtype: torch.dtype, tolerance: float) -> None:
    model = build(*SUPPORTED[case], dtype)
    static = adopt(model, positions=128)
    tokens = torch.randint(300, (2, 60), generator=torch.Generator().manual_seed(1))
    expected = model(tokens).logits.float()
    cache = static.new_cache(rows=2)
    parts = [
        static.forward(part, torch.full((2,), start), cache)
        for start, part in ((0, tokens[:, :37]), (37, tokens[:, 37:40]), (40, tokens[:, 40:]))
    ]
    error = static.logits(torch.cat(parts, dim=1)) - expected
    assert error.pow(2).mean().sqrt() / expected.std() < tolerance


@pytest.mark.parametrize("name", ["Gemma2", "Olmo", "Gemma3Text"])
def test_other_architectures_are_refused_by_name(name: str) -> None:
    config = getattr(transformers, f"{name}Config")(**SHAPE)
    auto: Any = transformers.AutoModelForCausalLM
    with pytest.raises(PairError, match=f"no supported architecture named '{config.model_type}'"):
        adopt(auto.from_config(config).eval(), positions=64)


@pytest.mark.parametrize(
    ("changes", "feature"),
    [
        (
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "dynamic",
        ),
        ({"pretraining_tp": 2}, "tensor-parallel"),
    ],
)
def test_features_that_are_not_implemented_are_refused(
    changes: dict[str, Any], feature: str
) -> None:
    model = build("Llama", {}, torch.float32)
    for name, value in changes.items():
        setattr(model.config, name, value)
    with pytest.raises(PairError, match=feature):
        adopt(model, positions=64)


def test_a_misread_architecture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def misread(model: Any, architecture: Any) -> Weights:
        weights = fuse(model, architecture)
        return dataclasses.replace(weights, inverse_frequencies=weights.inverse_frequencies * 1.5)

    monkeypatch.setattr(adoption, "fuse", misread)
    with pytest.raises(PairError, match="its logits differ from transformers' by"):
        adopt(build("Llama", {}, torch.float32), positions=64)


def test_weights_are_fused_once_however_many_models_pass_through() -> None:
    target, *others = (build("Llama", {}, torch.float32) for _ in range(9))
    first = adopt(target, positions=64).weights
    for model in others:
        adopt(model, positions=64)
    assert adopt(target, positions=128).weights is first


def test_fused_weights_go_with_their_model() -> None:
    model = build("Llama", {}, torch.float32)
    static = adopt(model, positions=64)
    fused = weakref.ref(static.weights.layers[0].gate_up)
    del static
    gc.collect()
    assert fused() is not None
    del model
    gc.collect()
    assert fused() is None
