"""One digest of what a run asked, was answered, drew and scored: the same for two identical runs.

Times, run id, date, commit, machine, engines' messages, text for people, and what follows from the
evidence stay out. Comparable between runs of one version of equivcheck.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from equivcheck.core.generation import Generation
from equivcheck.records.records import DRAWING, Evidence

_BYTES = 16


def evidence_digest(evidence: Evidence) -> str:
    """BLAKE2b over the evidence, 32 hex digits. Says that two runs gave the same, or did not."""
    digest = blake2b(digest_size=_BYTES)
    encoder = msgspec.json.Encoder(order="deterministic")
    for part in _parts(evidence):
        # JSON of a list holds no line end, and says how long the columns behind it are, so no two
        # parts can be taken for one.
        digest.update(part if isinstance(part, bytes) else encoder.encode(part) + b"\n")
    return digest.hexdigest()


def _parts(evidence: Evidence) -> Iterator[tuple[object, ...] | bytes]:
    """Every statement of the evidence, in an order that does not hang on when it was made."""
    for key, asked in sorted(evidence.asked.items()):
        request = msgspec.to_builtins(asked.request, str_keys=True)
        # The ids say it all, and no record holds it.
        del request["conversation"]
        yield "asked", key, request, asked.workload
    for arm, captured in sorted(evidence.captured.items()):
        for key, answer in sorted(captured.items()):
            yield from _answer("answer", arm, key, answer.stop_completed_at, of=answer.generation)
    for arm, captured in sorted(evidence.other_history.items()):
        for key, answer in sorted(captured.items()):
            yield from _answer("other history", arm, key, answer.prompt_ids, of=answer.generation)
    for arm, draws in sorted(evidence.draws.items()):
        for key, drawn in sorted(draws.items()):
            yield from _answer("draw", arm, key, of=drawn)
    for arm, key in sorted({(each.arm, each.key) for each in evidence.failures}):
        yield "failure", arm, key
    for at in sorted(evidence.arbitrations, key=lambda each: (each.arm, each.key, each.position)):
        yield "arbitration", replace(at, reference="", context="", target_piece="", arm_piece="")
    for again in sorted(evidence.rescored, key=lambda each: (each.arm, each.key)):
        yield "rescored", again
    # How many draws were served side by side is no evidence; the draws are.
    own = (each for each in evidence.served if each.arm not in DRAWING)
    for run in sorted(own, key=lambda each: (each.arm, each.schedule.name)):
        # By the clock, what happens when is a time.
        timeless = run.schedule.by_steps and not run.by_clock
        yield "served", run.arm, run.schedule, run.events if timeless else ()
    for grade in sorted(evidence.grades, key=lambda each: (each.arm, each.key)):
        yield "grade", grade.arm, grade.key, grade.grader, grade.result
    if evidence.preflight:
        yield "preflight", evidence.preflight
    if evidence.scored:
        yield "scored", evidence.scored[-1]


def _answer(*told: object, of: Generation) -> Iterator[tuple[object, ...] | bytes]:
    """An answer without its times, packed or not: as JSON but for its columns of numbers."""
    from equivcheck.core.packed import columns_of, packed, without_columns

    generation = packed(of)
    columns = columns_of(generation)
    bare = replace(without_columns(generation), prefill_seconds=None, total_seconds=None)
    yield (*told, bare, [(name, each.dtype.str, each.shape) for name, each in columns.items()])
    for each in columns.values():
        yield each.tobytes()
