"""How a server drafts, where it says so; what is not told stays unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from equivcheck.advise.engine_settings import engine_settings
from equivcheck.advise.policy import Route
from equivcheck.engines.http.dialect import PairWords, ServerOptions
from equivcheck.engines.http.llamacpp import METHODS
from equivcheck.engines.http.sglang import SglangDialect
from equivcheck.engines.http.vllm_words import CONFIG, method_of
from equivcheck.engines.http.wire import Wire

from .conftest import Opened
from .stub import FakeVllm, Reply, exchange, serving
from .test_by_documentation import FakeSglang

WireTo = Callable[..., Wire]


@pytest.mark.parametrize(
    ("algorithm", "draft", "method"),
    [
        ("EAGLE3", "folder/head", "eagle3"),
        ("STANDALONE", "folder/draft", "draft_model"),
        ("NGRAM", None, "ngram"),
        # Layers of the model itself: the server has put its own path there.
        ("EAGLE", "folder/model", "mtp"),
        # A head, or such layers as a checkpoint of their own.
        ("EAGLE", "folder/head", None),
        ("LOOKAHEAD", None, None),
        (None, None, None),
    ],
)
def test_sglang(
    wire_to: WireTo, words: PairWords, algorithm: str | None, draft: str | None, method: str | None
) -> None:
    fake = FakeSglang()
    fake.info = fake.info | {
        "speculative_algorithm": algorithm,
        "speculative_draft_model_path": draft,
    }
    with serving(fake) as stub:
        told = SglangDialect(wire_to(stub.url), words, ServerOptions(None, None, None)).open()
    assert told.method == method


@pytest.mark.parametrize(
    ("reply", "method"),
    [
        (Reply({"vllm_config": {"speculative_config": {"method": "eagle3"}}}), "eagle3"),
        (Reply({"vllm_config": {"speculative_config": None}}), None),
        (Reply({"vllm_config": "a text"}), None),
        (Reply("<html>"), None),
        # As of every server that was not started for development.
        (None, None),
    ],
)
def test_vllm(wire_to: WireTo, reply: Reply | None, method: str | None) -> None:
    with serving(lambda path, _: reply if path == CONFIG else None) as stub:
        assert method_of(wire_to(stub.url)) == method


@pytest.mark.parametrize(
    ("name", "method"),
    [("llamacpp-tiny-greedy-draft", "draft_model"), ("llamacpp-sampled-seed-ngram", "ngram")],
)
def test_llamacpp_says_it_in_each_answer(name: str, method: str) -> None:
    settings = exchange(name)["response"]["generation_settings"]
    assert METHODS[settings["speculative.types"]] == method


class Developed(FakeVllm):
    """Started for development: it tells its configuration."""

    def __call__(self, path: str, body: Any) -> Reply | None:
        if path == CONFIG:
            return Reply({"vllm_config": {"speculative_config": {"method": "mtp"}}})
        return super().__call__(path, body)


def test_it_is_what_advise_needs(engine_at: Opened) -> None:
    with serving(Developed()) as stub:
        told = engine_at(stub.url).capabilities
    assert told.method == "mtp"
    route = Route(
        workload="code",
        decision="enable",
        enabled=True,
        arm="candidate",
        pair="org/model",
        num_speculative_tokens=told.num_speculative_tokens,
        drafter=told.drafter,
        baseline="target",
        reasons=(),
        prompts=9,
        method=told.method,
    )
    settings = engine_settings(route)
    assert json.loads(settings["vllm"].split("'")[1])["method"] == "mtp"


def test_where_it_is_not_told_it_can_be_said(engine_at: Opened) -> None:
    with serving(FakeVllm()) as stub:
        assert engine_at(stub.url).capabilities.method is None
        assert engine_at(stub.url, method="eagle3").capabilities.method == "eagle3"


def test_plain_decoding_has_no_method(engine_at: Opened) -> None:
    fake = FakeVllm()
    fake.gamma = 0
    with serving(fake) as stub:
        assert engine_at(stub.url, method="ngram").capabilities.method is None
