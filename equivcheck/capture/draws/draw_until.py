"""Draw, score, look, and draw again: until the budget is spent or the distribution is refuted.

Draws flow from engines to records, scores from the scorer to a file beside them. Only one thing
flows back: whether the scores so far refute the distribution, asked of a pure function. They can
end the drawing early with a failure, never with a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from equivcheck.capture.draws.ledger import Ledger, Output
from equivcheck.core.engine import Engine
from equivcheck.records.records import SAMPLED
from equivcheck.records.score_table_file import concatenate

if TYPE_CHECKING:
    from equivcheck.records.score_table import ScoreTable

SCORING = "scoring draws"
SCORED_AT_ONCE = 512
"""Outputs: many, as those of one prompt are read together."""


class SampleScorer(Protocol):
    """Says what the target holds of draws; remembers them, for tests across requests."""

    def score(self, asked: Sequence[Output]) -> ScoreTable:
        """The scores of further draws, in the order of asking."""
        ...

    def recall(self, asked: Sequence[Output]) -> None:
        """Remember draws that were scored before."""
        ...


OpenScorer = Callable[[], SampleScorer]
Refuted = Callable[["ScoreTable"], bool]
"""Whether scores refute the distribution."""


def draw_tokens(ledger: Ledger, engines: Mapping[str, Engine]) -> None:
    """Draw the whole budget with nothing to look at on the way: the tokens are the evidence.

    Where arms answer one at a time, the arm `sampled` draws all of it first.
    """
    alone = ledger.header.order == "one at a time"
    first = (SAMPLED,) if alone else ledger.plan.arms
    ledger.draw(engines, ledger.rounds_begun(), arms=first)
    while not (ledger.spent and ledger.whole) and not ledger.broken:
        ledger.draw(engines, ledger.ahead(), arms=first)
    if not ledger.broken:
        ledger.draw(engines, ledger.rounds_begun())


def draw_and_score(
    ledger: Ledger, engines: Mapping[str, Engine], *, scorer: SampleScorer, refuted: Refuted
) -> None:
    """Draw the budget in parts, and look at the scores after each.

    What is to be drawn in a part is all drawn before anything of it counts: the outputs that come
    first would be the short ones.
    """
    outputs = ledger.outputs()
    scorer.recall(outputs[: ledger.scored])
    if ledger.table is not None and ledger.scored == len(outputs) and refuted(ledger.table):
        return
    ledger.draw(engines, ledger.rounds_begun())
    score_new(ledger, scorer)
    while not (ledger.spent and ledger.whole) and not ledger.broken:
        if ledger.table is not None and refuted(ledger.table):
            return
        ledger.draw(engines, ledger.ahead())
        score_new(ledger, scorer)


def score_new(ledger: Ledger, scorer: SampleScorer) -> None:
    """Score what is drawn and not scored yet; nothing where something cannot be scored."""
    new = ledger.outputs()[ledger.scored :]
    if ledger.broken or not new:
        return
    tables = [] if ledger.table is None else [ledger.table]
    for start in range(0, len(new), SCORED_AT_ONCE):
        tables.append(scorer.score(new[start : start + SCORED_AT_ONCE]))
        ledger.tell(SCORING, tokens=sum(table.rows for table in tables))
    ledger.keep(concatenate(tables))
