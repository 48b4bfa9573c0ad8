"""Services of engines in processes of their own: the same events, and what a lost process costs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing

import pytest

from equivcheck.capture.serve import serve_schedule
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Request
from equivcheck.core.service_schedule import Arrival, Schedule
from equivcheck.core.settings import EngineSetup
from equivcheck.core.times import Arrives, Delay, Patience, ServingLimits
from equivcheck.engines.isolation.engine import IsolatedEngine
from equivcheck.engines.native import NativeEngine
from equivcheck.engines.registry import load_engine

SETUP = EngineSetup(pair="tiny", device="cpu", threads=1, batch_size=2, context=96)
REQUESTS = {
    key: Request(
        key=key, prompt_ids=(*range(300, 332), 400 + ord(key)), max_new_tokens=12, ignore_eos=True
    )
    for key in "abcd"
}
SCHEDULE = Schedule(
    name="s",
    arrivals=(
        Arrival(key="a"),
        Arrival(key="b", give_up_after=Patience(tokens=3), retry=Delay(step=2)),
        Arrival(key="c", arrives=Arrives(step=2), give_up_after=Patience(tokens=0)),
        Arrival(key="d", arrives=Arrives(wave=1)),
    ),
    limits=ServingLimits(live_tokens=96),
)


@pytest.fixture
def isolated() -> Iterator[IsolatedEngine]:
    engine = load_engine("isolated:native:gamma=3", SETUP)
    assert isinstance(engine, IsolatedEngine)
    with closing(engine):
        yield engine


def test_the_same_happens_as_in_this_process(isolated: IsolatedEngine) -> None:
    here = load_engine("native:gamma=3", SETUP)
    assert isinstance(here, NativeEngine)
    ours = serve_schedule(isolated, SCHEDULE, REQUESTS)
    theirs = serve_schedule(here, SCHEDULE, REQUESTS)
    assert isolated.capabilities.serves

    def told(events: object) -> list[object]:
        return [
            (each.step, each.key, each.happened, each.row, each.cached, each.source, each.tokens)
            for each in events  # type: ignore[attr-defined]
        ]

    assert told(ours.events) == told(theirs.events)
    assert ours.count("given up") == 2
    assert {key: each.token_ids for key, each in ours.answers.items()} == {
        key: each.token_ids for key, each in theirs.answers.items()
    }
    # Whoever is asked in batches afterwards finds the engine as it was.
    (again,) = isolated.generate([REQUESTS["a"]])
    assert again.token_ids == ours.answers["a"].token_ids


def test_a_refusal_is_told_and_a_lost_process_ends_its_service(isolated: IsolatedEngine) -> None:
    service = isolated.serve(ServingLimits())
    with pytest.raises(EngineError, match="serve long: prompt and output need 170"):
        service.submit(Request(key="long", prompt_ids=(300,) * 90, max_new_tokens=80))
    service.submit(REQUESTS["a"])
    with pytest.raises(EngineError, match="a is being served already"):
        service.submit(REQUESTS["a"])
    assert not service.cancel("b")
    assert service.advance()
    process = isolated._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match=r"ended by signal 9 \(SIGKILL\) while it served"):
        service.advance()
    with pytest.raises(EngineError, match="the process of the service has ended"):
        service.advance()
    answers = serve_schedule(isolated, SCHEDULE, REQUESTS).answers
    assert answers.keys() == {"a", "b", "d"}
