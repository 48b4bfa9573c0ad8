"""Replay sampled tokens: from two distributions and an engine's random stream to what had to come.

For engines that name their stream (`Capabilities.random_stream`). The noise is known then, so each
coin and each draw has one outcome, and one token that is another is proof where no near tie excuses
it. What rests on q is judged only where the engine's own word, ln q of its drafts, bears q out.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equivcheck.core.cases import Sampling
from equivcheck.core.engine import PHILOX_STREAM, Capabilities
from equivcheck.core.rules import RULES
from equivcheck.records.replays import Came, Replays, RestsOn, nothing_replayed
from equivcheck.scoring.carried import CarriedWeights
from equivcheck.scoring.distributions import Distribution
from equivcheck.scoring.intervals import Bounded, Numbers, as_numbers
from equivcheck.scoring.noise import NoiseKey, Use, gumbel, uniforms
from equivcheck.scoring.rule import (
    LogprobBounds,
    ReplayedDecision,
    carried,
    draw,
    passing,
    residual,
    toss,
    weigh,
)
from equivcheck.scoring.turns import UNKNOWN, Turns

Rows: TypeAlias = NDArray[np.int64]

KNOWN_STREAMS = frozenset({PHILOX_STREAM})
FINE = 64 * 2.0**-23
"""Nats by which fp32 arithmetic of the usual quality moves a logit at most, over the row's largest:
64 units in the last place. In random models of 4 layers of 256 and of 32 layers of 512 it was 15
at most among 800,000 logits, against fp64; 2.4 and 2.8 in the mean square."""
TOLD_SLACK = 1e-6
"""Nats by which a told ln q may be rounded: seven decimals, and a logarithm in fp32."""


def can_be_replayed(engine: Capabilities) -> bool:
    """Whether the noise behind an engine's tokens is known."""
    return engine.random_stream in KNOWN_STREAMS and RULES[engine.rule].replayed


class Slack(NamedTuple):
    """Nats by which arithmetic may have moved a log-probability, [rows] each."""

    most: Tensor
    """Whatever the model and the machine."""
    fine: Tensor
    """Where the arithmetic is as good as it was measured to be: `finely` says whether it is."""


