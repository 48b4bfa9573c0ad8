"""Score sampled outputs: what each token says about the law it was drawn from.

An independent teacher-forced pass gives the target's law of every token and the draft's; sampling
parameters are applied by `laws` and `penalties`, and each pair of laws is reduced on the device to
the columns of `ScoreTable`. Shares no code with `decoding/`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equivcheck.engines.device import configure_arithmetic, load_setup
from equivcheck.errors import SettingsError
from equivcheck.generation import Generation, Request
from equivcheck.scores import ScoreTable
from equivcheck.scoring.columns import Drawn, columns
from equivcheck.scoring.forcing import Teacher
from equivcheck.scoring.laws import Law, point_law, sampling_law
from equivcheck.scoring.neighbours import Neighbours
from equivcheck.scoring.penalties import changes_logits, penalise_output
from equivcheck.scoring.places import Places, places
from equivcheck.scoring.reference import ends_of, widened
from equivcheck.scoring.table import TableBuilder
from equivcheck.settings import Settings

BATCH = 32
"""Outputs of one prompt that are read at once."""
WINDOW_ELEMENTS = 2**24
"""Logits that a window may hold, of each model: bounds memory."""
BLOCK_ELEMENTS = 2**18
"""Logits that are reduced at once: what is made of them should stay in a processor's cache."""
LEAST_SLACK = 1e-3
"""Nats by which fp32 arithmetic never moves a log-probability."""


class Window(NamedTuple):
    """Rows whose logits are known."""

    target: Tensor
    """Raw logits, [rows, vocab]."""
    draft: Tensor | None
    request: Request
    output: tuple[int, ...]
    first: int
    """Place of the first row in its output."""
    row: int
    """Place of the first row in the table."""


