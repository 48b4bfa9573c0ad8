"""What may have been emitted where only the text is known, by a reference that is made up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
import torch

from equivcheck.core.generation import Request
from equivcheck.records.divergence import Pair, first_divergence
from equivcheck.records.records import CANDIDATE, TARGET
from equivcheck.scoring.reference import Reference, ReferenceLogits
from equivcheck.scoring.text_gaps import TextAnswer, text_gaps
from tests.unit.make import make_generation

PIECES = ["", "a", "b", "ab", "c", "cd", "x", "\ufffd"]
"""By id. 0 ends a text; 7 is the first byte of some character."""
A, B, AB, C, CD, X, BYTE = range(1, 8)
END = 0
REQUEST = Request(key="code/one", prompt_ids=(A,), max_new_tokens=4)


def detokenise(token_ids: Sequence[int]) -> str:
    return "".join(PIECES[token] for token in token_ids)


class MadeUp:
    """Rows of log-probabilities, one a place."""

    eos_token_ids = (END,)

    def __init__(self, *rows: dict[int, float]) -> None:
        self.rows = rows

    def distributions(
        self, _: Request, output: Sequence[int]
    ) -> Iterator[tuple[ReferenceLogits, Sequence[int]]]:
        raw = torch.full((len(output), len(PIECES)), -30.0)
        for place in range(len(output)):
            for token, value in self.rows[place].items():
                raw[place, token] = value
        # Two at a time, as a real one gives a few at a time.
        for start in range(0, len(output), 2):
            part = raw[start : start + 2]
            yield ReferenceLogits(part, part), output[start : start + 2]


def gaps_of(reference: MadeUp, target: tuple[int, ...], arm: tuple[int, ...]) -> Any:
    one, two = make_generation(target), make_generation(arm)
    pair = Pair(
        key="code/one",
        arm=CANDIDATE,
        base=TARGET,
        target=one,
        other=two,
        position=first_divergence(one, two),
        text_alone=True,
    )
    return text_gaps(cast("Reference", reference), REQUEST, pair, detokenise=detokenise)


@pytest.mark.parametrize(
    ("token", "may"),
    [(A, True), (AB, True), (B, False), (X, False), (BYTE, True), (END, False)],
)
def test_a_token_may_stand_where_the_text_goes_on_with_it(token: int, may: bool) -> None:
    answer = TextAnswer((C, AB, X), "cabx", detokenise, (END,))
    assert answer.can_go_on(1, token) is may


def test_an_end_may_stand_only_where_the_text_ends() -> None:
    answer = TextAnswer((C, END), "c", detokenise, (END,))
    assert answer.can_go_on(1, END)
    assert not answer.can_go_on(1, X)
    # A stop string or a limit ended it: what came next is not known.
    cut = TextAnswer((C,), "c", detokenise, (END,))
    assert cut.can_go_on(1, END)
    assert cut.can_go_on(1, X)


def test_gaps_are_those_of_the_nearest_tokens_that_fit() -> None:
    # The texts "cab…" of the target and "cax" of the arm: both may go on with `a` behind `c`.
    reference = MadeUp({C: -1.0, CD: -1.5, X: -2.0}, {AB: -1.0, A: -1.5, X: -4.0})
    found = gaps_of(reference, (C, AB), (C, A, X))
    # Beside `c` nothing fits within reach: `cd` and `x` are no beginning of either text.
    assert found.others[0].gap == pytest.approx(29.0)
    assert found.target.gap == 0.0
    # Its tokenizer says `a`, and so may it be.
    assert found.arm.gap == pytest.approx(0.5)
    assert found.arm.magnitude == pytest.approx(1.5)


def test_another_way_to_the_same_text_is_seen() -> None:
    # `ab` is what the tokenizer makes of a and b.
    reference = MadeUp({AB: -1.0, A: -1.125}, {C: -1.0, X: -9.0})
    found = gaps_of(reference, (AB, C), (AB, X))
    assert found.others[0].gap == pytest.approx(0.125)
    assert (found.target.gap, found.arm.gap) == (0.0, pytest.approx(8.0))


def test_the_first_place_has_no_shared_tokens() -> None:
    found = gaps_of(MadeUp({X: -1.0, C: -3.0}), (X,), (C,))
    assert found.others == ()
    assert (found.target.gap, found.arm.gap) == (0.0, pytest.approx(2.0))
