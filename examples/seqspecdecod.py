"""sequential-speculative-decoding 0.1.1: `speculative_generate`, ids in the place of text."""

from collections.abc import Mapping
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any, Literal

import torch

from equivcheck import EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options, Round
from equivcheck_examples.sound import step


class Methods(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    method: Literal["standard", "naive_hsd", "capped_hsd"] = "standard"


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "SeqSpecDecod":
    return SeqSpecDecod(decode_options("seqspecdecod", options, Methods), setup)


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


class SeqSpecDecod(OneAtATime):
    NAME = "seqspecdecod"
    LACKS = ("stop", "stop_token_ids", "ignore_eos")

    def __init__(self, options: Methods, setup: EngineSetup) -> None:
        from seqspecdecod import generation

        super().__init__(options, setup)
        self.SAYS = self.SAYS | {"rule": "rejection" if options.method == "standard" else "unknown"}
        self.package, self.ids, (Ids.eos_token_id,) = generation, Ids(), self.pair.eos_token_ids
        self.name = f"{options.method}_step".replace("standard", "standard_speculative")
        module = options.method.replace("standard", "standard_sd")
        self.step = resolve_name(f"seqspecdecod.{module}:{self.name}")

    def watched(self, draft: Any, target: Any, ids: Any, **how: Any) -> tuple[Any, int, int]:
        if self.options.sound:
            gamma, temperature = how["gamma"], how["target_temperature"]
            tokens, accepted = step(target, draft, ids, gamma=gamma, temperature=temperature)
            told = torch.cat([ids, torch.tensor([tokens])], 1), accepted, gamma
        else:
            told = self.step(draft, target, ids, **how)
        # The naive method draws the rest of a block, too, with a pass of the target for each token.
        more = told[0].shape[1] - ids.shape[1] - told[1] - 1
        self.rounds += [Round(*told[:0:-1], told[1] + 1 + min(0, more)), *[Round(0, 0, 1)] * more]
        return told

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], list[Round]]:
        self.rounds, heat = list[Round](), request.sampling.temperature
        setattr(self.package, self.name, self.watched)
        tokens = self.package.speculative_generate(
            self.draft,
            self.target,
            self.ids,
            list(request.prompt_ids),
            request.max_new_tokens,
            gamma=self.options.gamma,
            **dict.fromkeys(("draft_temperature", "target_temperature"), heat),
            method=self.options.method,
        )["text"]
        return tokens + stops * (len(tokens) < request.max_new_tokens), self.rounds
