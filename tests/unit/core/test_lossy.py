"""Lossy settings are found by name in whatever an engine told of itself, and only in effect."""

from __future__ import annotations

import pytest

from equivcheck.core.lossy import LOSSY_SETTINGS, lossy_in

VLLM = 'vllm serve m --speculative-config \'{"method": "eagle3", %s}\' --port 8000'


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (
            "transformers:mode=assisted,assistant_ensemble_weight=0.5",
            ("assistant_ensemble_weight=0.5",),
        ),
        (VLLM % '"rejection_sample_method": "synthetic"', ("rejection_sample_method=synthetic",)),
        (VLLM % '"rejection_sample_method": "fly"', ("rejection_sample_method=fly",)),
        (
            "--speculative-config.rejection_sample_method synthetic",
            ("rejection_sample_method=synthetic",),
        ),
        (VLLM % '"synthetic_acceptance_rates": [0.9, 0.5]', ("synthetic_acceptance_rates=0.9",)),
        (
            "--spec-decoding-acceptance-method typical_acceptance_sampler",
            ("spec_decoding_acceptance_method=typical_acceptance_sampler",),
        ),
        (
            '{"rejection_sampler_config": {"enable_entropy_verify": true, "posterior_alpha": 0.4}}',
            ("enable_entropy_verify=true", "posterior_alpha=0.4"),
        ),
        ("--enable-fly-verify --port 1", ("enable_fly_verify=true",)),
        (
            "sglang serve --speculative-accept-threshold-single 0.5 "
            "--speculative-accept-threshold-acc=0.9",
            ("speculative_accept_threshold_single=0.5", "speculative_accept_threshold_acc=0.9"),
        ),
        ("SGLANG_SIMULATE_ACC_LEN=3.5", ("sglang_simulate_acc_len=3.5",)),
        (
            "speculative_config:\n  decoding_type: MTP\n"
            "  use_relaxed_acceptance_for_thinking: true\n  relaxed_topk: 10\n  relaxed_delta: 0.6",
            (
                "use_relaxed_acceptance_for_thinking=true",
                "relaxed_topk=10",
                "relaxed_delta=0.6",
            ),
        ),
    ],
)
def test_what_is_in_effect_is_found(told: str, found: tuple[str, ...]) -> None:
    assert lossy_in([told]) == found


@pytest.mark.parametrize(
    "told",
    [
        "",
        "native:gamma=4,rule=block",
        VLLM % '"rejection_sample_method": "block"',
        VLLM % '"rejection_sample_method": "standard", "synthetic_acceptance_rates": null',
        "SpeculativeConfig(rejection_sample_method='standard', synthetic_acceptance_length=None)",
        '{"speculative_accept_threshold_single": 1.0, "speculative_accept_threshold_acc":1.0}',
        "enable_entropy_verify=False, posterior_threshold=0.95, posterior_alpha=0.4",
        "use_relaxed_acceptance_for_thinking: false\nrelaxed_topk: 10\nrelaxed_delta: 0.6",
        "relaxed_topk=10",
        "--draft-acceptance-method typical_acceptance_sampler_like",
        "my_rejection_sample_method=synthetic",
        "SGLANG_SIMULATE_ACC_LEN=-1",
    ],
)
def test_what_is_off_or_something_else_is_not(told: str) -> None:
    assert lossy_in([told]) == ()


def test_the_last_word_on_a_setting_counts() -> None:
    told = ["rejection_sample_method=synthetic", "rejection_sample_method=standard"]
    assert lossy_in(told) == ()
    assert lossy_in(reversed(told)) == ("rejection_sample_method=synthetic",)


def test_the_table_names_each_once_and_what_it_needs_is_in_it() -> None:
    names = [setting.name for setting in LOSSY_SETTINGS]
    assert len(set(names)) == len(names)
    assert {setting.needs for setting in LOSSY_SETTINGS} - {None} <= set(names)
    assert all(setting.effect and setting.engine for setting in LOSSY_SETTINGS)