class LawScorer:
    """Scores draws, in the order in which they were asked for.

    Attributes:
        draft_law: where q is from.
        tokens: scored so far.
        seconds: that took.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        eos_token_ids: Sequence[int],
        drafter: Literal["model", "lookup"] | None,
        stages: bool = True,
    ) -> None:
        """Load the pair and widen it to the precision of arbitration.

        Args:
            settings: the run's.
            eos_token_ids: what ends an output.
            drafter: who drafts in the engine; None: a shadow stands in, by ``settings.shadow``.
            stages: whether the engine follows the rejection rule and says what it rejected.

        Raises:
            PairError: the pair cannot be loaded.
            SettingsError: a draft model is asked for and the pair has none.
        """
        configure_arithmetic(settings.setup)
        pair = load_setup(settings.setup)
        kind, shadow = drafter, False
        if kind is None:
            shadow = True
            kind = "lookup" if settings.shadow == "lookup" else "model"
            if settings.shadow == "auto" and pair.draft is None:
                kind = "lookup"
        if kind == "model" and pair.draft is None:
            raise SettingsError(
                f"pair {settings.setup.pair!r} has no draft model to score drafts by; name one as "
                f"TARGET+DRAFT, or set shadow to lookup"
            )
        name = "draft model" if kind == "model" else "prompt lookup"
        self.draft_law = f"shadow {name}" if shadow else name
        self.stages = stages and not shadow
        self.target = Teacher(widened(pair.target, settings))
        self.draft = Teacher(widened(pair.draft, settings)) if kind == "model" else None
        self.vocab = pair.vocab_size
        self.eos_token_ids = tuple(eos_token_ids)
        self.coarseness = coarseness(settings)
        self.neighbours = Neighbours()
        self.tokens, self.seconds = 0, 0.0

    def recall(self, asked: Iterable[tuple[Request, Generation]]) -> None:
        """Take note of draws that were scored before, so that the next ones meet them."""
        self.neighbours.recall(generation for _, generation in asked)

    @torch.inference_mode()
    def score(self, asked: Sequence[tuple[Request, Generation]]) -> ScoreTable:
        """Score every token of some draws.

        Raises:
            ValueError: a request is greedy, or its prompt is empty.
        """
        started = time.perf_counter()
        where = places(asked, self.neighbours, stages=self.stages, lookup=self.draft is None)
        rows = len(where.token)
        builder = TableBuilder([request.key for request, _ in asked], where)
        for window in self.windows(asked, where):
            for row, found in self.reduced(window, where):
                builder.fill(row, {name: each.cpu().numpy() for name, each in found.items()})
        self.tokens += rows
        self.seconds += time.perf_counter() - started
        return builder.table(draft_law=self.draft_law)

    def windows(
        self, asked: Sequence[tuple[Request, Generation]], where: Places
    ) -> Iterator[Window]:
        """Logits of all rows, outputs of one prompt together, the longest first."""
        prompts: dict[tuple[int, ...], list[int]] = {}
        for place, (request, generation) in enumerate(asked):
            if generation.token_ids:
                prompts.setdefault(request.prompt_ids, []).append(place)
        for prompt, found in prompts.items():
            if not prompt:
                raise ValueError("a prompt without a token cannot be scored")
            found.sort(key=lambda place: -len(asked[place][1].token_ids))
            memory = self.target.remember(prompt)
            draft_memory = self.draft.remember(prompt) if self.draft else None
            for start in range(0, len(found), BATCH):
                batch = found[start : start + BATCH]
                longest = len(asked[batch[0]][1].token_ids)
                tokens = torch.zeros((len(batch), longest), dtype=torch.int64)
                for line, place in enumerate(batch):
                    output = asked[place][1].token_ids
                    tokens[line, : len(output)] = torch.tensor(output)
                tokens = tokens.to(self.target.device)
                width = max(1, WINDOW_ELEMENTS // (len(batch) * self.vocab))
                ours = self.target.windows(prompt, tokens, memory, width=width)
                theirs: Iterator[Tensor | None] = iter(lambda: None, 0)
                if self.draft is not None and draft_memory is not None:
                    theirs = self.draft.windows(prompt, tokens, draft_memory, width=width)
                for first, target, draft in zip(
                    range(0, longest, width), ours, theirs, strict=False
                ):
                    for line, place in enumerate(batch):
                        request, generation = asked[place]
                        kept = min(width, len(generation.token_ids) - first)
                        if kept > 0:
                            yield Window(
                                target=target[line, :kept],
                                draft=None if draft is None else draft[line, :kept],
                                request=request,
                                output=generation.token_ids,
                                first=first,
                                row=int(where.starts[place]) + first,
                            )

    def reduced(self, window: Window, where: Places) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Columns of a window, block by block, each with its first row."""
        size = max(1, BLOCK_ELEMENTS // self.vocab)
        for start in range(0, len(window.target), size):
            raw = window.target[start : start + size]
            theirs = None if window.draft is None else window.draft[start : start + size]
            first, row = window.first + start, window.row + start
            rows = slice(row, row + len(raw))
            target = self.law(raw, window, first=first)
            if theirs is None:
                draft = point_law(self.tensor(where.proposed[rows]), otherwise=target)
                size_of = raw.abs().amax(dim=-1)
            else:
                draft = self.law(theirs, window, first=first)
                size_of = torch.maximum(raw.abs().amax(dim=-1), theirs.abs().amax(dim=-1))
            slack = self.coarseness * size_of / window.request.sampling.temperature
            drawn = Drawn(
                token=self.tensor(where.token[rows]),
                stage=self.tensor(where.stage[rows]),
                draft=self.tensor(where.draft[rows]),
                noise=self.tensor(where.noise[rows]),
                earlier=self.tensor(where.earlier[rows]),
                twin_token=self.tensor(where.twin_token[rows]),
            )
            yield row, columns(target, draft, drawn, slack=slack.clamp(min=LEAST_SLACK))

    def law(self, rows: Tensor, window: Window, *, first: int) -> Law:
        """The law behind raw logits [rows, vocab] of one output."""
        request = window.request
        if changes_logits(request):
            ends = ends_of(request, eos_token_ids=self.eos_token_ids)
            rows = penalise_output(rows, request, output=window.output, first=first, end_ids=ends)
        return sampling_law(rows, request.sampling)

    def tensor(self, values: NDArray[Any]) -> Tensor:
        """A column's rows on the device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.target.device)


def coarseness(settings: Settings) -> float:
    """Nats by which the compute dtype may move a logit, over the logit's magnitude."""
    dtype: torch.dtype = getattr(torch, settings.setup.dtype)
    return settings.near_tie_ulps * torch.finfo(dtype).eps
