"""How far under the reference's best lies what an arm may have emitted, where its text is known.

A token can stand in a place if the text continues with the token's own. One that leaves no text, or
the beginning of a character alone, can stand anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import torch

from equivcheck.core.detokenise import Detokenise
from equivcheck.core.generation import Request
from equivcheck.records.divergence import Pair
from equivcheck.records.records import Gap, TextGaps
from equivcheck.scoring.reference import DECIMALS, Reference, ReferenceLogits, ends_of, written

WITHIN = 16
"""Best tokens of a place that are looked at; the others lie further down."""
UNFINISHED = "\ufffd"
"""What stands for the bytes of a character that is not complete."""


class TextAnswer(NamedTuple):
    """One arm's, by its text; its ids are what a tokenizer makes of that."""

    token_ids: tuple[int, ...]
    text: str
    detokenise: Detokenise
    ends: Collection[int]
    """Ids that end a text."""

    def can_go_on(self, place: int, token: int) -> bool:
        """Whether the token may have been emitted behind the first `place` ids."""
        rest = self.token_ids[place:]
        if not rest:
            # What a stop string or a limit cut off is not known.
            return True
        if token in self.ends:
            return rest[0] in self.ends
        text = self.detokenise((*self.token_ids[:place], token))
        return self.text.startswith(text.rstrip(UNFINISHED))


@torch.inference_mode()
def text_gaps(
    reference: Reference, request: Request, pair: Pair, *, detokenise: Detokenise
) -> TextGaps:
    """What the reference says of each place up to the one where two texts part."""
    assert pair.position is not None
    ends = ends_of(request, eos_token_ids=reference.eos_token_ids)
    target, arm = (
        TextAnswer(tuple(each.token_ids), detokenise(each.token_ids), detokenise, ends)
        for each in (pair.target, pair.other)
    )
    shared = target.token_ids[: pair.position]
    distributions = [
        ReferenceLogits(raw, logprobs)
        # What the last token is does not matter to its own distribution.
        for distribution, _ in reference.distributions(request, (*shared, 0))
        for raw, logprobs in zip(distribution.raw, distribution.logprobs, strict=True)
    ]

    def other_at(place: int) -> Callable[[int], bool]:
        """Whether a token may stand in the place of a shared one."""
        return lambda token: (
            token != shared[place]
            and (target.can_go_on(place, token) or arm.can_go_on(place, token))
        )

    return TextGaps(
        others=tuple(
            least_gap(distributions[place], other_at(place)) for place in range(len(shared))
        ),
        target=least_gap(distributions[-1], lambda token: target.can_go_on(len(shared), token)),
        arm=least_gap(distributions[-1], lambda token: arm.can_go_on(len(shared), token)),
    )


def least_gap(distribution: ReferenceLogits, may_stand: Callable[[int], bool]) -> Gap:
    """Gap of the best token that may stand there, or else of the last that is looked at."""
    values, tokens = distribution.logprobs.topk(min(WITHIN, len(distribution.logprobs)))
    best, *_ = ids = tokens.tolist()
    found = next((rank for rank, token in enumerate(ids) if may_stand(token)), len(ids) - 1)
    magnitude = distribution.raw[tokens[[0, found]]].abs().max()
    return Gap(
        gap=written(float(values[0] - values[found])),
        best=best,
        magnitude=round(float(magnitude), DECIMALS),
    )
