"""A server that speaks vLLM's dialect over the native decoder, so that runs by URL need no vLLM.

One request at a time. Where the decoder has a fault, the server has it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from equivcheck import EngineSetup, Request, Sampling, Step, load_engine
from equivcheck.pairs.files import locate_pair
from tests.unit.engines.http.stub import FakeVllm, Reply, Stub


class NativeVllm(FakeVllm):
    """vLLM's pages, answered by an engine of this package."""

    def __init__(self, spec: str, setup: EngineSetup) -> None:
        super().__init__()
        self.engine = load_engine(spec, setup)
        self.gamma = self.engine.capabilities.num_speculative_tokens
        self.vocab = set(range(locate_pair(setup.pair).vocab_size))

    def complete(self, body: Any) -> Reply:
        request = request_of(body, vocab=self.vocab)
        with self.lock:
            [answer] = self.engine.generate([request])
            drafting = [step for step in answer.steps if step.drafted]
            self.steps += len(drafting)
            self.drafted += sum(step.drafted for step in drafting)
            self.accepted += sum(step.accepted for step in drafting)
        ids = answer.token_ids
        by_id = bool(ids) and ids[-1] in request.stop_token_ids
        stopped = answer.finish_reason != "length"
        string = next(iter(request.stop), None) if stopped else None
        choice = {
            "index": 0,
            "text": "",
            "finish_reason": "stop" if stopped else "length",
            "stop_reason": ids[-1] if by_id else string,
            "token_ids": ids,
            "prompt_token_ids": request.prompt_ids,
        }
        return Reply(
            {
                "choices": [choice],
                "usage": {"prompt_tokens": len(request.prompt_ids)},
                "system_fingerprint": self.fingerprint,
                "metrics": self.speculation(drafting) if self.gamma else None,
            }
        )

    def metrics(self) -> str:
        return super().metrics() if self.gamma else ""

    def speculation(self, drafting: Sequence[Step]) -> dict[str, Any]:
        """What vLLM says of one request's drafts."""
        lengths = [step.accepted for step in drafting]
        told = {
            "num_spec_tokens": self.gamma,
            "num_spec_steps": len(drafting),
            "num_draft_tokens": sum(step.drafted for step in drafting),
            "num_accepted_draft_tokens": sum(lengths),
            "acceptance_histogram": [lengths.count(length) for length in range(self.gamma + 1)],
        }
        return {"speculative_decoding": told}


def request_of(body: Any, *, vocab: set[int]) -> Request:
    """The request that a body asks for. Ends of text are among its stop ids."""
    allowed = body["allowed_token_ids"]
    bias = body["logit_bias"] or {}
    sampling = Sampling(
        temperature=body["temperature"],
        top_k=max(0, body["top_k"]),
        top_p=body["top_p"],
        min_p=body["min_p"],
        repetition_penalty=body["repetition_penalty"],
        presence_penalty=body["presence_penalty"],
        frequency_penalty=body["frequency_penalty"],
        logit_bias={int(token): each for token, each in bias.items()},
        banned_tokens=tuple(sorted(vocab - set(allowed))) if allowed else (),
        min_new_tokens=body["min_tokens"],
    )
    return Request(
        key="served",
        prompt_ids=tuple(body["prompt"]),
        max_new_tokens=body["max_tokens"],
        sampling=sampling,
        stop=tuple(body["stop"]),
        stop_token_ids=tuple(body["stop_token_ids"]),
        ignore_eos=body["ignore_eos"],
        seed=body["seed"],
    )


def main(spec: str) -> None:
    """``python -m tests.engines.native_server SPEC``: serve the bundled pair, and say where."""
    stub = Stub(NativeVllm(spec, EngineSetup(threads=1)))
    sys.stdout.write(f"{stub.url}\n")
    sys.stdout.flush()
    stub.thread.join()


if __name__ == "__main__":
    main(sys.argv[1])
