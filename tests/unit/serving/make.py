"""Services of small random models, and what a request's answer is when it is alone."""

from __future__ import annotations

import msgspec

from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import ServedEvent, ServingLimits
from equivcheck.decoding.decoder import Decoder
from equivcheck.serving.server import Server
from tests.unit.decoding.models import decode, drafter_named, make_decoder, make_requests

ROWS = 3


def server(
    limits: ServingLimits | None = None,
    *,
    drafter: str = "none",
    lag: int = 0,
    together: bool = True,
    kind: type[Server] = Server,
    rows: int = ROWS,
) -> Server:
    """A service; `lag` is by how many steps outcomes come late, as on a GPU."""
    decoder = make_decoder(drafter_named(drafter, rows=rows), rows=rows, reads_together=together)
    decoder.runner.lag = lag
    return kind(decoder, limits or ServingLimits())


def alone(requests: list[Request], *, together: bool = True) -> dict[str, Generation]:
    """Each request's answer in a batch of its own, plainly decoded."""
    decoder: Decoder = make_decoder(rows=ROWS, reads_together=together)
    answers: dict[str, Generation] = {}
    for request in requests:
        answers |= decode(decoder, [request])
    return answers


def finish(service: Server) -> list[ServedEvent]:
    """Advance until no request is left; all events."""
    events: list[ServedEvent] = []
    while not service.idle:
        events += service.advance()
    return events


def answers(events: list[ServedEvent]) -> dict[str, Generation]:
    """What was finished, by key."""
    return {each.key: each.generation for each in events if each.generation is not None}


def bits(answer: Generation) -> object:
    """All of an answer but its times and steps: tokens, reason, scores and logit fingerprints."""
    return answer.token_ids, answer.finish_reason, answer.scores, answer.logit_digests


def same(one: dict[str, Generation], other: dict[str, Generation]) -> bool:
    """Whether two sets of answers agree to the bit."""
    return one.keys() == other.keys() and all(bits(one[key]) == bits(other[key]) for key in one)


def sharing(count: int, *, shared: int = 40, tokens: int = 12) -> list[Request]:
    """Requests whose prompts begin alike, and go on differently."""
    first, *rest = make_requests(count + 1, tokens=tokens, seed=9)
    beginning = (first.prompt_ids * 40)[:shared]
    return [
        msgspec.structs.replace(
            each, key=each.key.replace("test", "shared"), prompt_ids=beginning + each.prompt_ids
        )
        for each in rest
    ]
