"""Engine `http` over several replicas of one server: requests are spread, and the dead left out.

A request goes to the replica that the hash of its key names; a prompt that goes on from an earlier
one, as a later turn of a session does, goes where that went. Replicas have to say the same of
themselves. Whether they answer the same is for the check ``replicas`` to say.
"""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from queue import SimpleQueue
from threading import Event, Thread
from typing import NamedTuple

from msgspec.structs import replace

from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError, EngineGoneError, SettingsError
from equivcheck.core.escape import visible
from equivcheck.core.generation import ROUND_MARK, Generation, Request
from equivcheck.core.serving import TimedAnswer
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.http.engine import HttpEngine
from equivcheck.engines.http.options import HttpOptions
from equivcheck.engines.http.wire import BrokeError
from equivcheck.engines.naming import EngineSpec, urls_of

LOG = logging.getLogger(__name__)
MAY_DIFFER = {"engine": "", "batch_size": 1, "notes": (), "serves": False}
"""Fields of capabilities in which replicas may differ."""


class ReplicaResult(NamedTuple):
    """What came of a replica: an answer, the reason why there is no more, or its end."""

    url: str
    found: Generation | EngineError | None


def open_fleet(options: HttpOptions, setup: EngineSetup) -> FleetEngine:
    """Open an engine for each replica that can be reached.

    Raises:
        SettingsError: a URL is given twice, or replicas say different things of themselves.
        EngineError: one cannot be used, or none can be reached.
    """
    urls = urls_of(options.url)
    if len(set(urls)) < len(urls):
        raise SettingsError("http: url: a replica is given twice")
    engines: dict[str, HttpEngine] = {}
    try:
        for url in urls:
            try:
                engines[url] = HttpEngine(replace(options, url=url), setup)
            except (EngineGoneError, BrokeError) as error:
                LOG.warning("replica %s is left out: %s", visible(url), visible(str(error)))
                last: EngineError = error
        if not engines:
            raise EngineGoneError(f"none of {len(urls)} replicas can be reached; the last: {last}")
        _refuse_different(engines)
    except BaseException:
        for engine in engines.values():
            engine.close()
        raise
    return FleetEngine(urls, engines)


def _refuse_different(engines: Mapping[str, HttpEngine]) -> None:
    (first, wanted), *others = (
        (url, replace(engine.capabilities, **MAY_DIFFER)) for url, engine in engines.items()
    )
    for url, found in others:
        for name in found.__struct_fields__:
            one, other = getattr(wanted, name), getattr(found, name)
            if one != other:
                raise SettingsError(
                    f"replicas differ: {name} is {visible(str(one))} at {visible(first)} and "
                    f"{visible(str(other))} at {visible(url)}"
                )


