"""The verify steps of an answer as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, SupportsIndex, overload

import numpy as np

from equivcheck.core.generation import DraftCounts, Step
from equivcheck.core.packed_sequences import Array, Packed, column

NONE = -1
"""Length of what a step does not tell."""


class Ragged:
    """A sequence of numbers a step, or nothing where a step does not tell it."""

    def __init__(self, lengths: Array, values: Array) -> None:
        """Hold [N] lengths, `NONE` where nothing is told, and all numbers one after another."""
        self.lengths, self.values = lengths, values

    @classmethod
    def of(cls, told: list[Any], *, kind: str) -> Ragged | None:
        """Pack sequences; None where no step tells anything."""
        silent = told.count(None)
        if silent == len(told):
            return None
        lengths = (
            [NONE if each is None else len(each) for each in told] if silent else map(len, told)
        )
        values = list(chain.from_iterable(filter(None, told)))
        return cls(column("i", list(lengths)), column(kind, values))

    def part(self, at: int) -> Ragged:
        """That of one step alone."""
        start = int(np.maximum(self.lengths[:at], 0).sum())
        lengths = self.lengths[at : at + 1]
        return Ragged(lengths, self.values[start : start + max(int(lengths[0]), 0)])

    def unpacked(self) -> Iterator[tuple[Any, ...] | None]:
        """One a step."""
        if not len(self.values) and not self.lengths.any():
            yield from [()] * len(self.lengths)
            return
        values, at = self.values.tolist(), 0
        for length in self.lengths.tolist():
            yield None if length == NONE else tuple(values[at : at + length])
            at += max(length, 0)


class PackedSteps(Packed[Step]):
    """The verify steps of one answer."""

    def __init__(self, steps: Sequence[Step]) -> None:
        """Take the columns out of some steps.

        Raises:
            OverflowError: a number is far out of bounds.
        """
        counts = [step.drafted for step in steps] + [step.accepted for step in steps]
        counts += [step.emitted for step in steps]
        self.counts = column("h", counts).reshape(3, -1).T
        """[N, 3]: drafted, accepted, emitted."""
        self.seconds = _floats([step.seconds for step in steps])
        """NaN where a step has none; None where no step has any."""
        self.rejected = _floats([step.rejected for step in steps])
        """As `seconds`: every id of 32 bits is such a number."""
        self.drafts = Ragged.of([step.drafts for step in steps], kind="i")
        self.residual_log_weight = _floats([step.residual_log_weight for step in steps])
        """As `seconds`."""
        self.draft_logprobs = Ragged.of([step.draft_logprobs for step in steps], kind="d")

    def unpacked(self) -> tuple[Step, ...]:
        """One record a step."""
        times = [None] * len(self) if self.seconds is None else self.seconds.tolist()
        return tuple(
            Step(
                drafted=drafted,
                accepted=accepted,
                emitted=emitted,
                seconds=None if seconds is None or seconds != seconds else seconds,
                rejected=rejected,
                drafts=drafts,
                draft_logprobs=logprobs,
                residual_log_weight=weight,
            )
            for (drafted, accepted, emitted, rejected, drafts, logprobs, weight), seconds in zip(
                self.rows(), times, strict=True
            )
        )

    @overload
    def __getitem__(self, index: SupportsIndex) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Step, ...]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Step | tuple[Step, ...]:
        if isinstance(index, slice):
            return self.unpacked()[index]
        at = range(len(self))[index]
        return self._part(at).unpacked()[0]

    def _part(self, at: int) -> PackedSteps:
        """One step alone."""
        part = object.__new__(PackedSteps)
        part.counts = self.counts[at : at + 1]
        part.seconds = None if self.seconds is None else self.seconds[at : at + 1]
        part.rejected = None if self.rejected is None else self.rejected[at : at + 1]
        weight = self.residual_log_weight
        part.residual_log_weight = None if weight is None else weight[at : at + 1]
        part.drafts = None if self.drafts is None else self.drafts.part(at)
        told = self.draft_logprobs
        part.draft_logprobs = None if told is None else told.part(at)
        return part

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All of every step but its time."""
        none = [None] * len(self)
        drafts, logprobs = self.drafts, self.draft_logprobs
        if self._alike:
            told = None if drafts is None else ()
            return iter([(*self.counts[0].tolist(), None, told, None, None)] * len(self))
        rejected: list[int | None] = [*none]
        if self.rejected is not None:
            told = self.rejected.tolist()
            rejected = [None if each != each else int(each) for each in told]
        weights: list[float | None] = [*none]
        if self.residual_log_weight is not None:
            told = self.residual_log_weight.tolist()
            weights = [None if each != each else each for each in told]
        return zip(
            *self.counts.T.tolist(),
            rejected,
            none if drafts is None else drafts.unpacked(),
            none if logprobs is None else logprobs.unpacked(),
            weights,
            strict=True,
        )

    @property
    def _alike(self) -> bool:
        """Whether steps differ in nothing but their times, as those of plain decoding."""
        drafts = self.drafts
        return (
            self.rejected is None
            and self.residual_log_weight is None
            and self.draft_logprobs is None
            and (drafts is None or not (len(drafts.values) or drafts.lengths.any()))
            and bool((self.counts == self.counts[0]).all())
        )

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def totals(self) -> DraftCounts:
        """As `Generation.totals`."""
        drafted, accepted = self.counts[:, 0], self.counts[:, 1]
        taken = accepted[drafted != 0]
        most = max(int(taken.max()), 0) if len(taken) else 0
        return DraftCounts(
            drafted=int(drafted.sum()),
            accepted=int(taken.sum()),
            steps=len(self),
            accepted_by_slot=tuple(int((taken > slot).sum()) for slot in range(most)),
        )


def _floats(values: list[Any]) -> Array | None:
    silent = values.count(None)
    if silent == len(values):
        return None
    return np.array(values, dtype=np.float64) if silent else column("d", values)
