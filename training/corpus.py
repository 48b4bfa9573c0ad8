"""The corpus: documents per workload class, deduplicated, capped, split by document."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from training.extract import READERS, pieces
from training.fetch import unpacked
from training.packages import EXTRACTS, WORKLOADS, Extract

BYTES_PER_CLASS = 5_000_000
HELD_OUT_SHARE = 40
"""One document in this many is held out for evaluation."""
SHINGLE_LINES = 6
"""A document is a near-duplicate when half of its runs of this many lines were seen before."""


class Document(NamedTuple):
    """One text and where it is from."""

    workload: str
    package: str
    text: str


class Corpus(NamedTuple):
    """Training and held-out documents."""

    training: tuple[Document, ...]
    held_out: tuple[Document, ...]


def collect(cache: Path, *, extracts: Iterable[Extract] = EXTRACTS) -> Corpus:
    """Read the packages. The same packages give the same corpus, in the same order."""
    by_workload: dict[str, list[Document]] = defaultdict(list)
    for extract in extracts:
        by_workload[extract.workload].extend(documents(extract, cache=cache))
    training: list[Document] = []
    held_out: list[Document] = []
    for workload in WORKLOADS:
        distinct = capped(without_duplicates(shuffled(by_workload[workload])))
        for index, document in enumerate(distinct):
            (held_out if index % HELD_OUT_SHARE == 0 else training).append(document)
    return Corpus(tuple(training), tuple(held_out))


def documents(extract: Extract, *, cache: Path) -> Iterator[Document]:
    """Documents of one package, in path order."""
    folder = unpacked(extract.package, cache=cache)
    for path in sorted(folder.glob(extract.pattern)):
        if path.is_file() and not path.is_symlink():
            for text in READERS[extract.reader](path):
                for piece in pieces(text):
                    yield Document(extract.workload, extract.package.name, piece)


def shuffled(documents: Iterable[Document]) -> list[Document]:
    """Order by content hash: random to the eye, the same everywhere."""
    return sorted(documents, key=lambda document: hashlib.sha256(document.text.encode()).digest())


def without_duplicates(documents: Iterable[Document]) -> Iterator[Document]:
    """Drop documents most of whose text was seen before, licence headers included."""
    seen: set[int] = set()
    for document in documents:
        lines = [line for line in document.text.splitlines() if line.strip()]
        count = max(1, len(lines) - SHINGLE_LINES + 1)
        runs = [hash("\n".join(lines[start : start + SHINGLE_LINES])) for start in range(count)]
        if 2 * sum(run in seen for run in runs) < len(runs):
            yield document
        seen.update(runs)


def capped(documents: Iterable[Document]) -> Iterator[Document]:
    """Stop at the class's share."""
    total = 0
    for document in documents:
        total += len(document.text.encode())
        if total > BYTES_PER_CLASS:
            return
        yield document
