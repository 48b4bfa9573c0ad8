"""Schedules of services: who comes when, who is given up, under which limits.

Beside `schedules.py`, whose cases are asked in batches; these are served. Another seed gives other
prompts and random streams of the same shape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.core.service_schedule import Arrival, Demand, Schedule
from equivcheck.core.times import Arrives, Delay, Patience, ServingLimits
from equivcheck.fault_matrix.writer import Encode, Writer

SAMPLINGS = (
    Sampling(),
    Sampling(temperature=0.8, presence_penalty=1.0, frequency_penalty=0.5),
    Sampling(frequency_penalty=0.6),
    Sampling(temperature=1.0, top_p=0.9),
    Sampling(repetition_penalty=1.3, min_new_tokens=40),
    Sampling(temperature=1.2),
)


class ScheduledRequest(NamedTuple):
    """One request and when it comes."""

    prompt: tuple[int, ...]
    step: int = 0
    tokens: int = 24
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    give_up_after: int | None = None
    retry_after: int | None = None
    sample: str = ""
    """What follows its key, where it is one of several samples; the key is the first one's then."""


class Service(NamedTuple):
    """A schedule with its requests."""

    schedule: Schedule
    requests: dict[str, Request]

    @property
    def digest(self) -> str:
        """Digest of all that is asked."""
        parts = (self.schedule, self.requests)
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def again(write: Writer) -> Iterator[ScheduledRequest]:
    """One prompt again and again, and between others that share its beginning or its middle."""
    first = write.filler(70)
    inside, border = first[:40] + write.filler(30), first[:65]
    middle = write.filler(16) + first[16:]
    for place, prompt in enumerate((first, inside, first, middle, border, first, border)):
        yield ScheduledRequest(prompt, 8 * place)
    yield ScheduledRequest(first, 60, stop=("e", " "))
    for prompt in (inside, middle, first):
        yield ScheduledRequest(prompt, 64, sampling=SAMPLINGS[3])


def shared(write: Writer) -> Iterator[ScheduledRequest]:
    """Requests behind one system message, in two bursts; more than there are rows."""
    system = write.filler(70)
    for place in range(10):
        yield ScheduledRequest(
            system + write.filler(8 + place), 3 * (place // 5), sampling=SAMPLINGS[place % 6]
        )


def crowded(write: Writer) -> Iterator[ScheduledRequest]:
    """Prompts that come again where there is room for few blocks, so that blocks are given away."""
    prompts = [write.filler(50) for _ in range(3)]
    for place, which in enumerate((0, 0, 1, 2, 0, 1, 1, 2, 0)):
        ending = write.filler(7) if place % 2 else ()
        yield ScheduledRequest(prompts[which] + ending, 6 * place, tokens=16)


def given_up(write: Writer) -> Iterator[ScheduledRequest]:
    """Clients go away while they wait, as they are read, and in mid-answer; some come again."""
    system = write.filler(36)
    patience = (None, 3, 0, None, 6, 1, 0, None, 2, None, 0, None)
    for place, tokens in enumerate(patience):
        yield ScheduledRequest(
            system + write.filler(5 + 9 * (place % 4)),
            2 * (place // 5),
            sampling=SAMPLINGS[place % 6],
            give_up_after=tokens,
            retry_after=place % 3 if tokens is not None and place % 4 != 1 else None,
        )


def pressure(write: Writer) -> Iterator[ScheduledRequest]:
    """More text than may be live at a time: preemption in mid-answer, with penalties that count."""
    system = write.filler(32)
    for place in range(7):
        yield ScheduledRequest(
            (write.filler(32) if place in (1, 2, 3) else system) + write.filler(6 + 3 * place),
            place,
            tokens=60,
            sampling=SAMPLINGS[place % 6],
        )


def samples(write: Writer) -> Iterator[ScheduledRequest]:
    """Several samples of each of two prompts, in one burst."""
    for _ in range(2):
        prompt = write.filler(55)
        for number in range(4):
            yield ScheduledRequest(
                prompt, sampling=SAMPLINGS[3 + 2 * (number % 2)], sample=f"#{number}"
            )


def long(write: Writer) -> Iterator[ScheduledRequest]:
    """Prompts of several chunks that come while others run."""
    for place in range(2):
        yield ScheduledRequest(write.filler(20 + place), tokens=48, sampling=SAMPLINGS[place])
    start = write.filler(150)
    yield ScheduledRequest(start + write.filler(41), 3, sampling=SAMPLINGS[2])
    yield ScheduledRequest(start + write.filler(20), 10)
    yield ScheduledRequest(start[:128] + write.filler(1), 12)


def waves(write: Writer) -> Iterator[ScheduledRequest]:
    """Bursts of other sizes, so that the batch grows and shrinks."""
    for step, size in ((0, 4), (5, 3), (22, 1), (40, 6)):
        for place in range(size):
            prompt = tuple(write.ids(write.varied[(step + place) % len(write.varied)]))
            yield ScheduledRequest(
                prompt, step, tokens=10 + 7 * place, sampling=SAMPLINGS[(step + place) % 6]
            )


WRITERS: dict[str, Callable[[Writer], Iterator[ScheduledRequest]]] = {
    write.__name__.replace("_", "-"): write
    for write in (again, shared, crowded, given_up, pressure, samples, long, waves)
}
LIMITS = {
    "crowded": ServingLimits(prefix_tokens=96),
    "pressure": ServingLimits(prefix_tokens=48, live_tokens=256),
}
DEMANDS: dict[str, tuple[Demand, ...]] = {
    "again": ("taken over", "refilled"),
    "shared": ("taken over", "refilled"),
    "crowded": ("taken over", "refilled"),
    "given-up": ("given up", "retried", "refilled", "taken over"),
    "pressure": ("preempted", "taken over"),
    "samples": ("taken over",),
    "long": ("taken over",),
    "waves": ("refilled",),
}


def service(name: str, *, seed: int, encode: Encode, eos: int) -> Service:
    """Write a schedule by name."""
    write = Writer(seed=seed, encode=encode, eos=eos)
    asked = list(WRITERS[name](write))
    arrivals, requests = [], {}
    first = ""
    for place, each in enumerate(asked):
        if each.sample in ("", "#0"):
            first = f"{name}/{place:02}"
        key = first + each.sample
        arrivals.append(
            Arrival(
                key=key,
                arrives=Arrives(step=each.step),
                give_up_after=None
                if each.give_up_after is None
                else Patience(tokens=each.give_up_after),
                retry=None if each.retry_after is None else Delay(step=each.retry_after),
            )
        )
        requests[key] = Request(
            key=key,
            prompt_ids=each.prompt,
            max_new_tokens=each.tokens,
            sampling=each.sampling,
            stop=each.stop,
            ignore_eos=not each.stop,
            seed=seed,
        )
    return Service(
        Schedule(
            name=name,
            arrivals=tuple(arrivals),
            limits=LIMITS.get(name, ServingLimits()),
            demands=DEMANDS[name],
        ),
        requests,
    )
