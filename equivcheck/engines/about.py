"""What the engines of this package do, need and tell, for ``equivcheck engines``. Imports none.

An engine of another package says the same by a module constant ``ABOUT``.
"""

from __future__ import annotations

from msgspec import Struct


class About(Struct, frozen=True, kw_only=True):
    """An engine in a few words, for people who choose one."""

    does: str
    needs: str
    """Beside the pair."""
    tells: str
    """What is told of its drafts and tokens."""


BUNDLED = {
    "native": About(
        does="the decoder of this package: plain, or speculative with a draft model or lookup",
        needs="nothing",
        tells="verify steps, drafts, log-probabilities",
    ),
    "transformers": About(
        does="generate() of transformers: plain, assisted, or with prompt lookup",
        needs="a draft model for mode=assisted",
        tells="verify steps, log-probabilities",
    ),
    "http": About(
        does="a server by its URL: vllm, llamacpp, sglang, tensorrt-llm or openai",
        needs="a running server, or a table with start = COMMAND (docs/engines.md)",
        tells="counts of drafts a request, where the server does",
    ),
    "openvino": About(
        does="OpenVINO GenAI on a CPU: plain, with prompt lookup, or greedy with a draft model",
        needs="pip install 'equivcheck[openvino]'; GGUF files, or model=FOLDER, draft=FOLDER",
        tells="tokens alone; counts of drafts a request with a draft model",
    ),
    "vllm": About(
        does="vLLM in process: plain, or with any of its ways to draft",
        needs="pip install 'equivcheck[vllm]', in an environment of its own (docs/isolated.md)",
        tells="counts of drafts a request, log-probabilities",
    ),
    "replay": About(
        does="answers out of a records file",
        needs="file=RECORDS",
        tells="what was recorded",
    ),
}
