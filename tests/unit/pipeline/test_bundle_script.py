"""The parts of a bundle's script that need no model."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from scipy.stats import binom

from equivcheck.pipeline.bundle_script import script
from equivcheck.pipeline.repeating import repeat
from equivcheck.pipeline.repeating.answers import RepeatedAnswer, stream_seed
from equivcheck.pipeline.repeating.asking import opened
from equivcheck.pipeline.repeating.counting import threshold


def test_the_script_is_one_file_that_imports_nothing_of_ours_at_first() -> None:
    text = script()
    compile(text, "repeat.py", "exec")
    assert "equivcheck.pipeline" not in text
    assert not [line for line in text.splitlines() if line.startswith(("import eq", "from eq"))]


def test_an_answer_that_changes_is_found_and_one_that_does_not_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = {"key": "a", "requests": [{"key": "a"}, {"key": "b"}], "exact": True}
    assert (
        repeat.repeat_again(
            facts, lambda batch: {each["key"]: RepeatedAnswer([1, 2]) for each in batch}
        )
        == 0
    )
    # Depends on who stands beside it.
    assert repeat.repeat_again(
        facts, lambda batch: {each["key"]: RepeatedAnswer([len(batch)]) for each in batch}
    )
    assert "a parts at output token 0, counted from 0\n  alone: [1]" in capsys.readouterr().out


@pytest.mark.parametrize("dialect", ["vllm", "llamacpp"])
def test_servers_are_asked_by_http(dialect: str) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply({"data": [{"id": "m"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, body))
            ids = [*body["prompt"], 7]
            self.reply(
                {"tokens": ids} if "n_predict" in body else {"choices": [{"token_ids": ids}]}
            )

        def reply(self, data: object) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(data).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    request = {"key": "a", "prompt_ids": [1, 2], "max_new_tokens": 3, "seed": 2**32 - 1}
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        spec = f"http:url=http://127.0.0.1:{server.server_port}/v1,dialect={dialect}"
        answers = opened(spec, {"eos_token_ids": [0]})(
            [request, request | {"key": "b", "prompt_ids": [5]}]
        )
        server.shutdown()
    assert answers == {"a": RepeatedAnswer([1, 2, 7]), "b": RepeatedAnswer([5, 7])}
    path, body = min(seen, key=lambda each: -len(each[1]["prompt"]))
    assert path == {"vllm": "/v1/completions", "llamacpp": "/completion"}[dialect]
    assert (body["temperature"], body["top_p"], body["seed"]) == (
        0.0,
        1.0,
        stream_seed(request) % 2**31,
    )
    assert body["top_k"] == {"vllm": -1, "llamacpp": 0}[dialect]


def test_the_threshold_is_the_least_count_that_chance_reaches_so_rarely() -> None:
    for tokens, share in ((500, 0.1), (4000, 0.02), (1000, 0.98)):
        least = threshold(tokens, share)
        assert binom.sf(least - 1, tokens, share) <= 1e-6 < binom.sf(least - 2, tokens, share)
