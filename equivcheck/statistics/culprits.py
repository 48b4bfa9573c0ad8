"""Names what is broken among many, so that one wrong name at all is as rare as alpha."""

from __future__ import annotations

import math
from collections.abc import Mapping


def culprits(highest: Mapping[str, float], *, alpha: float) -> tuple[str, ...]:
    """Names whose own e-process stands out among all, strongest first.

    Holm's procedure on Ville's p-values: the k-th strongest of M is named if its log wealth ever
    reached ``ln((M - k + 1) / alpha)``, and all before it were (e-Holm, arXiv 2501.09015, in its
    simplest form).

    Args:
        highest: name to the highest log wealth of its e-process.
        alpha: probability of any wrong name.
    """
    strongest = sorted(highest, key=lambda name: (-highest[name], name))
    named = []
    for rank, name in enumerate(strongest):
        if highest[name] < math.log((len(highest) - rank) / alpha):
            break
        named.append(name)
    return tuple(named)
