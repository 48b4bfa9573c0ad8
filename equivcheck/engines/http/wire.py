"""Asks a server over HTTP: within time limits, and again where it is busy or broke.

What 429, a 5xx status or a broken connection mean is decided here; any other status is the caller's
to read. A key goes into the request's header and nowhere else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from socket import SHUT_RDWR
from typing import Any, NamedTuple

import httpx
import msgspec

from equivcheck.core.errors import EngineError, EngineGoneError, describe
from equivcheck.core.escape import head

LOG = logging.getLogger(__name__)
BUSY = 429
CONNECT_SECONDS = 10.0
FIRST_WAIT = 0.5
"""Seconds before the first repetition; each wait is twice the one before."""
LONGEST_WAIT = 60.0
"""Seconds that a server may ask to be left alone."""
MOST_BYTES = 64 * 2**20
"""Most bytes of one answer."""
LOCAL = ("127.0.0.1", "localhost", "::1")


class BrokeError(EngineError):
    """The server broke on a request, however often it was asked."""


class AwayError(EngineGoneError):
    """Nobody answers at the server's address."""


class Reply(NamedTuple):
    """What a server answered."""

    status: int
    body: bytes
    seconds: float
    """From the request that was answered to its last byte; waits before it are left out."""
    received: tuple[tuple[float, int], ...] = ()
    """Moment of `time.perf_counter` and bytes of the body that were here by then, in order."""


class Wire:
    """A connection to one server; threads may share it."""

    def __init__(self, *, url: str, key: str | None, seconds: float, retries: int) -> None:
        """Open no connection yet.

        Args:
            url: Without a slash at its end.
            key: Sent as a bearer token.
            seconds: Most that one answer may take.
            retries: How often a request is repeated where the server is busy or broke.
        """
        self.url, self.key, self.seconds, self.retries = url, key, seconds, retries
        self.repeated = 0
        self._streams: deque[Any] = deque(maxlen=4)
        """Streams of the connections that it opened last."""
        self._closed = threading.Event()
        self._client = httpx.Client(
            headers={} if key is None else {"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)),
            limits=httpx.Limits(max_connections=None),
            # A proxy from the environment is for the world outside.
            trust_env=httpx.URL(url).host not in LOCAL,
        )

    def get(self, path: str) -> Reply:
        """Ask for a page.

        Raises:
            BrokeError, EngineGoneError: as for `post`.
        """
        return self._ask(path, content=None)

    def post(self, path: str, body: Any) -> Reply:
        """Put a request.

        Raises:
            BrokeError: the server broke on it, every time.
            EngineGoneError: the server is not there, too busy, or silent for too long.
        """
        return self._ask(path, content=msgspec.json.encode(body))

    def another(self) -> Wire:
        """A wire to the same server, with connections of its own."""
        return Wire(url=self.url, key=self.key, seconds=self.seconds, retries=self.retries)

    def break_off(self) -> None:
        """Close its connections under whoever reads from them, so that the server sees it go.

        To close a socket that another thread reads from tells the server nothing.
        """
        self._closed.set()
        for stream in self._streams:
            socket = stream.get_extra_info("socket")
            if socket is not None:
                # It may have been closed by now.
                with suppress(OSError):
                    socket.shutdown(SHUT_RDWR)

    def close(self) -> None:
        """Break off what is being asked."""
        self._closed.set()
        self._client.close()
        if self.repeated:
            LOG.warning("%s: %d repetitions, as it was busy or broke", self.url, self.repeated)

    def said(self, reply: Reply) -> str:
        """What a reply that is no answer says, in one visible line without the key."""
        text = reply.body[:4096].decode("utf-8", "replace")
        try:
            found = msgspec.json.decode(reply.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = None
        if isinstance(found, dict):
            inner = found.get("error", found)
            told = inner.get("message") if isinstance(inner, dict) else inner
            text = told if isinstance(told, str) else text
        return f"status {reply.status}: {head(self._without_key(text.strip()), cells=240)}"

    def _ask(self, path: str, *, content: bytes | None) -> Reply:
        wait = FIRST_WAIT
        pause: float | None = None
        for attempt in range(self.retries + 1):
            if attempt:
                self.repeated += 1
                self._closed.wait(wait if pause is None else pause)
                wait *= 2
            try:
                reply, pause = self._once(path, content=content)
            except EngineError as error:
                if self._closed.is_set() or not isinstance(error, (AwayError, BrokeError)):
                    raise
                last: EngineError = error
                pause = None
                continue
            if not _may_be_repeated(reply.status):
                return reply
            kind = EngineGoneError if reply.status == BUSY else BrokeError
            last = kind(f"{self.url}{path}: {self.said(reply)}")
        raise type(last)(f"{last} (asked {self.retries + 1} times)")

    def _once(self, path: str, *, content: bytes | None) -> tuple[Reply, float | None]:
        """Ask once; the reply, and how long the server wants to be left alone."""
        started = time.perf_counter()
        method = "GET" if content is None else "POST"
        headers = {} if content is None else {"Content-Type": "application/json"}
        body = bytearray()
        received: list[tuple[float, int]] = []
        try:
            with self._client.stream(
                method,
                f"{self.url}{path}",
                content=content,
                headers=headers,
                extensions={"trace": self._opened},
            ) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    received.append((time.perf_counter(), len(body)))
                    if len(body) > MOST_BYTES:
                        told = f"an answer of more than {MOST_BYTES:,} bytes"
                        raise EngineError(f"{self.url}{path}: {told}")
                    if time.perf_counter() - started > self.seconds:
                        raise self._silent(path)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise AwayError(f"{self.url}: cannot be reached: {self._shown(error)}") from error
        except httpx.TimeoutException as error:
            raise self._silent(path) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            told = f"broke off its answer: {self._shown(error)}"
            raise BrokeError(f"{self.url}{path}: {told}") from error
        except RuntimeError as error:  # of httpx, where the client was closed by another thread
            raise EngineGoneError(f"{self.url}: closed while it was asked") from error
        seconds = time.perf_counter() - started
        reply = Reply(response.status_code, bytes(body), seconds, tuple(received))
        return reply, self._asked_to_wait(response)

    def _opened(self, event: str, info: Mapping[str, Any]) -> None:
        """Told by httpx what it does: keep the connections that it opens."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._streams.append(info["return_value"])
            if self._closed.is_set():
                self.break_off()

    def _asked_to_wait(self, response: httpx.Response) -> float | None:
        told = response.headers.get("Retry-After")
        if told is None or not _may_be_repeated(response.status_code):
            return None
        try:
            seconds = float(told)
        except ValueError:
            try:
                seconds = parsedate_to_datetime(told).timestamp() - time.time()
            except ValueError:
                return None
        if seconds > LONGEST_WAIT:
            raise EngineGoneError(
                f"{self.url}: asks to be left alone for {seconds:.0f} s; resume the run then"
            )
        return max(0.0, seconds)

    def _silent(self, path: str) -> EngineGoneError:
        return EngineGoneError(
            f"{self.url}{path}: no answer within {self.seconds:g} s; say timeout=SECONDS if its "
            f"answers take longer"
        )

    def _shown(self, error: Exception) -> str:
        return head(self._without_key(describe(error)), cells=200)

    def _without_key(self, text: str) -> str:
        return text if self.key is None else text.replace(self.key, "***")


def _may_be_repeated(status: int) -> bool:
    """Whether a status is about the server and not about the request."""
    return status == BUSY or 500 <= status <= 599
