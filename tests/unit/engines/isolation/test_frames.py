"""Frames: what is sent is what is read, and what is none is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError, PairError, SettingsError
from equivcheck.core.generation import DraftCounts
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.isolation import frames
from equivcheck.engines.isolation.frames import (
    HEAD,
    AnswerFrame,
    Ask,
    Broke,
    Close,
    Done,
    FrameError,
    FromEngine,
    Open,
    Opened,
    Started,
    ToEngine,
    frame,
    kind_of,
    read_from_engine,
    read_to_engine,
    size_of_body,
)
from tests.unit.make import make_capabilities, make_generation, make_request, make_steps

SAMPLING = Sampling(temperature=0.7, logit_bias={7: -1.5}, min_new_tokens=2)
FULL = make_generation(
    steps=make_steps((3, 2, 3), (3, 0, 1)),
    counts=DraftCounts(drafted=6, accepted=2, accepted_by_slot=(1, 1)),
    scores=[(-0.5, 3, float("-inf"))],
    logit_digests=(2**64 - 1,),
)


@pytest.mark.parametrize(
    "message",
    [
        Open(spec="native", setup=EngineSetup(threads=1)),
        Ask(requests=(make_request(sampling=SAMPLING, stop=("\n",)),)),
        Close(),
    ],
)
def test_to_an_engine(message: ToEngine) -> None:
    sent = frame(message)
    assert size_of_body(sent[: HEAD.size]) == len(sent) - HEAD.size
    assert read_to_engine(sent[HEAD.size :]) == message


@pytest.mark.parametrize(
    "message",
    [
        Started(version="1", python="3.12"),
        Opened(capabilities=make_capabilities(notes=("a",), ranges={"temperature": (0.0, 2.0)})),
        AnswerFrame(generation=FULL),
        Done(costs=("some",)),
        Broke(kind="pair", message="no weights"),
    ],
)
def test_from_an_engine(message: FromEngine) -> None:
    assert read_from_engine(frame(message)[HEAD.size :]) == message


@given(st.binary(max_size=200))
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        read_from_engine(body)


@given(st.binary(min_size=HEAD.size, max_size=HEAD.size))
def test_what_is_no_head_is_refused(head: bytes) -> None:
    if head.startswith(frames.MARK):
        return
    with pytest.raises(FrameError, match="is no frame"):
        size_of_body(head)


def test_frames_have_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    head = HEAD.pack(frames.MARK, frames.MOST_BYTES)
    assert size_of_body(head) == 2**30
    with pytest.raises(FrameError, match="a message of 1073741825 bytes, at most 1073741824"):
        size_of_body(HEAD.pack(frames.MARK, frames.MOST_BYTES + 1))
    monkeypatch.setattr(frames, "MOST_BYTES", 10)
    with pytest.raises(FrameError, match="at most 10"):
        frame(Broke(kind="engine", message="x" * 20))


@pytest.mark.parametrize("error", [PairError("a"), SettingsError("a"), EngineError("a")])
def test_errors_keep_their_kind(error: Exception) -> None:
    told = Broke(kind=kind_of(error), message="a").error(who="")
    assert type(told) is type(error)
    assert str(told) == "a"


def test_any_other_error_is_the_engines() -> None:
    assert kind_of(KeyError("a")) == "engine"
