"""Which fault is drawn under which distribution, and what simulation had led to expect of it."""

from __future__ import annotations

from typing import NamedTuple


class Plan(NamedTuple):
    """One fault to measure."""

    fault: str
    distribution: str = "T=1"
    expected_output: str = "-"
    """Tokens that a mixture of likelihood ratios took in simulation: 99 % (median)."""
    expected_trace: str = "-"
    """Tokens that the cheapest test of a trace took there, 99 %."""
    most: int = 60_000
    """Tokens to draw at most."""
    side_by_side: bool = False
    """Whether only outputs beside each other show it."""


NUCLEUS, CUT = "T=.8 top-p=.95", "T=1 top-k=50"
PLANS = (
    Plan("recovery-shares-noise", "T=1", "600k", "6.9k-8.8k"),
    Plan("stream-shared-rejection", "T=1", "-", "256", most=8_000, side_by_side=True),
    Plan("leak-5", "T=1", "31k", "21k"),
    Plan("bonus-from-draft", "T=1", "7.5k (3.8k)", "1.0k"),
    Plan("temperature-5", "T=1", "5.0k (2.3k)", "2.9k"),
    Plan("accepts-every-draft", "T=1", "111 (53)", "55"),
    Plan("recovers-from-target", "T=1", "854 (333)", "50"),
    Plan("coin-zero-or-one", "T=1", "382 (160)", "136"),
    Plan("greedy-draft-soft-law", "T=1", "81 (36)", "52"),
    Plan("lenience", "T=1", "8.4k (2.9k)", "3.9k"),
    Plan("one-coin-a-step", "T=1", "3.8k (1.5k)", "1.6k"),
    Plan("draft-shares-coin", "T=1", "4.0k (1.7k)", "4.7k"),
    Plan("recovery-shares-coin", "T=1", "7.1k (2.7k)", "1.2k"),
    Plan("reseeded-each-step-rejection", "T=1", "12k", "5.9k"),
    Plan("law-of-slot-before", "T=1", "21 (13)", "6"),
    Plan("recovers-from-next-slot", "T=1", "149 (61)", "35"),
    Plan("typical-acceptance-rejection", "T=1", "778 (372)", "88"),
    Plan("residual-target-untempered", "T=.7", "344 (146)", "142"),
    Plan("residual-untempered", "T=.7", "1.6k (624)", "379"),
    Plan("nucleus-ignored", NUCLEUS, "106 (support)", "105"),
    Plan("nucleus-too-small", NUCLEUS, "2.8k (1.9k)", "834"),
    Plan("nucleus-one-short", NUCLEUS, "26k", "1.6k"),
    Plan("raw-draft-law", CUT, "18k (6.5k)", "1.7k"),
    Plan("temperature-2", "T=1", "40k", "22k", most=40_000),
    Plan("leak-1", "T=1", "770k", "450k", most=30_000),
)
