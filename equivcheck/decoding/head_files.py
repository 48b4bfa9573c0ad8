"""Reads a head from a folder of config.json and safetensors, as serving engines load it too.

EAGLE-3 as vLLM's `llama_eagle3` and SpecForge name its tensors, MTP as vLLM's `mimo_mtp` does.
What this decoder would compute otherwise is refused by name. Nothing here runs a head.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from equivcheck.core.errors import PairError
from equivcheck.core.escape import visible
from equivcheck.decoding.architecture import Architecture
from equivcheck.decoding.backends.interface import Backend
from equivcheck.decoding.heads import EagleDepth, EagleHead, Head, MtpDepth, MtpHead
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.weights import LayerWeights, Weights

EAGLE_SWITCHES = ("norm_before_fc", "fc_norm", "norm_output", "norm_before_residual")
"""Settings of a config that move a norm."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadFiles:
    """A head's config and tensors, on the target's device in its dtype, and what it runs on."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    target: StaticModel
    backend: Backend

    def tensor(self, name: str, *shape: int) -> Tensor:
        """One tensor.

        Raises:
            PairError: it is missing, or of another shape.
        """
        if name not in self.tensors:
            raise self.wrong(f"no tensor {name}")
        found = self.tensors[name]
        if shape and tuple(found.shape) != shape:
            raise self.wrong(f"{name} is {list(found.shape)}; {list(shape)} is expected")
        return found

    def number(self, name: str) -> int:
        """A size from the config.

        Raises:
            PairError: it is missing, or no positive number.
        """
        value = self.config.get(name)
        if not isinstance(value, int) or value < 1:
            raise self.wrong(f"config.json has no {name}")
        return value

    def wrong(self, problem: str) -> PairError:
        """What to raise."""
        return PairError(f"{visible(str(self.folder))}: no head that can be run: {problem}")

    @property
    def architecture(self) -> Architecture:
        """Architecture of one layer of the head."""
        hidden, heads = self.number("hidden_size"), self.number("num_attention_heads")
        return Architecture(
            family="llama",
            layers=1,
            hidden=hidden,
            heads=heads,
            kv_heads=self.config.get("num_key_value_heads") or heads,
            head_dim=self.config.get("head_dim") or hidden // heads,
            vocab=self.target.architecture.vocab,
            norm_eps=float(self.config.get("rms_norm_eps", 1e-6)),
            activation=self.config.get("hidden_act", "silu"),
            norm_offset=0.0,
            embedding_scale=self.target.architecture.embedding_scale,
            query_key_norm=False,
            windows=(None,),
        )

    def layer(self, prefix: str, *, inputs: int) -> LayerWeights:
        """The decoder layer under a prefix, whose attention takes `inputs` numbers a token."""
        shape, inner = self.architecture, self.number("intermediate_size")
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        attention, mlp = f"{prefix}self_attn.", f"{prefix}mlp."
        names = [f"{attention}{each}_proj" for each in "qkv"]
        rows = (queries, keys, keys)
        biases = [self.tensors.get(f"{name}.bias") for name in names]
        given = [bias for bias in biases if bias is not None]
        if given and len(given) < len(names):
            raise self.wrong("only some of query, key and value have a bias")
        gates = [self.tensor(f"{mlp}{each}_proj.weight", inner, shape.hidden) for each in GATES]
        return LayerWeights(
            attention_norm=self.gain(f"{prefix}input_layernorm"),
            query_key_value=torch.cat(
                [
                    self.tensor(f"{name}.weight", size, inputs)
                    for name, size in zip(names, rows, strict=True)
                ]
            ),
            query_key_value_bias=torch.cat(given) if given else None,
            head_norms=None,
            attention_out=self.tensor(f"{attention}o_proj.weight", shape.hidden, queries),
            attention_out_bias=self.tensors.get(f"{attention}o_proj.bias"),
            mlp_norm=self.gain(f"{prefix}post_attention_layernorm"),
            gate_up=torch.cat(gates),
            gate_up_bias=None,
            down=self.tensor(f"{mlp}down_proj.weight", shape.hidden, inner),
            down_bias=None,
        )

    def gain(self, norm: str) -> Tensor:
        """The gain of a norm."""
        return self.tensor(f"{norm}.weight", self.architecture.hidden)

    def model(self, layer: LayerWeights, *, final_norm: Tensor, head: Tensor) -> StaticModel:
        """One layer behind the target's embedding, as far as the target reads."""
        weights = Weights(
            embedding=self.tensors.get("embed_tokens.weight", self.target.weights.embedding),
            layers=(layer,),
            final_norm=final_norm,
            head=head,
            inverse_frequencies=self.frequencies,
            rotary_scale=1.0,
        )
        if weights.embedding.shape[1] != self.architecture.hidden:
            raise self.wrong("it is not as wide as the target and has no embedding of its own")
        return StaticModel(
            self.architecture,
            weights,
            positions=self.target.key_positions.shape[0],
            backend=self.backend,
            reaches=self.target.reaches,
        )

    @property
    def frequencies(self) -> Tensor:
        """Rotary inverse frequencies, fp32, [head_dim / 2]."""
        rope = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise self.wrong(f"it uses rotary scaling ({visible(str(kind))})")
        base = float(rope.get("rope_theta") or self.config.get("rope_theta") or 10000.0)
        steps = torch.arange(0, self.architecture.head_dim, 2, device=self.target.device)
        return base ** (-steps.float() / self.architecture.head_dim)


