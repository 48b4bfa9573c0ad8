"""Engine `http`: a server that is running, by its URL, under the engine protocol.

As many requests are under way at once as a batch has. Which model the server has is asked again
behind each answer, before the answer is given: another one ends the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, TypeVar

import msgspec

from equivcheck.core.detokenise import detokeniser
from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError, EngineGoneError, SettingsError
from equivcheck.core.escape import visible
from equivcheck.core.generation import DraftCounts, Generation, Request
from equivcheck.core.serving import ServingLimits, TimedAnswer
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.http.counters import Counters, compare_counts, read_counters
from equivcheck.engines.http.dialect import PairWords, ServerOptions, StreamingDialect
from equivcheck.engines.http.find import DIALECTS, find_dialect
from equivcheck.engines.http.fit import misfit
from equivcheck.engines.http.options import HttpOptions, base_url, dtype_of, key_of
from equivcheck.engines.http.service import HttpService
from equivcheck.engines.http.wire import BrokeError, Wire
from equivcheck.engines.naming import EngineSpec, urls_of
from equivcheck.engines.registry import decode_options
from equivcheck.pairs.files import locate_pair

if TYPE_CHECKING:
    from equivcheck.engines.http.fleet import FleetEngine

Answer = TypeVar("Answer")
BROKEN_IN_A_ROW = 3
"""Requests that a server may break on, one after the other, before it is given up."""


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> HttpEngine | FleetEngine:
    """Ask the server, or every replica, what it is and open the engine.

    Raises:
        SettingsError: an option is unknown or out of range, or the key is not in the environment.
        EngineError: the server cannot be reached or used.
        PairError: the pair cannot be had.
    """
    read = decode_options("http", options, HttpOptions)
    if len(urls_of(read.url)) > 1:
        from equivcheck.engines.http.fleet import open_fleet

        return open_fleet(read, setup)
    return HttpEngine(read, setup)


class HttpEngine:
    """A server under the engine protocol."""

    def __init__(self, options: HttpOptions, setup: EngineSetup) -> None:
        """Find out dialect, model and what the server tells; no weights are loaded."""
        self.dtype = dtype_of(options, setup)
        files = locate_pair(setup.pair, weights=False)
        self.options, self.setup, self.files = options, setup, files
        self.wire = Wire(
            url=base_url(options.url),
            key=key_of(options),
            seconds=options.timeout,
            retries=options.retries,
        )
        words = PairWords(
            files.eos_token_ids,
            files.vocab_size,
            detokeniser(files.tokenizer),
            files.tokenizer.convert_ids_to_tokens,
            files.tokenizer,
        )
        asked = ServerOptions(
            options.model,
            options.gamma,
            options.rule,
            stream=options.stream,
            text=options.text,
            chat=options.chat,
        )
        try:
            self.name = options.dialect or find_dialect(self.wire)
            self.dialect = DIALECTS[self.name](self.wire, words, asked)
            if options.stream and self.name != "vllm":
                raise SettingsError(f"{self.wire.url}: stream is of vLLM's dialect alone")
            for name in ("text", "chat"):
                if getattr(options, name) and self.name != "openai":
                    raise SettingsError(f"{self.wire.url}: {name}=true needs dialect=openai")
            self.told = self.dialect.open()
            if options.dtype and self.told.quantised:
                raise SettingsError(
                    f"{self.wire.url}: its weights are {visible(self.told.quantised)}, so what its "
                    f"arithmetic may do follows from no dtype; leave out dtype={options.dtype}"
                )
            self.identity = self.dialect.identity()
            self.counted = read_counters(self.wire) is not None
        except BaseException:
            self.wire.close()
            raise
        self.width = options.batch or setup.batch_size
        self.service: HttpService | None = None
        self.broken: set[str] = set()

    @property
    def capabilities(self) -> Capabilities:
        """What the server is, as far as it says."""
        told = self.told
        return Capabilities(
            engine=str(EngineSpec(name="http", options=self.in_force)),
            device="not told",
            dtype=self.dtype,
            steady_company=self.width == 1,
            batch_size=min(self.width, told.slots or self.width),
            num_speculative_tokens=told.gamma,
            rule=told.rule,
            method=(told.method or self.options.method) if told.gamma else None,
            lossy=told.lossy,
            text_alone=told.text_alone,
            sampled=told.sampled,
            reports_counts=told.counts or self.counts_alone,
            serves=True,
            refuses=told.refuses,
            ranges=told.ranges,
            versions=told.versions,
            notes=(
                f"the server does not say its dtype: {self.setup.dtype} is assumed",
                *told.notes,
            ),
        )

    @property
    def in_force(self) -> dict[str, str]:
        """The options that build this engine again."""
        given = msgspec.to_builtins(self.options, str_keys=True)
        plain = msgspec.to_builtins(HttpOptions(url=""))
        kept = {name: str(each) for name, each in given.items() if each != plain[name]}
        return {"url": self.wire.url, "dialect": self.name} | kept | {"url": self.wire.url}

    @property
    def counts_alone(self) -> bool:
        """Whether a request's drafts can be read off the server's counters: it is asked alone."""
        return self.counted and self.told.gamma > 0 and self.width == 1 and not self.told.counts

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Ask for all at once, and give each answer as it comes; errors come behind the answers.

        Raises:
            EngineError: of the first request that cannot be served, or that was not.
            EngineGoneError: the server is gone, or has another model.
        """
        problems = [wrong for each in requests if (wrong := self.refusal(each))]
        fitting = [each for each in requests if not self.refusal(each)]
        before = self.counters()
        held: Generation | None = None
        counts: list[DraftCounts | None] = []
        for found in self.ask_all(fitting):
            if isinstance(found, EngineError):
                problems.insert(0 if isinstance(found, EngineGoneError) else len(problems), found)
                continue
            if held is not None:
                yield held
            held = found
            counts.append(found.counts)
        gone = bool(problems) and isinstance(problems[0], EngineGoneError)
        # The last answer is held back until the counters are known to bear all of them out.
        if not gone and before is not None:
            self.compare(before, counts)
        if held is not None:
            yield held
        if problems:
            raise problems[0]

    def refusal(self, request: Request) -> EngineError | None:
        """Why a request cannot be served as asked; None: as far as is known, it can."""
        wrong = misfit(request, self.told, vocab=self.files.vocab_size)
        told = f"http: cannot serve {visible(request.key)}: {self.name}: {wrong}"
        return None if wrong is None else EngineError(told)

    def serve(self, limits: ServingLimits) -> HttpService:
        """The server as a service; what it keeps is its own affair, so `limits` are not heeded."""
        if self.service is not None:
            self.service.close()
        self.service = HttpService(self.dialect, refusal=self.refusal, confirm=self.confirm)
        return self.service

    def close(self) -> None:
        """Break off what is being asked. The server goes on running."""
        if self.service is not None:
            self.service.close()
        self.wire.close()

    def ask_all(self, requests: Sequence[Request]) -> Iterator[Generation | EngineError]:
        """Answers, or what kept them away, as they come. Once the server is gone, no more is asked.

        Where the caller stops early, what is under way is broken off with the wire.
        """
        pool = ThreadPoolExecutor(max_workers=self.width)
        futures: list[Future[Generation]] = [pool.submit(self.ask, each) for each in requests]
        try:
            for future in as_completed(futures):
                if future.cancelled():
                    continue
                error = future.exception()
                if isinstance(error, EngineGoneError):
                    for waiting in futures:
                        waiting.cancel()
                if error is None:
                    yield future.result()
                elif isinstance(error, EngineError):
                    yield error
                else:
                    raise error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def ask(self, request: Request) -> Generation:
        """One answer, by the model that was there when the engine was opened.

        Raises:
            EngineError: there is none that can be used.
            EngineGoneError: the server is gone, has another model, or breaks on everything.
        """
        before = self.counters() if self.counts_alone else None
        answer = self.unbroken(self.dialect.answer, request)
        self.confirm()
        if before is None:
            return answer
        after = self.counters()
        if after is None or min(after.since(before)[:3]) < 0:
            raise EngineGoneError(f"{self.wire.url}: its counters went back: was it restarted?")
        return msgspec.structs.replace(answer, counts=after.since(before).counts)

    def ask_timed(self, request: Request) -> TimedAnswer:
        """One answer and when its tokens came; where the dialect does not stream, its end alone.

        Raises:
            EngineError, EngineGoneError: as `ask` does, and where the server cannot serve it.
        """
        if wrong := misfit(request, self.told, vocab=self.files.vocab_size):
            raise EngineError(f"http: cannot serve {visible(request.key)}: {self.name}: {wrong}")
        if isinstance(self.dialect, StreamingDialect):
            found = self.unbroken(self.dialect.answer_timed, request)
        else:
            answer = self.unbroken(self.dialect.answer, request)
            found = TimedAnswer(answer, (), time.perf_counter())
        self.confirm()
        return found

    def unbroken(self, put: Callable[[Request], Answer], request: Request) -> Answer:
        """What a dialect gives; several requests in a row that a server breaks on are its end."""
        try:
            answer = put(request)
        except BrokeError as error:
            self.broken.add(request.key)
            if len(self.broken) >= BROKEN_IN_A_ROW:
                told = f"broke on {len(self.broken)} requests in a row; the last: {error}"
                raise EngineGoneError(f"{self.wire.url}: {told}") from error
            raise
        self.broken.clear()
        return answer

    def confirm(self) -> None:
        """See that the server still has the model that it had.

        Raises:
            EngineGoneError: it has another, or does not say any more.
        """
        try:
            now = self.dialect.identity()
        except EngineGoneError:
            raise
        except EngineError as error:
            raise EngineGoneError(str(error)) from error
        for name, was in self.identity.items():
            if now[name] != was:
                raise EngineGoneError(
                    f"{self.wire.url}: has another model since the run began: its {name} is "
                    f"{visible(now[name])}, and was {visible(was)}; start the old one again and "
                    f"resume, or begin anew"
                )

    def counters(self) -> Counters | None:
        """The server's counters of drafts, where it has any and speculates."""
        return read_counters(self.wire) if self.counted and self.told.gamma else None

    def compare(self, before: Counters, counts: Sequence[DraftCounts | None]) -> None:
        """Compare what answers say of their drafts with what the server counted meanwhile."""
        compare_counts(self.counters, before, counts, url=self.wire.url)
