"""A server of OpenAI's API that knows text alone, over the native decoder."""

from __future__ import annotations

from typing import Any

from equivcheck import EngineSetup, Request, Sampling, load_engine
from equivcheck.core.detokenise import detokeniser, stop_completed_at
from equivcheck.pairs.files import locate_pair
from tests.unit.engines.http.stub import FakeVllm, Reply


class TextServer(FakeVllm):
    """Text in, text out. Counts its drafts at ``/metrics``, as servers do for whoever runs them."""

    def __init__(self, spec: str, setup: EngineSetup) -> None:
        super().__init__()
        self.engine = load_engine(spec, setup)
        self.gamma = self.engine.capabilities.num_speculative_tokens
        files = locate_pair(setup.pair)
        self.tokenizer, self.eos = files.tokenizer, files.eos_token_ids
        self.detokenise = detokeniser(files.tokenizer)

    def __call__(self, path: str, body: Any) -> Reply | None:
        if path == "/v1/models":
            return Reply({"data": [{"id": "m", "object": "model", "owned_by": "a gateway"}]})
        if path == "/v1/chat/completions":
            return self.chat(body)
        return None if path == "/version" else super().__call__(path, body)

    def metrics(self) -> str:
        return super().metrics() if self.gamma else ""

    def chat(self, body: Any) -> Reply:
        prompt = self.tokenizer.apply_chat_template(
            body["messages"],
            add_generation_prompt=True,
            tokenize=False,
            **body.get("chat_template_kwargs", {}),
        )
        reply = self.complete(body | {"prompt": prompt})
        for choice in reply.body["choices"]:
            choice["message"] = {"role": "assistant", "content": choice.pop("text")}
        return reply

    def complete(self, body: Any) -> Reply:
        if not isinstance(body["prompt"], str):
            return Reply({"error": {"message": "prompt: a string is wanted"}}, 400)
        prompt = tuple(self.tokenizer(body["prompt"])["input_ids"])
        request = Request(
            key="served",
            prompt_ids=prompt,
            max_new_tokens=body["max_tokens"],
            sampling=Sampling(
                temperature=body["temperature"],
                top_p=body["top_p"],
                presence_penalty=body["presence_penalty"],
                frequency_penalty=body["frequency_penalty"],
            ),
            stop=tuple(body["stop"] or ()),
            seed=body["seed"],
        )
        with self.lock:
            [answer] = self.engine.generate([request])
            drafting = [step for step in answer.steps if step.drafted]
            self.steps += len(drafting)
            self.drafted += sum(step.drafted for step in drafting)
            self.accepted += sum(step.accepted for step in drafting)
        choice = {
            "index": 0,
            "text": self.text(answer.token_ids, request.stop),
            "finish_reason": "length" if answer.finish_reason == "length" else "stop",
        }
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(answer.token_ids)}
        return Reply({"id": "x", "model": "m", "choices": [choice], "usage": usage})

    def text(self, token_ids: tuple[int, ...], stop: tuple[str, ...]) -> str:
        """What is sent: up to the stop string, without it."""
        text = self.detokenise(token_ids)
        completed = stop_completed_at(self.detokenise, token_ids, stop)
        if completed == len(token_ids) - 1:
            text = text[: min(at for each in stop if (at := text.find(each)) >= 0)]
        return text
