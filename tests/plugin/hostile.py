"""An engine with bad intentions: everything that it may word itself is hostile text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from equivcheck.core.engine import Capabilities
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.registry import decode_options
from equivcheck.pairs.load import load_tokenizer
from tests.plugin.toy import steps_of

TEXT = (
    "<script>alert(1)</script>{{ 7 * 7 }}<img src=x onerror=alert(2)>"
    "\x1b[31m\x1b]0;owned\x07\x00\u202e\u2066"
    "\r\n| a | b |\n|---|---|\n```\n<!-- -->\n# heading\n[link](javascript:alert(3)) "
    "\"'&{} {% raw %} \\n ::error file=x::owned\u2028\u0301"
)
LONG = TEXT + "x" * 100_000


class HostileOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    gamma: int = 0
    parts: bool = False
    """Leave the text in the middle of it."""


class HostileEngine:
    def __init__(self, options: HostileOptions, setup: EngineSetup) -> None:
        self.options, self.setup = options, setup
        self.tokens: list[int] = load_tokenizer(setup.pair).encode(TEXT)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine=LONG,
            device=TEXT,
            dtype=self.setup.dtype,
            num_speculative_tokens=self.options.gamma,
            reports_steps=True,
            identity="hostile" if not self.options.parts else None,
            notes=(LONG,),
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            if "broken" in request.key:
                raise RuntimeError(LONG)
            tokens = self.tokens[: request.max_new_tokens]
            if self.options.parts and "parts" in request.key:
                half = len(tokens) // 2
                tokens[half:] = tokens[: len(tokens) - half]
            yield Generation(
                key=request.key,
                token_ids=tuple(tokens),
                finish_reason="length",
                prompt_tokens=len(request.prompt_ids),
                steps=tuple(steps_of(len(tokens), gamma=self.options.gamma)),
            )

    def close(self) -> None:
        """Nothing to free."""


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> HostileEngine:
    return HostileEngine(decode_options("hostile", options, HostileOptions), setup)
