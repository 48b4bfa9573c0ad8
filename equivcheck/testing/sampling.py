"""Rules about sampling parameters: each has the effect it must have, or is refused.

An engine that takes a parameter and ignores it answers another question than it was asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from equivcheck.core.cases import Sampling
from equivcheck.testing.ending import CERTAIN, DECISIVE
from equivcheck.testing.trial import Trial, Untried, shown

SEEDS = 4
WARM = 1.5
LONG = 48
"""Tokens over which a weak penalty has the time to show."""
HOT = 5.0
"""A temperature at which an untruncated draw is hardly ever the greedy one throughout."""


def seeds(trial: Trial) -> Iterator[str]:
    """The same seed twice gives the same, other seeds give something else."""
    sampling = Sampling(temperature=trial.within("temperature", WARM, enough=WARM))
    if not trial.capabilities.sampled and trial.accepts(trial.request(sampling=sampling)):
        yield f"it says that it cannot sample, and answered a request at temperature {WARM:g}"
        return
    outputs = set()
    for seed in range(SEEDS):
        request = trial.request(sampling=sampling, seed=seed)
        first, again = (trial.ask(request).token_ids for _ in range(2))
        if first != again:
            yield f"asked the same twice with seed {seed}, it drew {shown(first)}, {shown(again)}"
        outputs.add(first)
    if len(outputs) == 1:
        yield f"{SEEDS} seeds at temperature {WARM:g} gave the same {len(*outputs)} tokens"


def banned(trial: Trial) -> Iterator[str]:
    """Ban what greedy decoding would say, again and again."""
    hidden: tuple[int, ...] = ()
    for _ in range(3):
        sampling = Sampling(banned_tokens=hidden)
        output = trial.ask(trial.request(sampling=sampling, tokens=trial.slots)).token_ids
        for token in set(hidden) & set(output):
            yield f"token {token} was banned and appears at {output.index(token)}"
            return
        hidden += output[:1]


def bias(trial: Trial) -> Iterator[str]:
    """A token that greedy decoding would not say is made certain."""
    free = trial.free()
    others = [token for token in (*free, *trial.prompts[0]) if token != free[0]]
    for token in others[:1]:
        strength = trial.within("logit_bias", CERTAIN, enough=DECISIVE)
        sampling = Sampling(logit_bias={token: strength})
        output = trial.ask(trial.request(sampling=sampling, tokens=trial.slots)).token_ids
        if set(output) != {token}:
            yield f"with a bias of {strength:g} on token {token} it gave {shown(output)}"


def presence(trial: Trial) -> Iterator[str]:
    """A penalty that no logit can make up for: no token comes twice."""
    strength = trial.within("presence_penalty", CERTAIN)
    yield from _no_repeat(trial, Sampling(presence_penalty=strength), "presence_penalty")


def frequency(trial: Trial) -> Iterator[str]:
    """As for presence."""
    strength = trial.within("frequency_penalty", CERTAIN)
    yield from _no_repeat(trial, Sampling(frequency_penalty=strength), "frequency_penalty")


def _no_repeat(trial: Trial, sampling: Sampling, name: str) -> Iterator[str]:
    if getattr(sampling, name) < CERTAIN:
        _changes_an_answer(trial, sampling, name)
        return
    samplings = [sampling]
    if trial.serves("logit_bias"):
        # A bias makes one token so likely that without the penalty it would be all there is.
        likely = {trial.free()[0]: trial.within("logit_bias", CERTAIN / 2)}
        samplings.append(replace(sampling, logit_bias=likely))
    for tried in samplings:
        output = trial.ask(trial.request(sampling=tried)).token_ids
        if len(set(output)) < len(output):
            yield f"with {name}={CERTAIN:g} tokens come twice: {shown(output)}"
            return


def _changes_an_answer(trial: Trial, sampling: Sampling, name: str) -> None:
    """Where a penalty that decides is not to be had, one that changes something has to do.

    Raises:
        Untried: it changes no answer, which a weak one need not.
    """
    for prompt in trial.prompts:
        plain, penalised = (
            trial.ask(trial.request(prompt, sampling=each, tokens=LONG)).token_ids
            for each in (Sampling(), sampling)
        )
        if plain != penalised:
            return
    raise Untried(f"{name} goes up to {getattr(sampling, name):g}, and that changes no answer")


def repetition(trial: Trial) -> Iterator[str]:
    """Very strong and very weak penalties change at least one answer."""
    strongest, weakest = (
        trial.within("repetition_penalty", each) for each in (CERTAIN, 1 / CERTAIN)
    )
    for penalty in (strongest, weakest):
        sampling = Sampling(repetition_penalty=penalty)
        for prompt in trial.prompts:
            free = trial.free(prompt)
            if (
                trial.ask(trial.request(prompt, sampling=sampling, tokens=len(free))).token_ids
                != free
            ):
                return
    told = f"repetition_penalty={strongest:g} and {weakest:g} change no answer"
    if strongest < CERTAIN:
        raise Untried(told)
    yield told


def top_k(trial: Trial) -> Iterator[str]:
    """One token kept is the greedy one, at any temperature."""
    yield from _is_greedy(trial, Sampling(top_k=1), "top_k=1")


def top_p(trial: Trial) -> Iterator[str]:
    """As for top_k: the most likely token alone already has more mass than that."""
    least = trial.within("top_p", 1e-6, enough=1e-2)
    yield from _is_greedy(trial, Sampling(top_p=least), f"top_p={least:g}")


def min_p(trial: Trial) -> Iterator[str]:
    """As for top_k."""
    most = trial.within("min_p", 1.0, enough=0.99)
    yield from _is_greedy(trial, Sampling(min_p=most), f"min_p={most:g}")


def _is_greedy(trial: Trial, sampling: Sampling, name: str) -> Iterator[str]:
    free, hot = trial.free(), trial.within("temperature", HOT, enough=1.0)
    sampling = replace(sampling, temperature=hot)
    output = trial.ask(trial.request(sampling=sampling, tokens=len(free))).token_ids
    if output != free:
        yield f"with {name} at temperature {hot:g} it gave {shown(output)}, not {shown(free)}"
