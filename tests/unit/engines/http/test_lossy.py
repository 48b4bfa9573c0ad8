"""What servers tell of lossy settings: vLLM in development mode, SGLang always."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from equivcheck.engines.http.dialect import PairWords, ServerOptions
from equivcheck.engines.http.sglang import SglangDialect
from equivcheck.engines.http.vllm_words import CONFIG, lossy_of
from equivcheck.engines.http.wire import Wire

from .stub import Reply, serving
from .test_by_documentation import FakeSglang

WireTo = Callable[..., Wire]


@pytest.mark.parametrize(
    ("speculative", "found"),
    [
        (
            {"method": "ngram", "rejection_sample_method": "synthetic"},
            ("rejection_sample_method=synthetic",),
        ),
        ({"method": "ngram", "rejection_sample_method": "standard"}, ()),
        ({"method": "ngram", "synthetic_acceptance_rates": None}, ()),
        (None, ()),
    ],
)
def test_vllm(wire_to: WireTo, speculative: object, found: tuple[str, ...]) -> None:
    reply = Reply({"vllm_config": {"speculative_config": speculative}})
    with serving(lambda path, _: reply if path == CONFIG else None) as stub:
        assert lossy_of(wire_to(stub.url)) == found


def test_vllm_that_does_not_say(wire_to: WireTo) -> None:
    with serving(lambda path, _: None) as stub:
        assert lossy_of(wire_to(stub.url)) == ()


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({}, ()),
        (
            {"speculative_accept_threshold_single": 1.0, "speculative_accept_threshold_acc": 1.0},
            (),
        ),
        (
            {"speculative_accept_threshold_single": 0.5},
            ("speculative_accept_threshold_single=0.5",),
        ),
        ({"speculative_accept_threshold_acc": 0.9}, ("speculative_accept_threshold_acc=0.9",)),
    ],
)
def test_sglang(
    wire_to: WireTo, words: PairWords, more: dict[str, float], found: tuple[str, ...]
) -> None:
    fake = FakeSglang()
    fake.info = {**fake.info, **more}
    with serving(fake) as stub:
        told = SglangDialect(wire_to(stub.url), words, ServerOptions(None, None, None)).open()
    assert told.lossy == found
