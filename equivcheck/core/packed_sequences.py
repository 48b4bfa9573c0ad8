"""Sequences of numbers that behave as the tuples that they were packed from."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Generic, SupportsIndex, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from equivcheck.core.generation import TokenScore

T = TypeVar("T")
Array = NDArray[Any]


class Packed(Sequence[T], Generic[T]):
    """What behaves as the tuple that was packed."""

    def unpacked(self) -> tuple[T, ...]:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> T | tuple[T, ...]:
        return self.unpacked()[index]

    def __iter__(self) -> Iterator[T]:
        return iter(self.unpacked())

    def __eq__(self, other: object) -> bool:
        """Equal to the tuple, and to whatever is packed from an equal one."""
        if isinstance(other, Packed):
            return self.unpacked() == other.unpacked()
        return self.unpacked() == other

    def __hash__(self) -> int:
        return hash(self.unpacked())

    def __repr__(self) -> str:
        return repr(self.unpacked())


class PackedInts(Packed[int]):
    """Token ids or fingerprints."""

    def __init__(self, values: Array) -> None:
        """Hold an array of integers."""
        self.values = values

    def unpacked(self) -> tuple[int, ...]:
        return tuple(self.values.tolist())

    def __len__(self) -> int:
        return len(self.values)

    def __eq__(self, other: object) -> bool:
        """Equal to the tuple, and to whatever is packed from an equal one."""
        if isinstance(other, PackedInts) and other.values.dtype == self.values.dtype:
            return np.array_equal(self.values, other.values)
        return super().__eq__(other)

    __hash__ = Packed.__hash__

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[int, ...]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> int | tuple[int, ...]:
        if isinstance(index, slice):
            return tuple(self.values[index].tolist())
        return int(self.values[index])


class PackedScores(Packed[TokenScore]):
    """What an engine thought of its tokens."""

    def __init__(self, logprobs: Array, rivals: Array) -> None:
        """Hold [N, 2] log-probabilities of token and rival, and [N] rivals."""
        self.logprobs, self.rivals = logprobs, rivals

    def unpacked(self) -> tuple[TokenScore, ...]:
        return tuple(
            TokenScore(logprob=own, rival=rival, rival_logprob=others)
            for own, rival, others in self.rows()
        )

    def rows(self) -> list[tuple[float, int, float]]:
        """As a file holds them."""
        own, others = self.logprobs.T.tolist()
        return list(zip(own, self.rivals.tolist(), others, strict=True))

    def __len__(self) -> int:
        return len(self.rivals)


def column(kind: str, values: Sequence[Any]) -> Array:
    """Numbers as an array; the kind is one of `struct`, which is faster at this than numpy.

    Raises:
        OverflowError: one of them is too large for the kind.
    """
    try:
        return np.frombuffer(struct.pack(f"{len(values)}{kind}", *values), dtype=kind)
    except struct.error as error:
        raise OverflowError(str(error)) from None
