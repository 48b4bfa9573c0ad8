"""Score sampled outputs: what each token says about the distribution it was drawn from.

An independent teacher-forced pass gives the target's distribution of every token and the draft's,
or a server that scores gives the target's as far as it tells it; sampling parameters are applied by
`distributions` and `penalties`, and each pair of distributions is reduced on the device to the
columns of `ScoreTable`. Shares no code with `decoding/`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equivcheck.core.engine import DraftSource
from equivcheck.core.errors import SettingsError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.rules import RULES, Rule
from equivcheck.core.settings import Settings
from equivcheck.core.ties import rounding_bias
from equivcheck.engines.device import configure_arithmetic, load_setup
from equivcheck.records.score_table import LOOKUP_DRAFTS, ONE_HOT_DRAFTS, ScoreTable
from equivcheck.scoring.carried import Carried
from equivcheck.scoring.columns import ScoredRows, columns
from equivcheck.scoring.distributions import point_mass, sampling_distribution
from equivcheck.scoring.forcing import OutputWindow, Teacher, read
from equivcheck.scoring.neighbours import Neighbours
from equivcheck.scoring.penalties import changes_logits, penalise_output
from equivcheck.scoring.places import Places, places, within
from equivcheck.scoring.reference import ends_of, widened
from equivcheck.scoring.replay import FINE, Replayer, Slack
from equivcheck.scoring.served import ServerScorer
from equivcheck.scoring.table import TableBuilder
from equivcheck.scoring.told import UnreportedMass, blanked, judged, least_rest
from equivcheck.scoring.turns import turns

WINDOW_ELEMENTS = 2**24
"""Logits that a window of outputs may hold, of each model: bounds memory."""
CPU_BLOCK, DEVICE_BLOCK = 2**18, 2**25
"""Logits that are reduced at once: on a CPU, what is made of them should stay in its cache."""
DRAFT_NAMES: dict[DraftSource, str] = {
    "model": "draft model",
    "lookup": LOOKUP_DRAFTS,
    "one-hot": ONE_HOT_DRAFTS,
}
LEAST_SLACK = 1e-3
"""Nats by which fp32 arithmetic never moves a log-probability."""


class Stretch(NamedTuple):
    """Consecutive tokens of one output and the raw logits behind them."""

    logits: tuple[Tensor, ...]
    """Logits of the target and, if there is one, of the draft model, [tokens, vocab] each."""
    request: Request
    output: tuple[int, ...]
    first: int
    """Place of the first token in its output."""
    row: int
    """Place of the first token in the table."""
    told: UnreportedMass | None = None
    """What is known of rows that are not told as a whole."""


class DistributionScorer:
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
        drafter: DraftSource | None,
        stages: bool = True,
        rule: Rule = "rejection",
        replays: bool = False,
        served: ServerScorer | None = None,
    ) -> None:
        """Load the pair and widen it to the precision of arbitration, unless a server scores.

        Args:
            settings: the run's.
            eos_token_ids: what ends an output.
            drafter: by whose q the engine's rule judges drafts; None: a shadow stands in, by
                ``settings.shadow``.
            stages: whether the stages of the rule can be told from the engine's steps.
            rule: the engine's.
            replays: whether the noise behind its tokens is known.
            served: a server that scores in the place of the pair's weights. Nobody gives a draft
                model's q then: prompt lookup stands in for it.

        Raises:
            PairError: the pair cannot be loaded.
            SettingsError: a draft model is asked for and the pair has none.
        """
        configure_arithmetic(settings.setup)
        if served is not None and drafter == "model":
            drafter = None
        pair = None if served else load_setup(settings.setup)
        kind, shadow = drafter, drafter is None
        if kind is None:
            kind = "lookup" if settings.shadow == "lookup" else "model"
            if settings.shadow == "auto" and (pair is None or pair.draft is None):
                kind = "lookup"
        if kind == "model" and pair is None:
            raise SettingsError("a server that scores has no draft model: set shadow to lookup")
        if kind == "model" and pair is not None and pair.draft is None:
            raise SettingsError(
                f"pair {settings.setup.pair!r} has no draft model to score drafts by; name one as "
                f"TARGET+DRAFT, or set shadow to lookup"
            )
        self.kind, name = kind, DRAFT_NAMES[kind]
        self.draft_distribution = f"shadow {name}" if shadow else name
        self.stages = stages and not shadow
        self.rule, self.replays = rule, replays and served is None
        self.knows_q = kind != "model" and not shadow
        self.served = served
        self.teachers: list[Teacher] = []
        if pair is not None:
            # Drafts that are certain need no model: which they are stands in the text or the steps.
            models = [pair.target, pair.draft] if kind == "model" else [pair.target]
            self.teachers = [Teacher(widened(model, settings.arbitration)) for model in models]
        source = served or self.teachers[0]
        self.device, self.vocab = source.device, source.vocab
        self.eos_token_ids = tuple(eos_token_ids)
        self.coarseness = coarseness(settings)
        self.neighbours = Neighbours()
        self.tokens, self.seconds = 0, 0.0

    def recall(self, asked: Sequence[tuple[Request, Generation]]) -> None:
        """Take note of draws that were scored before, so that the next ones meet them."""
        known, _ = within(asked, vocab=self.vocab)
        self.neighbours.recall(generation for _, generation in known)

    @torch.inference_mode()
    def score(self, asked: Sequence[tuple[Request, Generation]]) -> ScoreTable:
        """Score every token of some draws.

        Raises:
            ValueError: a request is greedy, or its prompt is empty.
        """
        started = time.perf_counter()
        asked, alien = within(asked, vocab=self.vocab)
        where = places(
            asked,
            self.neighbours,
            stages=self.stages,
            lookup=self.kind == "lookup",
            one_hot=self.kind == "one-hot",
        )
        builder = TableBuilder([request.key for request, _ in asked], where)
        replayer = None
        if self.replays:
            replayer = Replayer(turns(asked, rule=self.rule), knows_q=self.knows_q)
        carried = Carried(where) if RULES[self.rule].carries else None
        for stretch in self.stretches(asked, where):
            for row, found in self.reduced(stretch, where, replayer, carried):
                builder.fill(row, {name: each.cpu().numpy() for name, each in found.items()})
        builder.rule_out(alien)
        self.tokens += len(where.token)
        self.seconds += time.perf_counter() - started
        replays = None if replayer is None else replayer.found
        return builder.table(draft_distribution=self.draft_distribution, replays=replays)

    def stretches(
        self, asked: Sequence[tuple[Request, Generation]], where: Places
    ) -> Iterator[Stretch]:
        """Logits of all rows; outputs of one prompt are read together, similar lengths first."""
        prompts: dict[tuple[int, ...], list[int]] = {}
        for place, (request, generation) in enumerate(asked):
            judged_by = self.served is None or self.served.can_judge(request)
            if generation.token_ids and judged_by:
                prompts.setdefault(request.prompt_ids, []).append(place)
        for prompt, found in prompts.items():
            found.sort(key=lambda place: -len(asked[place][1].token_ids))
            outputs = [asked[place][1].token_ids for place in found]
            for window in self.windows(prompt, outputs):
                request, generation = asked[found[window.output]]
                yield Stretch(
                    logits=window.logits,
                    request=request,
                    output=generation.token_ids,
                    first=window.first,
                    row=int(where.starts[found[window.output]]) + window.first,
                    told=window.told,
                )

    def windows(
        self, prompt: Sequence[int], outputs: Sequence[Sequence[int]]
    ) -> Iterator[OutputWindow]:
        """Logits behind the tokens of some outputs, by whoever scores."""
        if self.served is not None:
            return self.served.read(prompt, outputs)
        return read(self.teachers, prompt, outputs, elements=WINDOW_ELEMENTS)

    def reduced(
        self,
        stretch: Stretch,
        where: Places,
        replayer: Replayer | None,
        carried: Carried | None,
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Columns of a stretch, block by block, each with its first row; replayed on the way."""
        elements = CPU_BLOCK if self.device.type == "cpu" else DEVICE_BLOCK
        size = max(1, elements // stretch.logits[0].shape[1])
        for start in range(0, len(stretch.logits[0]), size):
            raw = [logits[start : start + size] for logits in stretch.logits]
            row = stretch.row + start
            rows = slice(row, row + len(raw[0]))
            told = stretch.told and stretch.told.rows(slice(start, start + size))
            penalised = [self.penalised(each, stretch, first=stretch.first + start) for each in raw]
            rest_of = None if told is None else least_rest(told, stretch.request)
            sampling = stretch.request.sampling
            target, *rest = (
                sampling_distribution(each, sampling, rest=rest_of) for each in penalised
            )
            proposed = self.tensor(where.proposed[rows])
            draft = rest[0] if rest else point_mass(proposed, otherwise=target)
            drawn = ScoredRows(
                token=self.tensor(where.token[rows]),
                stage=self.tensor(where.stage[rows]),
                draft=self.tensor(where.draft[rows]),
                noise=self.tensor(where.noise[rows]),
                earlier=self.tensor(where.earlier[rows]),
                twin_token=self.tensor(where.twin_token[rows]),
            )
            if told is not None:
                magnitude = told.magnitude.to(raw[0])
            else:
                magnitude = torch.stack([logits.abs().amax(dim=-1) for logits in raw]).amax(dim=0)
            bias = rounding_bias(stretch.request.sampling)
            logit = (magnitude + bias) / sampling.temperature
            slack = (self.coarseness * logit).clamp(min=LEAST_SLACK)
            weights = (
                None
                if carried is None
                else carried.weigh(row, target=target, draft=draft, slack=slack)
            )
            if replayer is not None:
                fine = max(self.coarseness, FINE) * logit
                both = Slack(slack, torch.minimum(slack, fine))
                replayer.replay(row, target, draft, slack=both, sampling=sampling, weights=weights)
            found = columns(target=target, draft=draft, drawn=drawn, slack=slack, weights=weights)
            if told is not None:
                kept = judged(
                    penalised[0],
                    target,
                    told,
                    request=stretch.request,
                    token=drawn.token,
                    slack=slack,
                )
                found = blanked(found, kept)
            yield row, found

    def penalised(self, logits: Tensor, stretch: Stretch, *, first: int) -> Tensor:
        """Raw logits [tokens, vocab] from the output's `first` token on, after penalties."""
        request = stretch.request
        if not changes_logits(request):
            return logits
        ends = ends_of(request, eos_token_ids=self.eos_token_ids)
        return penalise_output(logits, request, output=stretch.output, first=first, end_ids=ends)

    def tensor(self, values: NDArray[Any]) -> Tensor:
        """A column's rows on the device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)


def coarseness(settings: Settings) -> float:
    """Nats by which the compute dtype may move a logit, over the logit's magnitude.

    As much as a near tie of greedy decoding is excused: with half precision, what lies nearer to a
    border than this is neutral, and no violation.
    """
    dtype: torch.dtype = getattr(torch, settings.setup.dtype)
    return settings.near_tie_ulps * torch.finfo(dtype).eps
