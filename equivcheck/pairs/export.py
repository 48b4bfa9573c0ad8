"""Write a pair with its heads as other engines load it, for those engines' own tests.

Weights are copied as they are stored; only what an engine wants said otherwise is said otherwise.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

from equivcheck.core.errors import PairError
from equivcheck.core.escape import visible
from equivcheck.pairs.export_readme import readme
from equivcheck.pairs.locate import locate
from equivcheck.pairs.sources import ModelSource, resolve

Layout = Literal["hf", "vllm", "sglang", "gguf"]
LAYOUTS: tuple[Layout, ...] = ("hf", "vllm", "sglang", "gguf")
HEADS = ("eagle3", "mtp")
"""Folders beside the target's, in which its heads are."""
COPIED = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model")
LAYER_IDS = "eagle_aux_hidden_state_layer_ids"


def export_pair(spec: str, folder: Path, *, layout: Layout) -> dict[str, Path]:
    """Write target, draft and heads into a folder, with a README of how each is loaded.

    Returns:
        Role to what was written: ``target``, ``draft``, ``eagle3``, ``mtp``, as far as the pair has
        them and the layout knows them.

    Raises:
        PairError: the pair cannot be had, or a model of it is made when it is loaded (rounded,
            widened), so that there is nothing stored to copy; or the folder is not empty.
        OSError: a file cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise PairError(f"{visible(str(folder))} is not empty: an engine could read what was there")
    if layout == "gguf":
        from equivcheck.pairs.export_gguf import export_gguf

        written = export_gguf(spec, folder)
    else:
        written = _folders(spec, folder, layout=layout)
    (folder / "README.md").write_text(
        readme(spec, written, layout=layout, drafts=_drafts(written)), encoding="utf-8"
    )
    return written


def _folders(spec: str, folder: Path, *, layout: Layout) -> dict[str, Path]:
    pair = resolve(spec)
    models = {"target": pair.target} | ({"draft": pair.draft} if pair.draft else {})
    stored = {role: _stored(source) for role, source in models.items()}
    heads = {name: stored["target"].parent / name for name in HEADS}
    stored |= {name: head for name, head in heads.items() if (head / "config.json").is_file()}
    written = {}
    for role, origin in stored.items():
        if role == "mtp" and layout == "vllm":
            written[role] = _with_mtp(stored["target"], origin, folder / "target_mtp")
        elif role != "mtp" or layout == "hf":
            written[role] = _copied(origin, folder / role)
    if "eagle3" in written and layout == "sglang":
        _tapped_as_sglang_counts(written["eagle3"])
    return written


def _stored(source: ModelSource) -> Path:
    """Where a model lies as files."""
    if source.made:
        raise PairError(
            f"{visible(source.label)} is made when it is loaded: only stored models are exported"
        )
    return locate(source)


def _copied(origin: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for pattern in COPIED:
        for path in sorted(origin.glob(pattern)):
            shutil.copyfile(path, folder / path.name)
    return folder


def _tapped_as_sglang_counts(folder: Path) -> None:
    """SGLang names the layer whose output is tapped, from 0 on; others the layers before it."""
    config = _config(folder)
    told = config.get("eagle_config", {})
    places = config.pop(LAYER_IDS, None) or told[LAYER_IDS]
    config["eagle_config"] = told | {LAYER_IDS: [place - 1 for place in places]}
    _write_config(folder, config)


def _with_mtp(target: Path, head: Path, folder: Path) -> Path:
    """The target as a MiMo model, whose checkpoint holds its MTP depths.

    MiMo is Qwen2 with them: query, key and value have biases, which are zero here.

    Raises:
        PairError: the target is no plain Llama model.
    """
    import torch
    from safetensors.torch import load_file, save_file

    config = _config(target)
    if config["model_type"] != "llama" or config.get("attention_bias") or config.get("mlp_bias"):
        raise PairError(f"{visible(str(target))}: only a Llama model is written with an MTP head")
    _copied(target, folder)
    tensors = load_file(target / "model.safetensors") | load_file(head / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    tensors.setdefault("lm_head.weight", embedding.clone())
    for name in [name for name in tensors if name.endswith(("q_proj.weight", "k_proj.weight",
                                                            "v_proj.weight"))]:  # fmt: skip
        bias = torch.zeros(len(tensors[name]), dtype=tensors[name].dtype)
        tensors[name.replace(".weight", ".bias")] = bias
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    depths = _config(head)["num_nextn_predict_layers"]
    kept = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "vocab_size", "max_position_embeddings", "rms_norm_eps",
            "hidden_act", "rope_parameters", "bos_token_id", "eos_token_id", "pad_token_id",
            "dtype")  # fmt: skip
    _write_config(
        folder,
        {name: config[name] for name in kept if name in config}
        | {
            "architectures": ["MiMoForCausalLM"],
            "model_type": "qwen2",
            "tie_word_embeddings": False,
            "num_nextn_predict_layers": depths,
        },
    )
    return folder


def _drafts(written: dict[str, Path]) -> dict[str, Any]:
    """What the README says of the heads."""
    facts: dict[str, Any] = {}
    if "eagle3" in written:
        facts["draft vocabulary"] = _config(written["eagle3"])["draft_vocab_size"]
    return facts


def _config(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "config.json").read_bytes())
    if not isinstance(config, dict):
        raise PairError(f"{visible(str(folder))}: config.json is no object")
    return config


def _write_config(folder: Path, config: dict[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
