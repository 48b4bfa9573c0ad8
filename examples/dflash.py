"""dflash 0.1.0: `dflash_generate`, with the pair's draft model for its drafter."""

import copy
from collections.abc import Mapping
from typing import Any

import torch

from equivcheck import EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options, Round


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "Dflash":
    return Dflash(decode_options("dflash", options, Options), setup)


class Drafter:
    """The pair's draft model along its own best path, slot by slot; its states are logits."""

    def __init__(self, draft: Any, target: Any) -> None:
        self.draft, self.config, self.embedding = (
            draft,
            target.config,
            target.get_input_embeddings(),
        )
        self.mask_token_id, self.target_layer_ids, self.blocks = 0, [0], []
        target.register_forward_pre_hook(self.reads, with_kwargs=True)

    def reads(self, _: Any, given: Any, named: Any) -> None:
        """Keep the text that the target was shown: what a later block repeats was not accepted."""
        start = int(named["position_ids"][0, 0]) if "position_ids" in named else 0
        self.blocks = [*self.blocks, (start, given[0].shape[1])] if start else []
        self.text = torch.cat([self.text[:, :start], given[0]], 1) if start else given[0]

    def __call__(self, noise_embedding: Any, position_ids: Any, **_: Any) -> Any:
        size, rows = noise_embedding.shape[1], []
        start = int(position_ids[0, -1]) + 1 - size
        anchor = (self.embedding.weight - noise_embedding[0, 0]).abs().sum(1).argmin().view(1, 1)
        ids = torch.cat([self.text[:, :start], anchor], 1)
        for _ in range(size):
            rows.append(self.draft(ids).logits[0, -1])
            ids = torch.cat([ids, rows[-1].argmax().view(1, 1)], 1)
        # The first row is the anchor's own place, which the package leaves out.
        return torch.stack([rows[0], *rows[: size - 1]])[None]

    def compute_logits(self, hidden: Any, _: Any) -> Any:
        return hidden


class Dflash(OneAtATime):
    NAME = "dflash"
    SERVES = ("temperature", "top_p", "top_k")
    SAYS = {"rule": "rejection", "reports_steps": True}

    def __init__(self, options: Options, setup: EngineSetup) -> None:
        from dflash import model

        super().__init__(options, setup)
        self.package, self.verifier = model, copy.deepcopy(self.pair.target)
        self.drafter = Drafter(self.draft, self.verifier)

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], list[Round]]:
        distribution, length = request.sampling, len(request.prompt_ids)
        ids = self.package.dflash_generate(
            self.drafter,
            self.verifier,
            torch.tensor([request.prompt_ids]),
            request.max_new_tokens,
            stops,
            *(distribution.temperature, distribution.top_p, distribution.top_k),
            block_size=self.options.gamma + 1,
        )[0].tolist()
        # Its own counts need a GPU: of each block the target shows where it began.
        starts = [*(start for start, _ in self.drafter.blocks), len(ids) - 1]
        rounds = [
            Round(size - 1, after - start - 1, after - start)
            for (start, size), after in zip(self.drafter.blocks, starts[1:], strict=True)
        ]
        return ids[length:], [Round(0, 0, 1), *rounds]
