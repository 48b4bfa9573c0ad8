"""What can follow ``http:``, and where its URL and its key come from."""

from __future__ import annotations

import os
from typing import Annotated

import httpx
from msgspec import Meta, Struct

from equivcheck.core.engine import UNTOLD, Rule
from equivcheck.core.errors import SettingsError
from equivcheck.core.escape import visible
from equivcheck.core.settings import Dtype, EngineSetup
from equivcheck.engines.http.find import DialectName


class HttpOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can follow ``http:``."""

    url: str
    """URL of the server, e.g. ``http://127.0.0.1:8000``; with or without ``/v1``. Of replicas:
    ``http://one:8000+http://other:8000``."""
    dialect: DialectName | None = None
    """None: found by asking."""
    model: str | None = None
    """Its name on the server; None: the only one there."""
    key_env: str | None = None
    """Environment variable that holds the key. The key itself is never written down."""
    batch: Annotated[int, Meta(ge=1, le=256)] | None = None
    """Requests under way at once, at each replica; None: the setup's batch size."""
    dtype: Dtype | None = None
    """In which numbers the server computes; no server says so. None: tokens that differ prove
    nothing by themselves."""
    gamma: Annotated[int, Meta(ge=1, le=63)] | None = None
    """Draft tokens a step, where the server does not say."""
    stream: bool = False
    """Whether answers are streamed, so that verify steps can be read off their chunks: vLLM."""
    text: bool = False
    """Whether it is asked with text for text alone, though it may have token ids: openai. A server
    that has none is asked so anyway."""
    chat: bool = False
    """Whether it is asked by messages, at ``/v1/chat/completions``, for text alone: openai."""
    method: Annotated[str, Meta(pattern="^[a-z0-9_]{1,32}$")] | None = None
    """How drafts are made, in vLLM's word for it, where the server does not say."""
    rule: Rule | None = None
    """How drafts are verified, where the server does not say."""
    lossy: str | None = None
    """A lossy setting of the server, where it does not say: ``lossy=NAME=VALUE``."""
    logprobs: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """Where it scores: how many of the best log-probabilities are asked for in each place. None:
    256, or as many as the server gives."""
    timeout: Annotated[float, Meta(gt=0)] = 600.0
    """Seconds that one answer may take."""
    retries: Annotated[int, Meta(ge=0, le=20)] = 4
    """How often a request is repeated where the server is busy or broke."""


def base_url(url: str) -> str:
    """The URL that paths are appended to.

    Raises:
        SettingsError: it is none, or holds more than a host and a path: a record would keep it.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise SettingsError(f"http: url {visible(url)}: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise SettingsError(f"http: url {visible(url)}: write it as http://HOST:PORT")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise SettingsError(
            "http: url: a name, password or query in it would be recorded; put the key into an "
            "environment variable and name that with key_env="
        )
    return str(parsed).rstrip("/").removesuffix("/v1")


def key_of(options: HttpOptions) -> str | None:
    """The key, out of the environment; None: none is asked for.

    Raises:
        SettingsError: the variable is not set, or holds nothing.
    """
    if options.key_env is None:
        return None
    key = os.environ.get(options.key_env, "").strip()
    if not key:
        raise SettingsError(f"http: key_env: {options.key_env} is not set in the environment")
    return key


def dtype_of(options: HttpOptions, setup: EngineSetup) -> str:
    """What is known of the numbers that a server computes in.

    Raises:
        SettingsError: it was said, and the run's yardstick for near ties is another.
    """
    if options.dtype not in (None, setup.dtype):
        raise SettingsError(
            f"http: dtype={options.dtype}, and setup.dtype is {setup.dtype}; say "
            f"--dtype {options.dtype}"
        )
    return options.dtype or UNTOLD
