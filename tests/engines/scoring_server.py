"""A server that speaks vLLM's dialect over the native decoder and scores what it is given.

Its scores are of the pair's target, by transformers, and never of the decoder that may be faulty.
"""

from __future__ import annotations

from typing import Any

import torch

from equivcheck import EngineSetup, load_setup
from tests.engines.native_server import NativeVllm
from tests.unit.engines.http.stub import Reply


class ScoringVllm(NativeVllm):
    """`NativeVllm` with ``prompt_logprobs``, at most `most` a place."""

    def __init__(
        self, spec: str, setup: EngineSetup, *, most: int = 48, of: EngineSetup | None = None
    ) -> None:
        """Open the decoder; score by the target of another setup where one is given."""
        super().__init__(spec, setup)
        self.most, self.own = most, load_setup(setup).target
        self.model: Any = load_setup(of or setup).target

    def complete(self, body: Any) -> Reply:
        wanted = body.get("prompt_logprobs")
        if body.get("logprobs") is not None:
            return self.decode(body["prompt"], tokens=body["max_tokens"])
        if wanted is None:
            return super().complete(body)
        if wanted > self.most:
            told = f"Requested prompt logprobs of {wanted}, which is greater than max allowed: "
            return Reply({"error": {"message": f"{told}{self.most} (parameter=x)"}}, 400)
        with self.lock:
            rows = self.rows(body["prompt"], wanted)
        choice = {"prompt_logprobs": rows, "prompt_token_ids": body["prompt"]}
        return Reply({"choices": [choice], "system_fingerprint": self.fingerprint})

    @torch.inference_mode()
    def decode(self, prompt: list[int], *, tokens: int) -> Reply:
        """Greedily, with log-probabilities: what the decoder's model thinks."""
        ids, told = list(prompt), []
        for _ in range(tokens):
            row = self.own(torch.tensor([ids])).logits[0, -1].float().log_softmax(dim=-1)
            ids.append(int(row.argmax()))
            told.append(float(row.max()))
        choice = {"token_ids": ids[len(prompt) :], "logprobs": {"token_logprobs": told}}
        return Reply({"choices": [choice]})

    @torch.inference_mode()
    def rows(self, prompt: list[int], wanted: int) -> list[Any]:
        """As vLLM gives them: the token's own and the best."""
        logprobs = self.model(torch.tensor([prompt])).logits[0, :-1].float().log_softmax(dim=-1)
        best = logprobs.topk(wanted, dim=-1).indices.tolist()
        found: list[Any] = [None]
        for row, ids, token in zip(logprobs, best, prompt[1:], strict=True):
            told = {each: {"logprob": float(row[each])} for each in {*ids, token}}
            found.append({str(each): entry for each, entry in told.items()})
        return found
