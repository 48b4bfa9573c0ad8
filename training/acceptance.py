"""How many drafts the target keeps in greedy decoding of the bundled suites, by class and slot.

From one pass over the target's own greedy text: a draft at a slot is only looked at where all
before it were kept, and then the text that it saw is the target's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from equivcheck.core.load_suites import load_suite
from equivcheck.pairs.prompts import encode
from training.distil import Taught, taught
from training.heads import DEPTHS, TAPPED, EagleHead, MtpHead
from training.packages import WORKLOADS

SUITES = Path(__file__).parent.parent / "suites"
GAMMA = 4

Right = Callable[[Taught], Tensor]
"""[tokens, slots], bool: whether the draft at a slot behind each position is the text's token."""


class Kept(NamedTuple):
    """Counts of one class."""

    steps: int
    by_slot: tuple[int, ...]
    """Drafts kept at each slot; one is proposed at each slot and step."""

    @property
    def share(self) -> float:
        """Of all drafts."""
        return sum(self.by_slot) / (self.steps * len(self.by_slot))

    @property
    def tokens_a_step(self) -> float:
        """The target's own token included."""
        return 1 + sum(self.by_slot) / self.steps

    @property
    def if_reached(self) -> tuple[float, ...]:
        """Share kept at each slot of the drafts whose predecessors all were."""
        reached = (self.steps, *self.by_slot)
        return tuple(
            kept / max(1, before) for kept, before in zip(self.by_slot, reached, strict=False)
        )


class Text(NamedTuple):
    """The target's greedy continuation of a case."""

    workload: str
    ids: Tensor
    """Prompt and continuation, [tokens], int64."""
    prompt: int


@torch.inference_mode()
def greedy_texts(target: Any, tokenizer: Any, *, at_most: int = 10_000) -> list[Text]:
    """Of the class suites' greedy cases; stop strings and penalties are left out."""
    texts = []
    for workload in WORKLOADS:
        cases = load_suite(SUITES / f"{workload}.jsonl").cases
        greedy = [case for case in cases if not case.sampling.temperature]
        for case in greedy[:at_most]:
            prompt = encode(tokenizer, case)
            ids, cache = torch.tensor([prompt]), None
            step = ids
            for _ in range(case.max_new_tokens):
                out = target(step, past_key_values=cache, use_cache=True, logits_to_keep=1)
                cache, step = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)
                ids = torch.cat([ids, step], dim=1)
                if step == tokenizer.eos_token_id:
                    break
            texts.append(Text(workload, ids[0], len(prompt)))
    return texts


@torch.inference_mode()
def acceptance(target: Any, texts: list[Text], right: Right, *, end: int) -> dict[str, Kept]:
    """Run a drafter along all texts, as decoding would."""
    steps = dict.fromkeys(WORKLOADS, 0)
    kept: dict[str, list[int]] = {}
    for text in texts:
        found = right(taught(target, text.ids[None], end=end, exact=True))
        slots = found.shape[1]
        counts = kept.setdefault(text.workload, [0] * slots)
        at, last = text.prompt, len(text.ids) - slots
        while at < last:
            run = 0
            while run < slots and found[at - 1, run]:
                counts[run] += 1
                run += 1
            steps[text.workload] += 1
            at += run + 1
    return {name: Kept(steps[name], tuple(counts)) for name, counts in kept.items()}


def by_draft(draft: Any) -> Right:
    """A draft model: right at a slot where its most likely token there is the text's."""

    def right(given: Taught) -> Tensor:
        hits = draft(given.texts, use_cache=False).logits[0, :-1].argmax(-1) == given.texts[0, 1:]
        padded = F.pad(hits, (0, GAMMA))
        return torch.stack([padded[slot : slot + len(hits)] for slot in range(GAMMA)], dim=1)

    return right


def by_eagle(head: EagleHead, embedding: Tensor) -> Right:
    """An EAGLE-3 head. Behind position p its chain starts at entry p - 1."""
    drafted = head.d2t + torch.arange(len(head.d2t))

    def right(given: Taught) -> Tensor:
        tokens = F.pad(given.texts, (0, GAMMA))
        entries = given.texts.shape[1] - 1
        embedded = F.embedding(tokens[:, 1:], embedding)
        tapped = [given.hidden[place][:, :entries] for place in TAPPED]
        steps = head(tapped, embedded, steps=GAMMA)
        best = [drafted[logits[0].argmax(-1)] for logits in steps]
        hits = [each == tokens[0, slot + 2 : slot + 2 + entries] for slot, each in enumerate(best)]
        return F.pad(torch.stack(hits, dim=1), (0, 0, 1, 0))

    return right


def by_mtp(head: MtpHead, embedding: Tensor) -> Right:
    """An MTP head, a draft a depth."""

    def right(given: Taught) -> Tensor:
        tokens = F.pad(given.texts, (0, DEPTHS))
        entries = given.texts.shape[1] - 1
        embedded = F.embedding(tokens[:, 1:], embedding)
        read = head(given.hidden[-1][:, :entries], embedded)
        best = [F.linear(hidden[0], embedding).argmax(-1) for hidden in read]
        hits = [each == tokens[0, slot + 2 : slot + 2 + entries] for slot, each in enumerate(best)]
        return F.pad(torch.stack(hits, dim=1), (0, 0, 1, 0))

    return right