class Replayer:
    """Replays the rows of one table."""

    def __init__(self, turns: Turns, *, knows_q: bool) -> None:
        """Start with nothing replayed.

        Args:
            turns: of all rows.
            knows_q: whether all of q lies on each draft for certain.
        """
        self.turns, self.knows_q = turns, knows_q
        self.told = np.zeros_like(turns.told) if knows_q else turns.told
        self.carried = np.zeros((len(turns.token), 3))
        """Logarithms of what accepted drafts carry on to each token: low, exact, high."""
        self.found: Replays = nothing_replayed(len(turns.token))

    def replay(
        self,
        first: int,
        target: Distribution,
        draft: Distribution,
        *,
        slack: Slack,
        sampling: Sampling,
        weights: CarriedWeights | None = None,
    ) -> None:
        """Replay consecutive rows.

        Args:
            first: of them.
            target: p, [rows, vocab].
            draft: q.
            slack: of each row.
            sampling: what both were cut by.
            weights: what accepted drafts carry on; None: nothing.
        """
        rows = slice(first, first + len(slack.most))
        drafts = torch.from_numpy(np.maximum(self.turns.draft[rows], 0)).to(slack.most.device)
        off = np.abs(self.told[rows] - as_numbers(draft.at(drafts)))
        nats, found = as_numbers(slack.most), self.found
        found.slack[rows] = nats
        if not self.knows_q:
            found.off[rows] = np.nan_to_num(off / as_numbers(slack.fine))
        cut = self.within_cuts(rows, draft, drafts, slack=slack.most)
        found.rests_on[rows] = self.rests_on(rows, off=off, cut=cut, slack=nats)
        if weights is not None:
            bounds = torch.stack([weights.low, weights.exact, weights.high], dim=1)
            self.carried[rows] = as_numbers(bounds)
            unsure = (found.rests_on[rows] == RestsOn.Q) & ~weights.known.cpu().numpy()
            found.rests_on[rows][unsure] = RestsOn.CUT_Q

        def bounded(places: Rows, slack: Tensor) -> tuple[Bounded, Bounded]:
            chosen = torch.from_numpy(places).to(slack.device)
            one, other = (
                Bounded.of(distribution, rows=chosen, slack=slack)
                for distribution in (target, draft)
            )
            return one, other

        judged = np.flatnonzero(np.isin(found.rests_on[rows], (RestsOn.P, RestsOn.Q)))
        found.came[first + judged] = self.came(first + judged, *bounded(judged, slack.most))
        found.finely[rows] = found.came[rows]
        finer = np.isin(found.came[rows], (Came.TIE_KEPT, Came.TIE_FLIPPED))
        weighed = (found.came[rows] == Came.AS_IT_MUST) & ~np.isnan(self.turns.weight[rows])
        ties = np.flatnonzero(finer | weighed)
        wanted, drafted = bounded(ties, slack.fine)
        # Copied drafts have a distribution that nothing cuts.
        drafted = drafted if self.knows_q else drafted.recut(sampling)
        found.finely[first + ties] = self.came(first + ties, wanted.recut(sampling), drafted)

    def came(self, rows: Rows, target: Bounded, draft: Bounded) -> NDArray[np.uint8]:
        """`Came` of some rows with these distributions; what had to come is noted."""
        use = self.turns.use[rows]
        came = np.zeros(len(rows), np.uint8)
        drafts = torch.from_numpy(np.maximum(self.turns.draft[rows], 0)).to(target.slack.device)
        odds = target.of_tokens(drafts)
        coins = np.isin(use, (Use.COIN, Use.RESIDUAL)) & (not self.turns.whole)
        for place in np.flatnonzero(coins):
            low, exact, high = odds[place].tolist()
            came[place] = self.note(rows[place], self.toss(rows[place], (low, exact, high)))
        distributions = zip(
            target.intervals(mass=use == Use.RESIDUAL),
            draft.intervals(mass=use == Use.RESIDUAL),
            strict=True,
        )
        for at, (wanted, drafted) in enumerate(distributions):
            # Behind the wrong coin there is no draw to replay.
            if use[at] == Use.COIN or came[at] == Came.OTHER_COIN:
                continue
            distribution = wanted
            if use[at] == Use.RESIDUAL:
                low, exact, high = self.carried[rows[at]].tolist()
                wanted = carried(wanted, (low, exact, high))
                distribution = residual(wanted, drafted)
                if self.turns.whole and self.turns.behind[rows[at]]:
                    odds_of = passing(distribution, (low, exact, high))
                    came[at] = self.note(rows[at], self.pass_on(rows[at], odds_of))
                    if came[at] == Came.OTHER_COIN:
                        continue
            token = self.draw(rows[at], distribution)
            # Of a coin and a draw, the one that went further astray.
            if token.came >= came[at]:
                came[at] = self.note(rows[at], token)
            weight = self.turns.weight[rows[at]]
            # Where nothing is left for sure, the engine may have drawn from p.
            if (
                came[at] < Came.OTHER_COIN
                and not np.isnan(weight)
                and distribution.low.max() > -np.inf
            ):
                came[at] = self.weigh(rows[at], target=wanted, draft=drafted, came=came[at])
        return came

    def within_cuts(
        self, rows: slice, draft: Distribution, tokens: Tensor, *, slack: Tensor
    ) -> NDArray[np.bool_]:
        """Where the told ln q of the drafts may come of a cut that arithmetic has moved."""
        nats, told = as_numbers(slack) + TOLD_SLACK, self.told[rows]
        low = as_numbers(draft.lowest(tokens, slack=slack)) - nats
        high = as_numbers(draft.highest(tokens, slack=slack)) + nats
        return np.asarray((low <= told) & (told <= high))

    def rests_on(
        self, rows: slice, *, off: Numbers, cut: NDArray[np.bool_], slack: Numbers
    ) -> NDArray[np.uint8]:
        """`RestsOn` of some rows.

        Args:
            rows: which.
            off: nats that the told q is off.
            cut: where a moved cut explains it.
            slack: nats that arithmetic explains.
        """
        use = self.turns.use[rows]
        other = np.where(cut, RestsOn.CUT_Q, RestsOn.OTHER_Q)
        about_q = np.where(off > slack + TOLD_SLACK, other, RestsOn.Q)
        about_q = np.where(np.isnan(off), RestsOn.UNTOLD_Q, about_q)
        if self.knows_q:
            about_q = np.full_like(about_q, RestsOn.Q)
        if self.turns.whole:
            about_q = np.where((use == Use.COIN) & (about_q == RestsOn.Q), RestsOn.BLOCK, about_q)
        found = np.where(np.isin(use, (Use.COIN, Use.RESIDUAL)), about_q, RestsOn.P)
        return np.where(use == UNKNOWN, RestsOn.NOTHING, found).astype(np.uint8)

    def toss(self, row: np.int64, target: tuple[float, float, float]) -> ReplayedDecision:
        """Replay the coin in a row; `target` is ln p of its draft, at least, exactly, at most."""
        key, position = self.whose(row)
        coin = float(uniforms(key, position, Use.COIN, width=1)[0])
        taken = self.turns.use[row] == Use.COIN
        return toss(coin, target=target, draft=float(self.told[row]), taken=taken)

    def pass_on(self, row: np.int64, odds: tuple[float, float, float]) -> ReplayedDecision:
        """Replay the coin of the accepted prefix before a row, which passes with these ln h."""
        key, position = self.whose(row)
        coin = float(uniforms(key, position - 1, Use.COIN, width=1)[0])
        return toss(coin, target=odds, draft=0.0, taken=True)

    def draw(self, row: np.int64, distribution: LogprobBounds) -> ReplayedDecision:
        """Replay the draw in a row."""
        key, position = self.whose(row)
        use = Use(int(self.turns.use[row]))
        noise = gumbel(key, position, use, width=len(distribution.exact))
        return draw(distribution, noise, token=int(self.turns.token[row]))

    def weigh(
        self, row: np.int64, *, target: LogprobBounds, draft: LogprobBounds, came: Came
    ) -> Came:
        """Compare what the engine drew the token in a row by; `came` is kept where it is sound."""
        token, told = int(self.turns.token[row]), float(self.turns.weight[row])
        found = weigh(target=target, draft=draft, token=token, told=told)
        return self.note(row, found) if found.came == Came.OTHER_WEIGHT else came

    def whose(self, row: np.int64) -> tuple[NoiseKey, int]:
        """The stream of a row, and its position in it."""
        return self.turns.keys[self.turns.output[row]], int(self.turns.position[row])

    def note(self, row: np.int64, replayed: ReplayedDecision) -> Came:
        """Write down which token had to come, and by how much."""
        self.found.token[row] = replayed.token
        self.found.gap[row] = replayed.gap
        return replayed.came
