"""A toy engine: answers without a model, and goes wrong where it is told to.

``toy:gamma=2,wrong=bad`` answers another token where a key contains ``bad``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from equivcheck.core.engine import Capabilities
from equivcheck.core.generation import Generation, Request, Step
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import decode_options

FIRST_TOKEN, TOKENS = 300, 100


class ToyOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    gamma: int = 0
    """Tokens drafted a step; even steps accept all of them, odd ones none."""
    wrong: str | None = None
    """Part of the keys to answer wrongly, from the fourth token on, until a file ``mended``."""
    dull: bool = False
    """Accept the drafts of the first step only."""
    shy: bool = False
    """Answer wrongly among neighbours only."""
    interrupt: str | None = None
    """Part of the keys at which Ctrl-C is pressed, until a file ``survive`` is there."""
    crash: str | None = None
    """Part of the keys to raise an error on."""
    kill: str | None = None
    """Part of the keys at which to kill the process, until a file ``survive`` is there."""
    leave: str | None = None
    """Part of the keys at which to leave Python, as if all were well."""
    lacks: str | None = None
    """A parameter that it says it refuses."""
    vanish: str | None = None
    """Part of the keys at which the process ends with exit code 0, until a file ``survive``."""
    hang: str | None = None
    """Part of the keys that it never answers, until a file ``survive`` is there."""
    unopened: bool = False
    """Break while the engine is opened."""
    forgets: Literal["error", "exit"] | None = None
    """Raise an error or leave Python when asked a second time what it is."""
    unclosed: bool = False
    """Break while the engine is closed."""
    empty: str | None = None
    """Part of the keys to answer with no token at all."""
    contract: str | None = "toy"
    log: str | None = None
    """File that gets the key of every request asked."""


class ToyEngine:
    def __init__(self, options: ToyOptions, setup: EngineSetup) -> None:
        self.options, self.setup = options, setup
        self.looks = 0

    @property
    def capabilities(self) -> Capabilities:
        self.looks += 1
        if self.options.forgets and self.looks > 1:
            raise SystemExit(0) if self.options.forgets == "exit" else RuntimeError("no memory")
        return Capabilities(
            engine=f"toy:gamma={self.options.gamma}",
            device="cpu",
            dtype=self.setup.dtype,
            num_speculative_tokens=self.options.gamma,
            reports_steps=True,
            identity=self.options.contract,
            refuses=(self.options.lacks,) if self.options.lacks else (),
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            self._misbehave(request.key)
            wrong = self._hit("wrong", request.key) and not Path("mended").exists()
            if self.options.shy and len(requests) == 1:
                wrong = False
            given = answer(request, gamma=self.options.gamma, wrong=wrong, dull=self.options.dull)
            if self._hit("empty", request.key):
                given = msgspec.structs.replace(given, token_ids=(), steps=())
            yield given

    def close(self) -> None:
        if self.options.unclosed:
            raise RuntimeError("device lost")

    def _misbehave(self, key: str) -> None:
        if self.options.log:
            with Path(self.options.log).open("a", encoding="utf-8") as file:
                file.write(f"{self.options.gamma} {key}\n")
        if self._hit("crash", key):
            raise RuntimeError(f"out of memory\nwhile decoding {key}")
        if self._hit("leave", key):
            sys.exit(0)
        if Path("survive").exists():
            return
        if self._hit("interrupt", key):
            raise KeyboardInterrupt
        if self._hit("vanish", key):
            os._exit(0)
        if self._hit("hang", key):
            time.sleep(600)
        if self._hit("kill", key):
            os.kill(os.getpid(), signal.SIGKILL)

    def _hit(self, option: str, key: str) -> bool:
        part = getattr(self.options, option)
        return part is not None and part in key


def answer(request: Request, *, gamma: int, wrong: bool, dull: bool = False) -> Generation:
    start = zlib.crc32(request.key.encode())
    tokens = [FIRST_TOKEN + (start + place) % TOKENS for place in range(request.max_new_tokens)]
    if wrong:
        tokens[3:] = [token + TOKENS for token in tokens[3:]]
    return Generation(
        key=request.key,
        token_ids=tuple(tokens),
        finish_reason="length",
        prompt_tokens=len(request.prompt_ids),
        steps=tuple(steps_of(len(tokens), gamma=gamma, dull=dull)),
    )


def steps_of(tokens: int, *, gamma: int, dull: bool = False) -> Iterator[Step]:
    accepts_all = True
    while tokens:
        accepted = gamma if accepts_all else 0
        emitted = min(accepted + 1, tokens)
        yield Step(drafted=gamma, accepted=accepted, emitted=emitted)
        tokens -= emitted
        accepts_all = not accepts_all and not dull


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> ToyEngine:
    chosen = decode_options("toy", options, ToyOptions)
    if chosen.unopened:
        raise RuntimeError("no memory for the weights\nallocator says 0 bytes")
    return ToyEngine(chosen, setup)
