"""A server on 127.0.0.1 that answers as real ones did, or misbehaves as a test says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

EXCHANGES = Path(__file__).parent / "exchanges"
EOS = 2


class Reply(NamedTuple):
    """What a stub answers."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = {}
    cut: int = 0
    """Bytes held back of what was announced, before the connection is closed."""
    after: float = 0.0
    """Seconds before the answer."""
    parts: tuple[str, ...] = ()
    """In place of a body: sent one by one, as they come."""


Handle = Callable[[str, Any], Reply | None]
"""From path and body to the reply; None: no such page."""


def exchange(name: str) -> dict[str, Any]:
    """A recorded exchange."""
    found: dict[str, Any] = json.loads((EXCHANGES / f"{name}.json").read_text())
    return found


class Stub:
    """A server that hands every request to a function, and remembers it."""

    def __init__(self, handle: Handle, *, port: int = 0) -> None:
        self.handle = handle
        self.seen: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body in one packet: otherwise the second waits 40 ms for the first.
            wbufsize = 2**16

            def do_GET(self) -> None:
                self.serve(None)

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                self.serve(json.loads(self.rfile.read(length)))

            def serve(self, body: Any) -> None:
                stub.seen.append((self.path, body))
                stub.headers.append(dict(self.headers.items()))
                reply = stub.handle(self.path, body) or Reply({"error": "no such page"}, 404)
                time.sleep(reply.after)
                if reply.parts:
                    return self.trickle(reply)
                sent = reply.body
                data = sent.encode() if isinstance(sent, str) else json.dumps(sent).encode()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) - reply.cut])
                self.close_connection = self.close_connection or reply.cut > 0

            def trickle(self, reply: Reply) -> None:
                self.send_response(reply.status)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for part in (*reply.parts, ""):
                    data = part.encode()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    self.wfile.flush()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def asked(self, path: str) -> list[Any]:
        """The bodies that one page was asked with."""
        return [body for seen, body in self.seen if seen == path]

    def stop(self) -> None:
        """Close the door."""
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def serving(handle: Handle) -> Iterator[Stub]:
    """A stub for the length of a block."""
    stub = Stub(handle)
    try:
        yield stub
    finally:
        stub.stop()


class FakeVllm:
    """vLLM as far as this package asks it: each prompt is answered with its ids plus one.

    A subclass or a test overrides what is to go wrong.
    """

    gamma = 4
    root = "folder/model"
    fingerprint: str | None = "vllm-0.32.0-ac2bdd67"

    def __init__(self) -> None:
        self.drafted = self.accepted = self.steps = 0
        self.lock = threading.Lock()

    def __call__(self, path: str, body: Any) -> Reply | None:
        if path == "/v1/models":
            card = exchange("vllm-models")["response"]["data"][0]
            return Reply({"object": "list", "data": [card | {"root": self.root}]})
        if path == "/version":
            return Reply(exchange("vllm-version")["response"])
        if path == "/metrics":
            return Reply(self.metrics())
        if path == "/v1/completions":
            return self.complete(body)
        return None

    def metrics(self) -> str:
        names = {"drafts": self.steps, "draft_tokens": self.drafted}
        names["accepted_tokens"] = self.accepted
        lines = [
            f'vllm:spec_decode_num_{name}_total{{engine="0",model_name="m"}} {value}.0'
            for name, value in names.items()
        ]
        return "\n".join(lines)

    def output(self, body: Any) -> list[int]:
        prompt = body["prompt"]
        ids = [(prompt[place % len(prompt)] + 1) % 50 for place in range(body["max_tokens"])]
        ends = [place for place, token in enumerate(ids) if token in body.get("stop_token_ids", ())]
        return ids[: ends[0] + 1] if ends else ids

    def complete(self, body: Any) -> Reply:
        ids = self.output(body)
        stopped = ids[-1] in body.get("stop_token_ids", ())
        accepted, steps = len(ids) // 2, len(ids) - len(ids) // 2
        told = {
            "num_spec_steps": steps,
            "num_draft_tokens": steps * self.gamma,
            "num_accepted_draft_tokens": accepted,
            "num_spec_tokens": self.gamma,
            "acceptance_histogram": [steps - accepted, accepted, 0, 0, 0],
        }
        with self.lock:
            self.steps += steps
            self.drafted += steps * self.gamma
            self.accepted += accepted
        return Reply(
            {
                "choices": [
                    {
                        "index": 0,
                        "text": "",
                        "finish_reason": "stop" if stopped else "length",
                        "stop_reason": ids[-1] if stopped else None,
                        "token_ids": ids,
                        "prompt_token_ids": body["prompt"],
                    }
                ],
                "usage": {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(ids)},
                "system_fingerprint": self.fingerprint,
                "metrics": {"speculative_decoding": told},
            }
        )
