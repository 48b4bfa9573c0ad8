"""The catalogue of seeded faults: public bugs re-created on the native decoder, and controls.

A detector that has never caught anything proves nothing. Each fault overrides one seam of
`Decoder`; the decoder itself holds no fault code.
"""

from __future__ import annotations

from equivcheck.core.errors import SettingsError, unknown_name
from equivcheck.faults import (
    alignment,
    arithmetic,
    batching,
    blocks,
    bonus,
    constraints,
    controls,
    counters,
    deltas,
    drafting,
    heads,
    heads_in_turn,
    life_cycle,
    lossy,
    padding,
    penalties,
    pools,
    positions,
    recurrence,
    replacement,
    rollback,
    sampling,
    sampling_noise,
    sampling_precision,
    sampling_probs,
    scores,
    serving,
    serving_controls,
    serving_prefixes,
    sessions,
    stopping,
    streams,
    target_probs,
    vacuity,
    verification,
    vocabulary,
)
from equivcheck.faults.fault import REGISTERED, Fault

MODULES = (
    verification,
    replacement,
    target_probs,
    sampling_noise,
    streams,
    bonus,
    alignment,
    rollback,
    positions,
    stopping,
    penalties,
    constraints,
    scores,
    batching,
    life_cycle,
    padding,
    vocabulary,
    arithmetic,
    drafting,
    heads,
    heads_in_turn,
    pools,
    lossy,
    sampling,
    sampling_probs,
    sampling_precision,
    blocks,
    counters,
    vacuity,
    deltas,
    controls,
    recurrence,
    sessions,
    serving_prefixes,
    serving,
    serving_controls,
)
"""In the order of the catalogue, whichever of them was imported and so registered first."""

_PLACES = {module.__name__: place for place, module in enumerate(MODULES)}
_ENTRIES = sorted(REGISTERED.values(), key=lambda entry: _PLACES[entry.module])
CATALOGUE = tuple(
    sorted(
        (entry for entry in _ENTRIES if entry.breaks != "nothing"),
        key=lambda entry: int(entry.family.removeprefix("F")),
    )
)
"""Every fault, by family."""
CONTROLS = tuple(entry for entry in _ENTRIES if entry.breaks == "nothing")
"""Every control."""


def find(fault_id: str) -> Fault:
    """Look a fault or a control up.

    Raises:
        SettingsError: there is none of that name.
    """
    if fault_id not in REGISTERED:
        raise SettingsError(unknown_name("fault", fault_id, REGISTERED))
    return REGISTERED[fault_id]