GATES = ("gate", "up")


def read_head(folder: Path, target: StaticModel, *, backend: Backend) -> HeadFiles:
    """Read a folder.

    Raises:
        PairError: it is no folder with a config and safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = {}
    try:
        config = json.loads((folder / "config.json").read_bytes())
        for file in sorted(folder.glob("*.safetensors")):
            tensors |= load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise PairError(f"{visible(str(folder))}: no head that can be read: {error}") from error
    if not isinstance(config, dict):
        raise PairError(f"{visible(str(folder))}: config.json is no object")
    placed = {
        name: each.to(target.device, target.dtype if each.is_floating_point() else None)
        for name, each in tensors.items()
    }
    return HeadFiles(folder=folder, config=config, tensors=placed, target=target, backend=backend)


def digest(folder: Path) -> str:
    """sha256 of a head's weights, files in the order of their names."""
    found = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        found.update(file.read_bytes())
    return found.hexdigest()


def eagle_head(files: HeadFiles) -> Head:
    """An EAGLE-3 head.

    Raises:
        PairError: it is none, or does what this decoder does not.
    """
    config, shape = files.config, files.architecture
    told = config.get("eagle_config") or {}
    for switch in EAGLE_SWITCHES:
        if config.get(switch) or told.get(switch):
            raise files.wrong(f"{switch} is not implemented")
    if config.get("num_hidden_layers", 1) != 1 or config.get("logit_scale", 1.0) != 1.0:
        raise files.wrong("more than one layer, or a scale of logits, is not implemented")
    keeps = config.get("eagle_aux_hidden_state_layer_ids") or told.get(
        "eagle_aux_hidden_state_layer_ids"
    )
    target = files.target.architecture
    if not keeps or not all(isinstance(each, int) and 0 <= each <= target.layers for each in keeps):
        raise files.wrong(
            f"eagle_aux_hidden_state_layer_ids has to name layers of the target, "
            f"0 to {target.layers}"
        )
    drafted = config.get("draft_vocab_size") or target.vocab
    ids = torch.arange(drafted, device=files.target.device)
    if drafted != target.vocab or "d2t" in files.tensors:
        ids = ids + files.tensor("d2t", drafted).long()
    if ids.min() < 0 or ids.max() >= target.vocab or ids.unique().numel() != drafted:
        raise files.wrong("d2t has to give each drafted id an id of the target of its own")
    prefix = "midlayer." if "midlayer.hidden_norm.weight" in files.tensors else "layers.0."
    depth = EagleDepth(
        files.model(
            files.layer(prefix, inputs=2 * shape.hidden),
            final_norm=files.gain("norm"),
            head=files.tensor("lm_head.weight", drafted, shape.hidden),
        ),
        token_norm=files.gain(f"{prefix}input_layernorm"),
        hidden_norm=files.gain(f"{prefix}hidden_norm"),
    )
    return EagleHead(
        depth,
        keeps=keeps,
        combine=files.tensor("fc.weight", shape.hidden, len(keeps) * target.hidden),
        target_ids=ids,
        vocab=target.vocab,
        limit=files.number("max_position_embeddings"),
    )


def mtp_head(files: HeadFiles) -> Head:
    """An MTP head of as many depths as its config says.

    Raises:
        PairError: it is none, or not as wide as the target.
    """
    hidden = files.target.architecture.hidden
    if files.architecture.hidden != hidden:
        raise files.wrong(f"it is {files.architecture.hidden} wide, the target {hidden}")
    depths = []
    for index in range(files.number("num_nextn_predict_layers")):
        prefix = f"model.mtp_layers.{index}."
        model = files.model(
            files.layer(prefix, inputs=hidden),
            final_norm=files.gain(f"{prefix}final_layernorm"),
            head=files.target.weights.head,
        )
        depths.append(
            MtpDepth(
                model,
                projection=files.tensor(f"{prefix}input_proj.weight", hidden, 2 * hidden),
                token_norm=files.gain(f"{prefix}token_layernorm"),
                hidden_norm=files.gain(f"{prefix}hidden_layernorm"),
            )
        )
    last = files.target.architecture.layers
    return MtpHead(depths, keeps=(last,), limit=files.number("max_position_embeddings"))
