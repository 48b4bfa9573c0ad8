"""How small a loss of right answers can so many prompts show?"""

from __future__ import annotations

from equivcheck.checks.budget import at_least

POWER = 0.8
"""Chance to see a loss that is called detectable."""


def two_sided(losses: int, gains: int) -> float:
    """McNemar's exact test: p of so uneven a split of the prompts where one arm alone is right."""
    return min(1.0, 2 * at_least(max(losses, gains), of=losses + gains))


def detectable_loss(*, prompts: int, differing: int, alpha: float) -> float | None:
    """The least loss, as a share of all prompts, that the exact test finds in four of five runs.

    Args:
        prompts: How many are asked of both arms.
        differing: On how many exactly one arm is right. The more differ by chance, the larger a
            loss has to be.
        alpha: Where the two-sided test rejects.

    Returns:
        None where no split of so few would be significant.
    """
    # scipy takes longer to import than all else here.
    from scipy.stats import binom

    critical = next(
        (
            n
            for n in range((differing + 1) // 2, differing + 1)
            if two_sided(n, differing - n) <= alpha
        ),
        None,
    )
    if critical is None:
        return None
    low, high = 0.5, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        enough = binom.sf(critical - 1, differing, middle) >= POWER
        low, high = (low, middle) if enough else (middle, high)
    return differing * (2 * high - 1) / prompts
