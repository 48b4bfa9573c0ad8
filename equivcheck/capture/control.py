"""What the control arm is: the target once more, so that only what mere arithmetic does can differ.

Of a native target that is plain decoding by torch's kernels, one slot wide. Of any other it is that
engine itself, one request at a time where the target is given several: another decoder's arithmetic
would say nothing of it. Where company cannot change what it computes, as with an engine that serves
one request at a time anyway, the native decoder stands in.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from equivcheck.capture.ask import closing
from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.settings import AUTO, EngineSetup, Settings
from equivcheck.engines.naming import read_spec
from equivcheck.records.records import CONTROL

NATIVE_CONTROL = "native:gamma=0,width=1,kernels=library"
Open = Callable[[str, EngineSetup], Engine]
"""Opens an engine by its specification, as `load_engine` does."""


def open_control(settings: Settings, *, target: Capabilities | None, open_engine: Open) -> Engine:
    """The engine of the arm `control`.

    Args:
        settings: With a control.
        target: What the target says of itself; None: it was not opened yet.
        open_engine: Opens an engine.

    Raises:
        EquivcheckError: as `open_engine`.
    """
    if settings.control not in (None, AUTO):
        return open_engine(settings.control, settings.setup)
    native = read_spec(settings.target, settings.engine).name == "native"
    if not native and (target is None or target.batch_size > 1):
        alone = open_engine(settings.target, replace(settings.setup, batch_size=1))
        if alone.capabilities.batch_size == 1:
            return alone
        # One that was recorded, or is held open by the caller, is the target over again.
        with closing(alone, arm=CONTROL):
            pass
    return open_engine(NATIVE_CONTROL, settings.setup)
