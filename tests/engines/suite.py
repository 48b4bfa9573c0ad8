"""A small suite for real engines: greedy, sampled, penalised and stopping cases."""

from __future__ import annotations

from collections.abc import Sequence

from equivcheck.core.cases import Case, Sampling, Suite
from tests.unit.make import suite_of

SAMPLINGS = (
    Sampling(),
    Sampling(),
    Sampling(temperature=0.8),
    Sampling(repetition_penalty=1.2, presence_penalty=0.3),
    Sampling(temperature=1.0, top_p=0.9),
    Sampling(logit_bias={40: 3.0}, banned_tokens=(41,), min_new_tokens=4),
)
WORDS = ("the cat sat on the mat", "x = y + 1\n", "été naïve", "日本語", "and the dog ran far, ")


def make_suite(workload: str = "mixed", *, count: int = 10, tokens: int = 16) -> Suite:
    """Cases of mixed lengths; every prompt repeats itself, so that lookup has something to find."""
    cases = tuple(
        Case(
            id=f"c{index}",
            prompt=WORDS[index % len(WORDS)] * (1 + index % 4),
            max_new_tokens=tokens + index,
            sampling=SAMPLINGS[index % len(SAMPLINGS)],
            stop=("zq",) if index % 5 == 0 else (),
        )
        for index in range(count)
    )
    return suite_of(cases, workload=workload)


def sampling_suite(texts: Sequence[str], *, heats: Sequence[float], tokens: int = 24) -> Suite:
    """Every text at every temperature, each sampled until its distribution is tested."""
    cases = tuple(
        Case(id=f"c{at}", prompt=text, max_new_tokens=tokens, sampling=Sampling(temperature=heat))
        for at, (text, heat) in enumerate((text, heat) for text in texts for heat in heats)
    )
    return suite_of(cases, workload="law", distribution=True)
