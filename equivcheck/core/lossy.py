"""Settings by which engines give up the target's distribution for speed, by name and value.

One table, and one function that finds them in what was told: a specification, a command, a
configuration in JSON or YAML. Names as of transformers 5.17, vLLM 0.32 and its pull request 53987,
vllm-ascend, SGLang 0.5, TensorRT-LLM 1.4. What is not in the table is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

OFF = frozenset({"none", "null", "false", "off", "no", "''", '""'})
"""Values that leave any of them off."""
ON = "true"
"""Value of a flag without a value."""
_VALUE = r"""["']?\s*(?:[:=]\s*|\s+)["']?(?P<value>(?!--)[^\s,;"'}\])]+)"""
"""What follows a name in a command, in JSON, in YAML and in Python."""


class LossySetting(Struct, frozen=True, kw_only=True):
    """One of them. Names are compared without case, with ``-`` and ``_`` alike."""

    name: str
    engine: str
    """Whose it is; others may have it of the same name."""
    effect: str
    """What it does to the distribution, in a few words."""
    lossless: tuple[str, ...] = ()
    """Values, beside `OFF`, at which it does nothing. Numbers are compared as numbers."""
    lossy: tuple[str, ...] = ()
    """The only values at which it does something; empty: all others."""
    needs: str | None = None
    """Switch without which it does nothing."""


RELAXED = "use_relaxed_acceptance_for_thinking"
ENTROPY = "enable_entropy_verify"
TYPICAL = ("typical_acceptance_sampler", "typical")
LOSSY_SETTINGS = (
    LossySetting(
        name="assistant_ensemble_weight",
        engine="transformers",
        effect="verifies by a mixture of target and draft",
        lossless=("1",),
    ),
    LossySetting(
        name="rejection_sample_method",
        engine="vllm",
        effect="accepts drafts by a rate that was given (synthetic), or keeps rejected ones (fly)",
        lossy=("synthetic", "fly"),
    ),
    LossySetting(
        name="synthetic_acceptance_rate", engine="vllm, max", effect="accepts drafts by a rate"
    ),
    LossySetting(
        name="synthetic_acceptance_rates", engine="vllm", effect="accepts drafts by given rates"
    ),
    LossySetting(
        name="synthetic_acceptance_length", engine="vllm", effect="accepts so many drafts"
    ),
    LossySetting(
        name="spec_decoding_acceptance_method",
        engine="vllm before 0.9",
        effect="typical acceptance: by a threshold in place of p/q",
        lossy=TYPICAL,
    ),
    LossySetting(
        name="acceptance_method",
        engine="vllm before 0.10",
        effect="typical acceptance: by a threshold in place of p/q",
        lossy=TYPICAL,
    ),
    LossySetting(
        name=ENTROPY,
        engine="vllm-ascend",
        effect="accepts drafts by the entropy of the target",
    ),
    LossySetting(
        name="posterior_threshold",
        engine="vllm-ascend",
        effect="threshold of entropy verification",
        needs=ENTROPY,
    ),
    LossySetting(
        name="posterior_alpha",
        engine="vllm-ascend",
        effect="slope of entropy verification",
        needs=ENTROPY,
    ),
    LossySetting(
        name="enable_fly_verify",
        engine="vllm-ascend",
        effect="keeps rejected drafts where the target is uncertain",
    ),
    LossySetting(
        name="speculative_accept_threshold_single",
        engine="sglang",
        effect="accepts a draft whose probability is above the threshold",
        lossless=("1",),
    ),
    LossySetting(
        name="speculative_accept_threshold_acc",
        engine="sglang",
        effect="raises the probability of acceptance to p over the threshold",
        lossless=("1",),
    ),
    LossySetting(
        name="sglang_simulate_acc_len",
        engine="sglang",
        effect="accepts so many drafts",
        lossless=("-1", "0"),
    ),
    LossySetting(
        name=RELAXED,
        engine="tensorrt-llm, max",
        effect="accepts drafts among the target's best while the model thinks",
    ),
    LossySetting(
        name="relaxed_topk",
        engine="tensorrt-llm, max",
        effect="among how many",
        lossless=("1",),
        needs=RELAXED,
    ),
    LossySetting(
        name="relaxed_delta",
        engine="tensorrt-llm, max",
        effect="how far under the best",
        lossless=("0",),
        needs=RELAXED,
    ),
)
"""Every one that is known."""


def lossy_in(told: Iterable[str]) -> tuple[str, ...]:
    """The lossy settings in effect, as ``NAME=VALUE`` in the order of the table, each once.

    Args:
        told: Texts that say how an engine is set up. The last that names a setting wins.
    """
    values: dict[str, str] = {}
    for text in told:
        values |= {setting.name: value for setting, value in _named_in(text)}
    return tuple(
        f"{setting.name}={values[setting.name]}"
        for setting in LOSSY_SETTINGS
        if setting.name in values and _in_effect(setting, values)
    )


def _named_in(text: str) -> Iterator[tuple[LossySetting, str]]:
    for setting in LOSSY_SETTINGS:
        name = re.escape(setting.name).replace("_", "[-_]")
        for found in re.finditer(
            rf"(?<![\w-])(?:--)?(?P<name>{name})(?![\w-])(?:{_VALUE})?", text, re.IGNORECASE
        ):
            yield setting, (found["value"] or ON).strip("[")


def _in_effect(setting: LossySetting, values: Mapping[str, str]) -> bool:
    value = values[setting.name].lower()
    if value in OFF or (setting.needs and values.get(setting.needs, "false").lower() in OFF):
        return False
    if setting.lossy:
        return value in setting.lossy
    return not any(_same(value, neutral) for neutral in setting.lossless)


def _same(value: str, neutral: str) -> bool:
    try:
        return float(value) == float(neutral)
    except ValueError:
        return value == neutral
