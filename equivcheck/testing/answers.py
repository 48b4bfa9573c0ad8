"""Rules about answers as such: that there is one for each request, and always the same one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec import convert

from equivcheck.core.cases import Sampling
from equivcheck.records.divergence import first_divergence
from equivcheck.testing.trial import Trial, shown


def once_each(trial: Trial) -> Iterator[str]:
    """Several requests at once: each key answered once, with tokens, and nothing else."""
    requests = [trial.request(prompt) for prompt in trial.prompts * 2]
    answers = list(trial.engine.generate(requests))
    counts = Counter(answer.key for answer in answers)
    for request in requests:
        if counts[request.key] != 1:
            times = counts[request.key]
            yield f"asked {len(requests)} requests at once, it answered {request.key} {times} times"
    for key in counts.keys() - {request.key for request in requests}:
        yield f"it answered {key}, which was not asked"
    prompts = {request.key: request.prompt_ids for request in requests}
    for answer in answers:
        if not answer.token_ids:
            yield f"its answer to {answer.key} has no token"
        length = len(prompts.get(answer.key, ()))
        if answer.prompt_tokens != length:
            yield f"it counts {answer.prompt_tokens} prompt tokens where {length} were given"


def in_vocabulary(trial: Trial) -> Iterator[str]:
    """No id that the tokenizer does not know."""
    size = len(trial.tokenizer)
    for prompt in trial.prompts:
        for place, token in enumerate(trial.free(prompt)):
            if not 0 <= token < size:
                yield f"output token {place} is id {token}, outside the vocabulary of {size}"


def repeats(trial: Trial) -> Iterator[str]:
    """The same greedy request twice, one right after the other."""
    for prompt in trial.prompts:
        first, again = (trial.ask(trial.request(prompt)) for _ in range(2))
        place = first_divergence(first, again)
        if place is not None:
            yield (
                f"asked the same twice at temperature 0, its answers part at token {place}: "
                f"{shown(first.token_ids[place:])} and {shown(again.token_ids[place:])}"
            )


def leaks(trial: Trial) -> Iterator[str]:
    """A, then B with every parameter set, then A again."""
    before = trial.ask(trial.request())
    output = before.token_ids
    fields = {
        "repetition_penalty": trial.within("repetition_penalty", 5.0),
        "presence_penalty": trial.within("presence_penalty", 5.0),
        "logit_bias": {output[0]: trial.within("logit_bias", -50.0)},
        "banned_tokens": output[:2],
    }
    heavy = convert({name: value for name, value in fields.items() if trial.serves(name)}, Sampling)
    # Where all of it at once is refused, a plain request from another prompt has to do.
    accepted = trial.accepts(trial.request(trial.prompts[-1], sampling=heavy))
    if not accepted:
        trial.ask(trial.request(trial.prompts[-1]))
    after = trial.ask(trial.request())
    place = first_divergence(before, after)
    if place is not None:
        other = "a request with penalties" if accepted else "another request"
        yield (
            f"after {other} in between, the same request is answered differently from token "
            f"{place} on: {shown(output[place:])} became {shown(after.token_ids[place:])}"
        )


def alone(trial: Trial) -> Iterator[str]:
    """Each request alone and all together, unless the batch may change low bits."""
    told = trial.capabilities
    requests = [trial.request(prompt) for prompt in trial.prompts]
    together = {answer.key: answer for answer in trial.engine.generate(requests)}
    if told.identity is None and told.batch_size > 1:
        return
    for request in requests:
        single = trial.ask(request)
        place = first_divergence(single, together[request.key])
        if place is not None:
            yield (
                f"among {len(requests)} requests an answer differs from the one given alone, from "
                f"token {place} on"
            )
