"""Schedules: suites made to bring about what faults need, each in one or two full batches.

A schedule is one workload. Events that must have occurred in it are in `events.py`. Another seed
gives other prompts, orders and random streams of the same shape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import msgspec

from equivcheck.core.cases import Case, Sampling, Suite
from equivcheck.core.errors import unknown_name
from equivcheck.fault_matrix.prompts import REPETITIVE
from equivcheck.fault_matrix.sessions import samples, shared, turns
from equivcheck.fault_matrix.writer import ROWS as ROWS
from equivcheck.fault_matrix.writer import Encode, Writer

CONTEXT = 256
PAGES = (62, 63, 64, 65, 66, 127, 128)
"""Prompt lengths around the borders of pages and of prefill chunks."""
SHARED = (16, 22, 64, 70)
"""Leading tokens that prompts share."""
FORCED, MORE_FORCED = 1e3, 1e6
"""Biases that decide a choice, the second over the first."""
TIED = 2.0**30
"""A bias under which fp32 logits of any size come out equal: an exact tie."""
HOT = 100.0
"""The highest temperature: at lower ones, engines that add noise to logits as they are keep nothing
of it beside such a bias."""

SAMPLINGS = (
    Sampling(temperature=0.7),
    Sampling(temperature=1.0),
    Sampling(temperature=1.3),
    Sampling(temperature=1.0, top_k=5, top_p=0.6),
    Sampling(temperature=0.9, top_p=0.8),
    Sampling(temperature=1.2, min_p=0.1),
    Sampling(temperature=0.8, top_k=3),
    Sampling(temperature=0.5),
)
GREEDY = Sampling()


def plain(write: Writer) -> Iterator[Case]:
    """Greedy, prompts of every kind."""
    for prompt in write.varied[:ROWS]:
        yield Case(id="", prompt=prompt, max_new_tokens=32)


def repetitive(write: Writer) -> Iterator[Case]:
    """Greedy, with long runs of accepted drafts."""
    for prompt in write.repetitive:
        yield Case(id="", prompt=prompt, max_new_tokens=48)


def long(write: Writer) -> Iterator[Case]:
    """Greedy, long outputs."""
    for prompt in (*write.varied[:4], *write.repetitive[:4]):
        yield Case(id="", prompt=prompt, max_new_tokens=112, ignore_eos=True)


def drafts(write: Writer) -> Iterator[Case]:
    """Greedy, many prompts: how often drafts are accepted, with room for a small difference."""
    doubled = [
        f"{one}\n\n{other}" for one, other in zip(write.varied, write.repetitive, strict=False)
    ]
    for prompt in (*write.varied, *write.repetitive, *doubled):
        yield Case(id="", prompt=prompt, max_new_tokens=96, ignore_eos=True)


def noisy(write: Writer) -> Iterator[Case]:
    """Greedy, for targets of which low bits are noise."""
    yield from plain(write)
    yield from repetitive(write)


def sampled(write: Writer) -> Iterator[Case]:
    """Eight distributions in one batch."""
    for prompt, sampling in zip(write.varied, SAMPLINGS, strict=False):
        yield Case(id="", prompt=prompt, max_new_tokens=32, sampling=sampling)


def mixed(write: Writer) -> Iterator[Case]:
    """Greedy and sampled rows in one batch, which shrinks as they end one by one."""
    prompts = (*write.varied[:4], *write.repetitive[:4])
    for index, (prompt, sampling) in enumerate(zip(prompts, SAMPLINGS, strict=True)):
        yield Case(
            id="",
            prompt=prompt,
            max_new_tokens=40 - 4 * ((3 * index + 3) % ROWS),
            sampling=sampling if index % 2 else GREEDY,
            ignore_eos=True,
        )


def penalised(write: Writer) -> Iterator[Case]:
    """Penalties and biases, on texts that repeat themselves."""
    common = dict.fromkeys(write.ids(" the of and in a to is, ."), -20.0)
    comma = dict.fromkeys(write.ids(","), 4.0)
    samplings = (
        Sampling(frequency_penalty=0.4),
        Sampling(repetition_penalty=1.3),
        Sampling(presence_penalty=2.0),
        Sampling(frequency_penalty=0.2),
        Sampling(logit_bias=common),
        Sampling(logit_bias=comma),
        Sampling(temperature=0.8, presence_penalty=1.0, frequency_penalty=0.5),
        Sampling(temperature=0.9, repetition_penalty=1.1, logit_bias=common),
    )
    prompts = (*write.repetitive[:4], *write.varied[:4])
    for prompt, sampling in zip(prompts, samplings, strict=True):
        yield Case(id="", prompt=prompt, max_new_tokens=32, sampling=sampling)


def endings(write: Writer) -> Iterator[Case]:
    """The end of text in every slot; stop ids, stop strings, and stops that meet the limit."""
    word, stop = write.ids(" man")[0], write.ids(";")[0]
    prompts = iter(write.varied)
    for least in range(ROWS):
        sampling = Sampling(logit_bias={word: FORCED, write.eos: MORE_FORCED}, min_new_tokens=least)
        yield Case(id="", prompt=next(prompts), max_new_tokens=24, sampling=sampling)
    for least, limit in ((2, 24), (3, 24), (2, 3), (4, 5)):
        sampling = Sampling(logit_bias={word: FORCED, stop: MORE_FORCED}, min_new_tokens=least)
        yield Case(
            id="",
            prompt=next(prompts),
            max_new_tokens=limit,
            sampling=sampling,
            stop_token_ids=(stop,),
        )
    for prompt, ending in zip(REPETITIVE, (",", '"', "three", "x"), strict=False):
        yield Case(id="", prompt=prompt, max_new_tokens=32, stop=(ending,))


def strings(write: Writer) -> Iterator[Case]:
    """Stop strings that end inside a token, in each slot, and some that span whole tokens.

    The text is one word again and again, whose first space a stop string leaves out. The last is
    never met: its text is free, so that drafts are rejected here as well.
    """
    word, prompts = " man", iter(write.varied)
    sampling = Sampling(logit_bias={write.ids(word)[0]: FORCED})
    inside = [word * tokens + word[:-1] for tokens in range(5)]
    for stop in (*inside, word * 2, word * 4):
        prompt = next(prompts)
        yield Case(id="", prompt=prompt, max_new_tokens=16, sampling=sampling, stop=(stop[1:],))
    yield Case(id="", prompt=next(prompts), max_new_tokens=32, stop=("king of the sea",))


def budgets(write: Writer) -> Iterator[Case]:
    """Token limits from 1 to beyond a block."""
    for limit, prompt in enumerate(write.repetitive, start=1):
        yield Case(id="", prompt=prompt, max_new_tokens=limit, ignore_eos=True)


def borders(write: Writer) -> Iterator[Case]:
    """Prompts that end around borders, outputs that cross them, and one that fills the context."""
    for length in PAGES:
        yield Case(id="", token_ids=write.filler(length), max_new_tokens=40, ignore_eos=True)
    yield Case(id="", token_ids=write.filler(CONTEXT - 40), max_new_tokens=40, ignore_eos=True)


def repeats(write: Writer) -> Iterator[Case]:
    """Four prompts, four times each, half of them penalised, in rows that served before."""
    prompts = [(prompt + "\n") * 3 for prompt in write.varied[:4]]
    for index in range(2 * ROWS):
        sampling = Sampling(frequency_penalty=1.0) if index % 2 else GREEDY
        yield Case(id="", prompt=prompts[index // 2 % 4], max_new_tokens=20, sampling=sampling)


def prefixes(write: Writer) -> Iterator[Case]:
    """Pairs of prompts that share pages and differ behind, at a border of pages and inside one."""
    for length in SHARED:
        start = write.filler(length)
        for _ in range(2):
            yield Case(
                id="", token_ids=start + write.filler(24), max_new_tokens=16, ignore_eos=True
            )


def ties(write: Writer) -> Iterator[Case]:
    """Exact ties: of two tokens in greedy rows, and across a cut in sampled ones beside them."""
    words = [write.ids(word)[0] for word in (" man", " king", " sea")]
    best = Sampling(logit_bias=dict.fromkeys(words[:2], TIED))
    across = Sampling(temperature=HOT, top_k=2, logit_bias=dict.fromkeys(words, TIED))
    for index, (prompt, sampling) in enumerate(zip(write.varied, SAMPLINGS, strict=False)):
        planted = (best, across, best, sampling)[index % 4]
        yield Case(id="", prompt=prompt, max_new_tokens=12, sampling=planted)


def bans(write: Writer) -> Iterator[Case]:
    """Each row bans another token, which would be certain if it did not."""
    words = dict.fromkeys(write.ids(" sea king old man day night time house world little"))
    for prompt, word in zip(write.varied, list(words)[:ROWS], strict=False):
        sampling = Sampling(logit_bias={word: FORCED}, banned_tokens=(word,))
        yield Case(id="", prompt=prompt, max_new_tokens=24, sampling=sampling)


def recurrent(write: Writer) -> Iterator[Case]:
    """For a target with a recurrent layer: drafts that come and go."""
    for prompt in (*write.repetitive[:4], *write.varied[:4]):
        yield Case(id="", prompt=prompt, max_new_tokens=40, ignore_eos=True)


def law(write: Writer) -> Iterator[Case]:
    """Sampled cases whose distribution is tested, with greedy ones for company."""
    samplings = (
        Sampling(temperature=1.0),
        Sampling(temperature=0.8),
        Sampling(temperature=1.2, top_k=50),
        Sampling(temperature=0.9, top_p=0.9),
    )
    # Two distributions a prompt: behind one that leaves no choice, a wrong nucleus would go unseen.
    for turn in range(2):
        for index, prompt in enumerate(write.varied[:ROWS]):
            sampling = samplings[(index + turn) % len(samplings)]
            yield Case(id="", prompt=prompt, max_new_tokens=48, sampling=sampling)


WRITERS: dict[str, Callable[[Writer], Iterator[Case]]] = {
    written.__name__: written
    for written in (
        plain,
        repetitive,
        long,
        drafts,
        noisy,
        sampled,
        mixed,
        penalised,
        endings,
        strings,
        budgets,
        borders,
        repeats,
        prefixes,
        ties,
        bans,
        recurrent,
        law,
        turns,
        shared,
        samples,
    )
}


def schedule(name: str, *, seed: int, encode: Encode, eos: int) -> Suite:
    """One schedule as a suite.

    Raises:
        KeyError: there is none of that name.
    """
    if name not in WRITERS:
        raise KeyError(unknown_name("schedule", name, WRITERS))
    written = WRITERS[name](Writer(seed=seed, encode=encode, eos=eos))
    cases = tuple(
        msgspec.structs.replace(case, id=f"{index:02}") for index, case in enumerate(written)
    )
    return Suite(
        path=f"{name}.jsonl",
        workload=name,
        description=(WRITERS[name].__doc__ or "").strip(),
        cases=cases,
        lines=tuple(range(2, len(cases) + 2)),
        digest=hashlib.sha256(msgspec.json.encode(cases)).hexdigest(),
        distribution=name == law.__name__,
    )
