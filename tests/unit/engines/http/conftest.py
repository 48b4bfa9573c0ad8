"""Engines and dialects over stubs, without a pair's files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from equivcheck.core.settings import EngineSetup
from equivcheck.engines.http import counters as http_counters
from equivcheck.engines.http import engine as http_engine
from equivcheck.engines.http import wire as http_wire
from equivcheck.engines.http.dialect import PairWords
from equivcheck.engines.http.engine import HttpEngine
from equivcheck.engines.http.options import HttpOptions
from equivcheck.engines.http.wire import Wire
from equivcheck.pairs.files import PairFiles

from .stub import EOS

Opened = Callable[..., HttpEngine]


def letters(token_ids: Sequence[int], **_: Any) -> str:
    """A token a letter."""
    return "".join(chr(97 + token % 26) for token in token_ids)


class LetterTokenizer:
    """As much of a tokenizer as an engine asks for."""

    def decode(self, token_ids: Sequence[int], **_: Any) -> str:
        return letters(token_ids)

    def convert_ids_to_tokens(self, token: int) -> str:
        return letters([token])


@pytest.fixture
def words() -> PairWords:
    """A pair of 50,000 ids, of which `EOS` ends a text."""
    return PairWords((EOS,), 50_000, letters, lambda token: letters([token]))


@pytest.fixture
def wire_to() -> Iterator[Callable[..., Wire]]:
    """A wire to a URL, closed behind the test."""
    opened: list[Wire] = []

    def open_wire(url: str, **more: Any) -> Wire:
        given = {"key": None, "seconds": 5.0, "retries": 2} | more
        opened.append(Wire(url=url, **given))
        return opened[-1]

    yield open_wire
    for wire in opened:
        wire.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_wire, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(http_counters, "REREAD_SECONDS", 0.01)


@pytest.fixture
def engine_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """An engine at a URL, on a pair without files, closed behind the test."""
    files = PairFiles(
        target=Path("target"),
        draft=None,
        tokenizer=LetterTokenizer(),
        eos_token_ids=(EOS,),
        vocab_size=50_000,
    )
    monkeypatch.setattr(http_engine, "locate_pair", lambda _, **__: files)
    opened: list[HttpEngine] = []

    def open_at(url: str, **options: Any) -> HttpEngine:
        options = {"timeout": 5.0, "retries": 2, **options}
        opened.append(HttpEngine(HttpOptions(url=url, **options), EngineSetup(batch_size=4)))
        return opened[-1]

    yield open_at
    for engine in opened:
        engine.close()
