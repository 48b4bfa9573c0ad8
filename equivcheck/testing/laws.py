"""Rules about sampling parameters: each has the effect it must have, or is refused.

An engine that takes a parameter and ignores it answers another question than it was asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from equivcheck.core.cases import Sampling
from equivcheck.testing.ending import CERTAIN
from equivcheck.testing.trial import Trial, shown

SEEDS = 4
HOT = 5.0
"""A temperature at which an untruncated draw is hardly ever the greedy one throughout."""


def seeds(trial: Trial) -> Iterator[str]:
    """The same seed twice gives the same, other seeds give something else."""
    law = Sampling(temperature=1.5)
    outputs = set()
    for seed in range(SEEDS):
        request = trial.request(law=law, seed=seed)
        first, again = (trial.ask(request).token_ids for _ in range(2))
        if first != again:
            yield f"asked the same twice with seed {seed}, it drew {shown(first)}, {shown(again)}"
        outputs.add(first)
    if not trial.capabilities.sampled:
        yield "it says that it cannot sample, and answered a request at temperature 1.5"
    elif len(outputs) == 1:
        yield f"{SEEDS} seeds at temperature 1.5 gave the same {len(*outputs)} tokens"


def banned(trial: Trial) -> Iterator[str]:
    """Ban what greedy decoding would say, again and again."""
    hidden: tuple[int, ...] = ()
    for _ in range(3):
        law = Sampling(banned_tokens=hidden)
        output = trial.ask(trial.request(law=law, tokens=trial.slots)).token_ids
        for token in set(hidden) & set(output):
            yield f"token {token} was banned and appears at {output.index(token)}"
            return
        hidden += output[:1]


def bias(trial: Trial) -> Iterator[str]:
    """A token that greedy decoding would not say is made certain."""
    free = trial.free()
    others = [token for token in (*free, *trial.prompts[0]) if token != free[0]]
    for token in others[:1]:
        law = Sampling(logit_bias={token: CERTAIN})
        output = trial.ask(trial.request(law=law, tokens=trial.slots)).token_ids
        if set(output) != {token}:
            yield f"with a bias of {CERTAIN:g} on token {token} it gave {shown(output)}"


def presence(trial: Trial) -> Iterator[str]:
    """A penalty that no logit can make up for: no token comes twice."""
    yield from _no_repeat(trial, Sampling(presence_penalty=CERTAIN), "presence_penalty")


def frequency(trial: Trial) -> Iterator[str]:
    """As for presence."""
    yield from _no_repeat(trial, Sampling(frequency_penalty=CERTAIN), "frequency_penalty")


def _no_repeat(trial: Trial, law: Sampling, name: str) -> Iterator[str]:
    # A bias makes one token so likely that without the penalty it would be all there is.
    biased = Sampling(
        presence_penalty=law.presence_penalty,
        frequency_penalty=law.frequency_penalty,
        logit_bias={trial.free()[0]: CERTAIN / 2},
    )
    for tried in (law, biased):
        output = trial.ask(trial.request(law=tried)).token_ids
        if len(set(output)) < len(output):
            yield f"with {name}={CERTAIN:g} tokens come twice: {shown(output)}"
            return


def repetition(trial: Trial) -> Iterator[str]:
    """Very strong and very weak penalties change at least one answer."""
    for penalty in (CERTAIN, 1 / CERTAIN):
        law = Sampling(repetition_penalty=penalty)
        for prompt in trial.prompts:
            free = trial.free(prompt)
            if trial.ask(trial.request(prompt, law=law, tokens=len(free))).token_ids != free:
                return
    yield f"repetition_penalty={CERTAIN:g} and {1 / CERTAIN:g} change no answer"


def top_k(trial: Trial) -> Iterator[str]:
    """One token kept is the greedy one, at any temperature."""
    yield from _is_greedy(trial, Sampling(temperature=HOT, top_k=1), "top_k=1")


def top_p(trial: Trial) -> Iterator[str]:
    """As for top_k: the most likely token alone already has more mass than that."""
    yield from _is_greedy(trial, Sampling(temperature=HOT, top_p=1e-6), "top_p=1e-6")


def min_p(trial: Trial) -> Iterator[str]:
    """As for top_k."""
    yield from _is_greedy(trial, Sampling(temperature=HOT, min_p=1.0), "min_p=1")


def _is_greedy(trial: Trial, law: Sampling, name: str) -> Iterator[str]:
    free = trial.free()
    output = trial.ask(trial.request(law=law, tokens=len(free))).token_ids
    if output != free:
        yield f"with {name} at temperature {HOT:g} it gave {shown(output)}, not {shown(free)}"