class FleetEngine:
    """Replicas of one server under the engine protocol."""

    def __init__(self, urls: Sequence[str], engines: Mapping[str, HttpEngine]) -> None:
        """Take over the engines of the replicas that can be reached.

        Args:
            urls: Of all replicas, in the order that decides where requests go.
            engines: By URL.
        """
        self.urls, self.engines = tuple(urls), dict(engines)
        self.gone: set[str] = set(urls) - set(engines)
        self._places: dict[bytes, str] = {}
        """sha256 of each prompt that was asked to the replica it went to."""
        self._lengths: set[int] = set()

    @property
    def capabilities(self) -> Capabilities:
        """What all replicas say; several requests are under way at each."""
        every = [engine.capabilities for engine in self.engines.values()]
        first = next(iter(self.engines.values()))
        options = first.in_force | {"url": "+".join(self.urls)}
        return replace(
            every[0],
            engine=str(EngineSpec(name="http", options=options)),
            batch_size=sum(told.batch_size for told in every),
            steady_company=False,
            serves=False,
            notes=(*every[0].notes, f"{len(self.urls)} replicas"),
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Ask all replicas at once, and give each answer as it comes.

        What a replica has not answered when it dies or breaks is asked of the others.

        Raises:
            EngineError: of the first request that cannot be served, or that was not.
            EngineGoneError: no replica is left.
        """
        waiting = {request.key: request for request in requests}
        tried: dict[str, set[str]] = {request.key: set() for request in requests}
        problems: list[EngineError] = []
        failed = False
        while waiting:
            shares: dict[str, list[Request]] = {}
            for request in waiting.values():
                url = self.place_of(request, but=tried[request.key])
                shares.setdefault(url, []).append(request)
            for came in self._ask(shares):
                if isinstance(came.found, Generation):
                    if waiting.pop(came.found.key, None):
                        yield came.found
                elif isinstance(came.found, EngineGoneError):
                    self.leave_out(came.url, came.found)
                elif came.found is not None:
                    problems.append(came.found)
                    for request in shares[came.url]:
                        tried[request.key].add(came.url)
            for key in [key for key in waiting if tried[key] >= self.alive]:
                del waiting[key]
                failed = True
        if failed:
            raise problems[0]

    @property
    def alive(self) -> set[str]:
        """URLs of the replicas that are asked."""
        return set(self.urls) - self.gone

    def ask_timed(self, request: Request) -> TimedAnswer:
        """One answer of its replica and when its tokens came.

        Raises:
            EngineError, EngineGoneError: as an engine of one server does.
        """
        while True:
            url = self.place_of(request)
            try:
                return self.engines[url].ask_timed(request)
            except EngineGoneError as error:
                self.leave_out(url, error)

    def place_of(self, request: Request, *, but: Collection[str] = ()) -> str:
        """The URL of the replica that answers a request.

        Rendezvous hashing: where a replica dies, only its own requests go elsewhere.

        Args:
            request: Any.
            but: Replicas that have broken on it; another is alive.
        """
        alive = self.alive.difference(but)
        longest = self._went_before(request.prompt_ids)
        if longest in alive:
            url = str(longest)
        else:
            case = request.key.partition(ROUND_MARK)[0]
            url = max(alive, key=lambda url: hashlib.sha256(f"{url} {case}".encode()).digest())
        [digest] = _digests(request.prompt_ids, [len(request.prompt_ids)])
        if self._places.get(digest) not in alive:
            self._places[digest] = url
        self._lengths.add(len(request.prompt_ids))
        return url

    def _went_before(self, ids: Sequence[int]) -> str | None:
        """Where the longest earlier prompt went that this one goes on from; None: there is none."""
        shorter = sorted(length for length in self._lengths if length < len(ids))
        found = [self._places[each] for each in _digests(ids, shorter) if each in self._places]
        return found[-1] if found else None

    def leave_out(self, url: str, why: EngineGoneError) -> None:
        """Ask a replica no more, and say so.

        Raises:
            EngineGoneError: it was the last.
        """
        if url not in self.gone:
            self.gone.add(url)
            LOG.warning("replica %s is left out: %s", visible(url), visible(str(why)))
        if len(self.gone) == len(self.urls):
            raise EngineGoneError(f"none of {len(self.urls)} replicas is left; the last: {why}")

    def close(self) -> None:
        """Break off what is being asked. The servers go on running."""
        for engine in self.engines.values():
            engine.close()

    def _ask(self, shares: Mapping[str, Sequence[Request]]) -> Iterator[ReplicaResult]:
        """What comes of each replica, asked for its share, as it comes."""
        came: SimpleQueue[ReplicaResult | BaseException] = SimpleQueue()
        stopped = Event()

        def ask(url: str) -> None:
            answers = self.engines[url].generate(shares[url])
            try:
                for answer in answers:
                    came.put(ReplicaResult(url, answer))
                    if stopped.is_set():
                        return
            except EngineError as error:
                came.put(ReplicaResult(url, error))
            # Whatever else it is belongs to the thread that asked.
            except BaseException as error:
                came.put(error)
            finally:
                came.put(ReplicaResult(url, None))

        threads = [Thread(target=ask, args=(url,), daemon=True) for url in shares]
        for thread in threads:
            thread.start()
        ended = 0
        try:
            while ended < len(threads):
                found = came.get()
                if isinstance(found, BaseException):
                    raise found
                ended += found.found is None
                yield found
        finally:
            stopped.set()


def _digests(ids: Sequence[int], lengths: Sequence[int]) -> Iterator[bytes]:
    """sha256 of the beginnings of these lengths, which ascend."""
    told, digest, start = array("q", ids).tobytes(), hashlib.sha256(), 0
    for length in lengths:
        digest.update(told[8 * start : 8 * length])
        yield digest.digest()
        start = length
