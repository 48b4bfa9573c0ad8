"""Rates and what few runs leave open."""

from __future__ import annotations

import pytest

from equivcheck.fault_matrix.share import Share, percent


@pytest.mark.parametrize(
    ("part", "whole", "interval"),
    [
        # Where all or none are, the bound is 0.025 ** (1 / n) or one less that.
        (121, 121, (0.025 ** (1 / 121), 1.0)),
        (0, 11, (0.0, 1 - 0.025 ** (1 / 11))),
        (1, 1, (0.025, 1.0)),
        # Clopper and Pearson, 1934: qbeta(.025, 4, 7) and qbeta(.975, 5, 6).
        (4, 10, (0.1215523, 0.7376219)),
    ],
)
def test_the_interval_is_exact(part: int, whole: int, interval: tuple[float, float]) -> None:
    assert Share(part, whole).interval == pytest.approx(interval, abs=1e-6)


def test_nothing_says_nothing() -> None:
    assert Share(0, 0).interval is None
    assert str(Share(3, 4)) == "3 of 4"
    assert percent(0.01661) == "1.7 %"
