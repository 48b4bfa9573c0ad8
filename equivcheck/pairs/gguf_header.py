"""Whether the lengths in a GGUF file's header can be true, before anything believes them.

Walks the header as the GGUF specification lays it out and allocates nothing by what it says.
Values are read by `gguf.py`.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path

from msgspec import Struct

MAGIC = b"GGUF"
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type: integers, floats and flags."""
STRING, ARRAY = 8, 9
LEAST = {STRING: 8, ARRAY: 12} | SIZES
"""Bytes that an element takes at least: a string its length, an array type and length."""
DEEPEST = 4
"""Arrays in arrays; no known key nests them at all."""
MOST_DIMENSIONS = 8
"""Twice what ggml has."""


class GgufHeader(Struct, frozen=True, kw_only=True):
    """What a file holds, by its header."""

    tensors: int
    numbers: int
    """Elements of all tensors."""


def read_header(path: Path) -> GgufHeader:
    """Walk the header of a GGUF file.

    Raises:
        ValueError: it is no GGUF file, or a length in it goes beyond the file.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError("GGUF magic invalid")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Walk(content).header()


class _Walk:
    """A place in a file that only moves on, and never beyond its end."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self.size, self.at = content, len(content), len(MAGIC)
        self.order = "<"

    def header(self) -> GgufHeader:
        version = self.number("I")
        if version & 0xFFFF == 0:
            self.order = ">"
        tensors, values = self.number("Q"), self.number("Q")
        for _ in range(values):
            self.string()
            self.value(self.number("I"), depth=0)
        return GgufHeader(tensors=tensors, numbers=sum(self.tensor() for _ in range(tensors)))

    def skip(self, length: int) -> None:
        if length > self.size - self.at:
            raise ValueError(
                f"a length of {length} at byte {self.at} goes beyond its {self.size} bytes"
            )
        self.at += length

    def number(self, kind: str) -> int:
        start = self.at
        self.skip(struct.calcsize(kind))
        found: int = struct.unpack_from(self.order + kind, self.content, start)[0]
        return found

    def string(self) -> None:
        self.skip(self.number("Q"))

    def value(self, kind: int, *, depth: int) -> None:
        if kind in SIZES:
            self.skip(SIZES[kind])
        elif kind == STRING:
            self.string()
        elif kind == ARRAY and depth < DEEPEST:
            self.array(depth=depth + 1)
        else:
            raise ValueError(f"type {kind} at byte {self.at} is none that a value can have")

    def array(self, *, depth: int) -> None:
        kind, count = self.number("I"), self.number("Q")
        if count * LEAST.get(kind, 1) > self.size - self.at:
            raise ValueError(
                f"an array of {count} elements at byte {self.at} goes beyond its {self.size} bytes"
            )
        if kind in SIZES:
            self.skip(count * SIZES[kind])
            return
        for _ in range(count):
            self.value(kind, depth=depth)

    def tensor(self) -> int:
        """Pass one tensor's entry; how many elements it has."""
        self.string()
        dimensions = self.number("I")
        if dimensions > MOST_DIMENSIONS:
            raise ValueError(f"a tensor of {dimensions} dimensions at byte {self.at}")
        numbers = math.prod(self.number("Q") for _ in range(dimensions))
        self.skip(struct.calcsize("I") + struct.calcsize("Q"))
        # No format stores a number in less than one bit.
        if numbers > 8 * self.size:
            raise ValueError(
                f"a tensor of {numbers} elements at byte {self.at} goes beyond its "
                f"{self.size} bytes"
            )
        return numbers
