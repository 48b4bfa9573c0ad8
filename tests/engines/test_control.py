"""Which engine gives near ties their budget: the target's own, by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from equivcheck.capture.capture import capture
from equivcheck.capture.control import NATIVE_CONTROL, open_control
from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.registry import lent, load_engine
from equivcheck.records.records import CONTROL
from equivcheck.records.records_file import read_evidence
from tests.engines.suite import make_suite


class Foreign:
    """Somebody else's engine, which batches as it is told to."""

    def __init__(self, setup: EngineSetup, *, always: int | None = None) -> None:
        self.engine, self.always = load_engine("native:gamma=0", setup), always
        self.asked: list[int] = []
        self.closed = 0

    @property
    def capabilities(self) -> Capabilities:
        told = self.engine.capabilities
        size = self.always or told.batch_size
        return msgspec.structs.replace(told, engine="foreign", identity=None, batch_size=size)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        self.asked.append(len(requests))
        return self.engine.generate(requests)

    def close(self) -> None:
        self.closed += 1
        self.engine.close()


Opened = list[Foreign]


@pytest.fixture
def foreign() -> Iterator[Callable[..., Opened]]:
    """Lets `foreign` be opened, and keeps what was."""
    opened: Opened = []

    def open_engine(options: Mapping[str, str], setup: EngineSetup) -> Engine:
        always = options.get("always")
        opened.append(Foreign(setup, always=int(always) if always else None))
        return opened[-1]

    with lent({"foreign": open_engine}):
        yield lambda: opened


def control_of(settings: Settings) -> tuple[str, int]:
    with (
        closing(load_engine(settings.target, settings.setup)) as target,
        closing(
            open_control(settings, target=target.capabilities, open_engine=load_engine)
        ) as control,
    ):
        return control.capabilities.engine, control.capabilities.batch_size


@pytest.mark.parametrize(
    ("target", "control", "batch_size", "expected"),
    [
        ("foreign", "auto", 4, ("foreign", 1)),
        # Nothing about its company can be changed.
        ("foreign", "auto", 1, ("native:gamma=0,width=1,kernels=library", 1)),
        ("foreign:always=1", "auto", 4, ("native:gamma=0,width=1,kernels=library", 4)),
        ("foreign:always=4", "auto", 4, ("native:gamma=0,width=1,kernels=library", 4)),
        ("transformers", "auto", 4, ("native:gamma=0,width=1,kernels=library", 4)),
        ("native:gamma=0", "auto", 4, ("native:gamma=0,width=1,kernels=library", 4)),
        ("foreign", "native:gamma=0,width=2", 4, ("native:gamma=0,width=2", 4)),
    ],
)
def test_the_control_is_the_target_in_other_company(
    target: str,
    control: str,
    batch_size: int,
    expected: tuple[str, int],
    setup: EngineSetup,
    foreign: Callable[..., Opened],
) -> None:
    setup = msgspec.structs.replace(setup, batch_size=batch_size)
    assert control_of(Settings(setup=setup, target=target, control=control)) == expected
    assert all(each.closed == 1 for each in foreign())
    assert NATIVE_CONTROL == "native:gamma=0,width=1,kernels=library"


def test_it_is_asked_one_by_one(
    setup: EngineSetup, tmp_path: Path, foreign: Callable[..., Opened]
) -> None:
    settings = Settings(setup=setup, target="foreign", candidate="native:gamma=2", sampled=None)
    capture(settings, [make_suite()], tmp_path / "run")
    target, control = foreign()
    assert max(target.asked) == setup.batch_size
    assert set(control.asked) == {1}
    header = read_evidence(tmp_path / "run").header
    assert (header.arms[CONTROL].engine, header.arms[CONTROL].batch_size) == ("foreign", 1)
