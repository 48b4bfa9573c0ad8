"""How transformers' `generate()` is told to draft: what each mode of the engine needs of it.

A mode that changes a model while it runs is given one of its own, as models are shared within a
process: early exit cuts the target's number of layers while it drafts, and leaves it cut where
drafting breaks; a universal assistant gets another head and embedding with the first sampled
request, and breaks on greedy ones from then on.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from transformers import AutoModel, PreTrainedModel
from transformers.modeling_layers import MtpModel

from equivcheck.core.bounds import MOST_DRAFTED
from equivcheck.core.errors import SettingsError, describe
from equivcheck.engines.transformers_config import shell
from equivcheck.pairs.entire import refuse_partial
from equivcheck.pairs.load import LoadedPair, load_model
from equivcheck.pairs.sources import resolve
from equivcheck.pairs.tokenizer import read_tokenizer

Mode = Literal["plain", "assisted", "lookup", "early-exit", "universal", "mtp", "dflash"]
METHODS = {"assisted": "draft_model", "lookup": "ngram", "mtp": "mtp", "dflash": "dflash"}
"""Mode to `Capabilities.method`, as far as vLLM has a word for it."""
BY_TARGETS_IDS = (
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "banned_tokens",
    "min_new_tokens",
)
"""Fields of `Sampling` that `generate()` hands on to an assistant whose ids are others."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreparedMode:
    """One mode, made ready."""

    target: PreTrainedModel
    most: int = 0
    """Draft tokens a step, at most."""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the generation config."""
    arguments: Callable[[bool], Mapping[str, Any]] = lambda greedy: {}
    """Whether a request is greedy to what else `generate()` is called with."""
    steady: bool = True
    """Whether each step that drafts does so up to `most` tokens, but at ends."""
    refuses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def by_assistant(pair: LoadedPair, *, gamma: int, spec: str) -> PreparedMode:
    """The pair's draft model drafts.

    Raises:
        SettingsError: the pair has no draft model.
    """
    if pair.draft is None:
        raise SettingsError(
            f"transformers: mode=assisted, but pair {spec!r} has no draft model; "
            f"name one as TARGET+DRAFT, or use mode=lookup"
        )
    assistant = shell(pair.draft, **steadily(gamma))
    return PreparedMode(
        target=shell(pair.target),
        most=gamma,
        arguments=lambda greedy: {"assistant_model": assistant},
    )


def by_lookup(pair: LoadedPair, *, gamma: int) -> PreparedMode:
    """Drafts are copied from the text so far."""
    settings = {"prompt_lookup_num_tokens": gamma}
    return PreparedMode(target=shell(pair.target), most=gamma, settings=settings)


def by_early_exit(pair: LoadedPair, *, gamma: int, layers: int | None) -> PreparedMode:
    """The target's first layers draft, half of them unless told otherwise.

    Raises:
        SettingsError: it has not so many layers.
    """
    total: int = pair.target.config.num_hidden_layers
    chosen = max(1, total // 2) if layers is None else layers
    if chosen >= total:
        raise SettingsError(
            f"transformers: exit_layer={chosen} is no early exit: the target has {total} layers"
        )
    target = apart(pair.target)
    view = shell(target, **steadily(gamma))
    return PreparedMode(target=view, most=gamma, settings={"assistant_early_exit": chosen})


def by_universal(pair: LoadedPair, *, gamma: int, assistant: str | None) -> PreparedMode:
    """A model with a tokenizer of its own drafts.

    Greedy, its text is read with the target's tokenizer; sampled, tokens that both have are taken.

    Raises:
        SettingsError: no assistant is named.
        PairError: it cannot be had or loaded.
    """
    if assistant is None:
        raise SettingsError("transformers: mode=universal needs assistant=FOLDER, the draft model")
    source = resolve(assistant).target
    device, dtype = pair.target.device, pair.target.dtype
    # Its own, too: what transformers has replaced in an assistant it remembers by tokenizer.
    tokenizer = copy.deepcopy(read_tokenizer(source))
    # A copy for each kind, as one sampled request leaves no assistant for greedy ones.
    copies = {
        greedy: shell(
            copy.deepcopy(load_model(source, dtype=dtype, device=device)), **steadily(gamma)
        )
        for greedy in (True, False)
    }
    window = gamma + int(copies[True].generation_config.assistant_lookbehind or 10)
    longest = max(len(text.encode()) for text in tokenizer.get_vocab())
    return PreparedMode(
        target=shell(pair.target),
        # Of bytes: no token has less than one.
        most=min(MOST_DRAFTED, window * longest),
        arguments=lambda greedy: {
            "assistant_model": copies[greedy],
            "tokenizer": pair.tokenizer,
            "assistant_tokenizer": tokenizer,
        },
        steady=False,
        refuses=BY_TARGETS_IDS,
        notes=(
            "how many tokens of the target an assistant's draft becomes depends on its text: "
            "drafts are told as totals",
        ),
    )


def by_mtp(pair: LoadedPair) -> PreparedMode:
    """Layers of the target's checkpoint behind its last one draft a token each.

    Raises:
        SettingsError: its config tells of none, or its files hold none that transformers can load.
    """
    config: Any = pair.target.config.get_text_config()
    count = getattr(config, "num_mtp_layers", None)
    if not count:
        raise SettingsError(
            "transformers: mode=mtp, but the target's config tells of no layers that predict ahead "
            "(num_nextn_predict_layers)"
        )
    target: Any = shell(pair.target)
    # transformers names the layers of the checkpoints that were published; these are this one's.
    first = config.num_hidden_layers
    own = [rf"(^|\.)layers\.{first + depth}\." for depth in range(count)]
    target._keys_to_ignore_on_load_unexpected = [
        *(target._keys_to_ignore_on_load_unexpected or ()),
        *own,
    ]
    try:
        MtpModel.from_pretrained(target, device_map={"": target.device})
    except (AttributeError, OSError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"transformers: mode=mtp, but the layers that predict ahead cannot be loaded: "
            f"{describe(error)}"
        ) from error
    return PreparedMode(target=target, most=count, settings={"use_mtp": True})


def by_dflash(pair: LoadedPair, *, assistant: str | None) -> PreparedMode:
    """A block drafter reads hidden states of the target and drafts all tokens of a block at once.

    Raises:
        SettingsError: no drafter is named, or it is none for this target.
        PairError: its files are not complete.
    """
    if assistant is None:
        raise SettingsError("transformers: mode=dflash needs assistant=FOLDER, the block drafter")
    try:
        loaded: Any = AutoModel.from_pretrained(
            assistant,
            dtype=pair.target.dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"transformers: {assistant} is no block drafter: {describe(error)}"
        ) from error
    model, report = loaded
    refuse_partial(report, label=assistant)
    block = getattr(model.config, "block_size", None)
    if block is None or model.config.hidden_size != pair.target.config.hidden_size:
        raise SettingsError(
            f"transformers: {assistant} is no block drafter for this target: its config has "
            f"block_size {block} and hidden_size {model.config.hidden_size}"
        )
    drafter = model.requires_grad_(False).eval().to(pair.target.device)
    return PreparedMode(
        target=shell(pair.target),
        most=block - 1,
        settings={"speculation_type": "dflash"},
        arguments=lambda greedy: {"assistant_model": drafter},
    )


def steadily(gamma: int) -> dict[str, Any]:
    """Settings of a drafting model: ``gamma`` tokens a step, whatever happens."""
    return {
        "num_assistant_tokens": gamma,
        "num_assistant_tokens_schedule": "constant",
        "assistant_confidence_threshold": 0.0,
    }


def apart(model: PreTrainedModel) -> PreTrainedModel:
    """The same layers and weights under a model config of their own."""
    view: Any = copy.copy(model)
    view._modules = dict(view._modules)
    base = copy.copy(getattr(model, model.base_model_prefix))
    view.config = base.config = copy.deepcopy(model.config)
    view._modules[model.base_model_prefix] = base
    ready: PreTrainedModel = view
    return ready
