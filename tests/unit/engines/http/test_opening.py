"""What an engine is told and finds out as it is opened, and what of it is written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.engine import UNTOLD
from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.generation import DraftCounts, Request
from equivcheck.engines.http.counters import Counters, contradiction, parse
from equivcheck.engines.http.dialect import ServerCapabilities
from equivcheck.engines.http.engine import HttpEngine
from equivcheck.engines.http.find import find_dialect
from equivcheck.engines.http.fit import misfit
from equivcheck.engines.http.options import HttpOptions, base_url, key_of
from equivcheck.engines.http.wire import Wire

from .stub import FakeVllm, Reply, exchange, serving

Opened = Callable[..., HttpEngine]
REQUEST = Request(key="a", prompt_ids=(5, 6), max_new_tokens=4)
TOLD = ServerCapabilities(versions={}, gamma=0, counts=False)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
def test_a_url_may_end_as_users_write_it(path: str) -> None:
    assert base_url(f"http://127.0.0.1:8000{path}") == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "http://", "ftp://h", "http://u:pw@h", "http://h?key=pw", "http://h:x"],
)
def test_a_url_with_a_secret_or_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        base_url(url)
    assert "pw" not in str(refused.value)


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    options = HttpOptions(url="http://h", key_env="SOME_KEY")
    with pytest.raises(SettingsError, match="SOME_KEY is not set"):
        key_of(options)
    monkeypatch.setenv("SOME_KEY", "s3cret\n")
    assert key_of(options) == "s3cret"
    assert key_of(HttpOptions(url="http://h")) is None


def test_what_is_written_down(engine_at: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "s3cret")
    with serving(FakeVllm()) as stub:
        told = engine_at(f"{stub.url}/v1", key_env="SOME_KEY", batch=2).capabilities
        assert told.engine.startswith(f"http:url={stub.url},dialect=vllm,key_env=SOME_KEY,batch=2")
    assert b"s3cret" not in msgspec.json.encode(told)
    assert (told.batch_size, told.num_speculative_tokens, told.rule) == (2, 4, "rejection")
    assert told.reports_counts
    assert not told.reports_steps
    assert told.versions["vllm"] == "0.32.0"


def test_a_dtype_is_what_the_user_says_and_nothing_else(engine_at: Opened) -> None:
    with serving(FakeVllm()) as stub:
        assert engine_at(stub.url).capabilities.dtype == UNTOLD
        told = engine_at(stub.url, dtype="float32", batch=1).capabilities
        assert (told.dtype, told.steady_company) == ("float32", True)
        assert not engine_at(stub.url).capabilities.steady_company
        with pytest.raises(SettingsError, match=r"setup\.dtype is float32; say --dtype bfloat16"):
            engine_at(stub.url, dtype="bfloat16")


class Silent(FakeVllm):
    """Speculates, and says so in its counters only."""

    def metrics(self) -> str:
        slots = "\n".join(
            f'vllm:spec_decode_num_accepted_tokens_per_pos_total{{position="{slot}"}} 0.0'
            for slot in range(self.gamma)
        )
        return f"{super().metrics()}\n{slots}"

    def complete(self, body: Any) -> Reply:
        reply = super().complete(body)
        del reply.body["metrics"]
        return reply


def test_without_counts_a_request_the_counters_are_read(engine_at: Opened) -> None:
    with serving(Silent()) as stub:
        engine = engine_at(stub.url, batch=1)
        assert engine.capabilities.num_speculative_tokens == 4
        assert engine.capabilities.reports_counts
        [answer] = engine.generate([REQUEST])
    assert answer.counts == DraftCounts(
        drafted=8, accepted=2, steps=2, accepted_by_slot=(0, 0, 0, 0)
    )


def test_in_company_they_say_nothing_of_one_request(engine_at: Opened) -> None:
    with serving(Silent()) as stub:
        engine = engine_at(stub.url, batch=2)
        assert not engine.capabilities.reports_counts
        [answer] = engine.generate([REQUEST])
    assert answer.counts is None


def pages(found: dict[str, Any]) -> Callable[[str, Any], Reply | None]:
    return lambda path, _: Reply(found[path]) if path in found else None


@pytest.mark.parametrize(
    ("found", "dialect"),
    [
        ({"/v1/models": exchange("vllm-models")["response"]}, "vllm"),
        ({"/v1/models": {"data": [{"id": "m", "owned_by": "sglang"}]}}, "sglang"),
        ({"/v1/models": {"data": [{"id": "m", "owned_by": "tensorrt_llm"}]}}, "tensorrt-llm"),
        ({"/v1/models": {"data": [{"id": "m", "owned_by": "somebody"}]}}, "openai"),
        ({"/props": exchange("llamacpp-props")["response"]}, "llamacpp"),
        ({"/get_server_info": {"model_path": "x"}}, "sglang"),
    ],
)
def test_a_dialect_is_found_by_asking(
    wire_to: Callable[..., Wire], found: dict[str, Any], dialect: str
) -> None:
    with serving(pages(found)) as stub:
        assert find_dialect(wire_to(stub.url)) == dialect


def test_a_stranger_is_no_server(wire_to: Callable[..., Wire]) -> None:
    with (
        serving(pages({"/": "hello", "/v1/models": "garbage"})) as stub,
        pytest.raises(EngineError, match="no server that is known answers here"),
    ):
        find_dialect(wire_to(stub.url))


def test_a_model_is_named_where_there_are_several(engine_at: Opened) -> None:
    class Two(FakeVllm):
        def __call__(self, path: str, body: Any) -> Reply | None:
            if path == "/v1/models":
                cards = [{"id": name, "owned_by": "vllm"} for name in ("first", "second")]
                return Reply({"data": cards})
            return super().__call__(path, body)

    with serving(Two()) as stub:
        with pytest.raises(
            EngineError, match="say which model with model=NAME; there are: first, second"
        ):
            engine_at(stub.url)
        with pytest.raises(EngineError, match="did you mean 'first'"):
            engine_at(stub.url, model="frist")
        assert engine_at(stub.url, model="second").capabilities.versions["model"] == "second"


def test_counters_are_added_up_over_labels() -> None:
    found = parse(exchange("vllm-metrics")["response"])
    assert found == Counters(22, 84, 0, (0, 0, 0, 0))
    twice = parse("\n".join([exchange("vllm-metrics")["response"]] * 2))
    assert twice == Counters(44, 168, 0, (0, 0, 0, 0))
    assert parse(exchange("llamacpp-metrics")["response"]) == Counters(
        656, 2501, 129, (96, 25, 7, 1)
    )
    assert parse("# nothing\nvllm:num_requests 3.0") is None


def test_a_server_may_have_counted_more_and_never_less() -> None:
    told = [DraftCounts(drafted=8, accepted=3), None, DraftCounts(drafted=4, accepted=1)]
    assert contradiction(told, Counters(3, 12, 4, ())) is None
    assert contradiction(told, Counters(9, 40, 9, ())) is None
    assert "12 tokens were drafted, and its counters rose by 11" in str(
        contradiction(told, Counters(3, 11, 4, ()))
    )


@pytest.mark.parametrize(
    ("told", "more", "why"),
    [
        ({"refuses": ("min_p",)}, {"sampling": Sampling(min_p=0.1)}, "not serve min_p"),
        ({"refuses": ("ignore_eos",)}, {"ignore_eos": True}, "not serve ignore_eos"),
        ({"refuses": ("stop",)}, {"stop": ("x",)}, "not serve stop"),
        (
            {"ranges": {"top_p": (0.5, 1.0)}},
            {"sampling": Sampling(top_p=0.4)},
            "not serve top_p=0.4",
        ),
        (
            {"ranges": {"logit_bias": (-1.0, 1.0)}},
            {"sampling": Sampling(logit_bias={1: 2.0})},
            "not serve logit_bias=2",
        ),
        ({"context": 5}, {}, "prompt and output need 6 positions of 5"),
        ({"sampled": False}, {"sampling": Sampling(temperature=1.0)}, "not serve temperature"),
        ({}, {"prompt_ids": (1, 99)}, "token id 99 is outside the vocabulary of 50"),
        ({}, {"prompt_ids": ()}, "its prompt is empty"),
    ],
)
def test_what_a_server_lacks_is_not_asked(
    told: dict[str, Any], more: dict[str, Any], why: str
) -> None:
    request = msgspec.structs.replace(REQUEST, **more)
    found = misfit(request, msgspec.structs.replace(TOLD, **told), vocab=50)
    assert found is not None
    assert why in found


def test_what_asks_for_nothing_is_refused_by_nobody() -> None:
    told = msgspec.structs.replace(TOLD, refuses=("min_p", "stop"), context=6)
    assert misfit(REQUEST, told, vocab=50) is None
