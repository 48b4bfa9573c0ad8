"""How long steps take, measured as an engine opens.

PYTEST_DONT_REWRITE: this code is timed.
"""

from __future__ import annotations

import statistics
import time

import torch

from equivcheck.decoding.controls import Features
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.gamma import DraftCost
from equivcheck.decoding.graphs import StepRunner
from equivcheck.decoding.model import StaticModel

TIMED_AT = 100
"""Position at which steps are timed: where short prompts are when they have begun to answer. A wide
step in a short context is timed as far on as it fits."""
REPEATS = 7
GREEDY = Features()
TRUNCATED = Features(random=True, all_random=True, truncated=True)


def step_seconds(model: StaticModel, *, rows: int, width: int) -> float:
    """Median wall time of one forward step with logits, at a short prompt's length.

    As decoding runs it: recorded on a GPU, where starting kernels one by one takes longer.
    """
    at = min(TIMED_AT, model.key_positions.shape[0] - width)
    cache = model.new_cache(rows=rows).upto(model.reach(at + width))
    tokens = torch.zeros((rows, width), dtype=torch.int64, device=model.device)
    start = torch.full((rows,), at, device=model.device)
    runner = StepRunner(model.device, state=(), lag=0)
    times = []
    for _ in range(1 + REPEATS):
        started = time.perf_counter()
        # Of the logits little goes to the host, as of a step's outcome.
        runner.run("step", lambda: model.logits(model.forward(tokens, start, cache))[..., 0])
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


@torch.inference_mode()
def draft_cost(
    decoder: Decoder, *, most: int, unread: int = 2, features: Features = GREEDY
) -> DraftCost:
    """What drafts cost, up to `most` of them, by whole steps of idle rows in turn.

    As steps are run, since a draft costs more than its forward pass, and the first more than the
    others. `features` are what the rows' distributions take, plain steps' included.
    """
    decoder.rows.controls.features = features
    decoder.rows.reach = decoder.model.reach(TIMED_AT + decoder.width)

    def seconds(gamma: int) -> float:
        started = time.perf_counter()
        key = decoder.step_key(gamma, unread=unread)
        decoder.runner.launch(key, lambda: decoder.speculate(gamma=gamma, unread=unread)).read()
        return time.perf_counter() - started

    rounds = [(seconds(0), seconds(1), seconds(most)) for _ in range(1 + REPEATS)]
    # The first round warms up, and on a GPU records.
    plain, one, all_of_them = (statistics.median(times) for times in zip(*rounds[1:], strict=True))
    first = max(0.0, one / plain - 1)
    further = max(0.0, (all_of_them - one) / plain / (most - 1)) if most > 1 else first
    return DraftCost(first=first, further=further)
