"""How a bundle's script asks sequential-speculative-decoding 0.1.1, without equivcheck."""

from types import SimpleNamespace
from typing import Any

import torch


class Ids:
    """The package's tokenizer: its chat template and its text are the ids themselves."""

    eos_token_id, unk_token_id = 0, -1

    def apply_chat_template(self, messages: Any, **_: Any) -> Any:
        return messages[0]["content"]

    def __call__(self, prompts: Any, **_: Any) -> Any:
        return SimpleNamespace(input_ids=torch.tensor(prompts))

    def convert_tokens_to_ids(self, _: str) -> int:
        return self.unk_token_id

    def decode(self, ids: list[int], **_: Any) -> Any:
        return SimpleNamespace(strip=lambda: list(ids))


def opened(options: dict[str, str], facts: dict[str, Any], load: Any) -> Any:
    """From requests to token ids, by key; `load` gives a model for transformers by its role."""
    from seqspecdecod.generation import speculative_generate

    draft, target, ids = load("draft"), load("target"), Ids()
    (ids.eos_token_id,) = facts["eos_token_ids"]

    def answer(request: dict[str, Any]) -> list[int]:
        heat, limit = request["sampling"]["temperature"], request["max_new_tokens"]
        torch.manual_seed(request["seed"])
        tokens: list[int] = speculative_generate(
            draft,
            target,
            ids,
            request["prompt_ids"],
            limit,
            gamma=int(options.get("gamma", 4)),
            draft_temperature=heat,
            target_temperature=heat,
            method=options.get("method", "standard"),
        )["text"]
        # It leaves the end of text out, and does not cut its last block.
        return [*tokens, ids.eos_token_id][:limit]

    return lambda requests: {each["key"]: answer(each) for each in requests}
