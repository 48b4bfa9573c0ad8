"""GGUF files whose header says more than the file holds: refused at once and without memory."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import gguf
import numpy
import pytest
from gguf import GGUFReader

from equivcheck.core.cache import VARIABLE
from equivcheck.core.errors import PairError
from equivcheck.pairs.gguf import dequantised, read_metadata
from equivcheck.pairs.gguf_header import read_header
from tests.unit.pairs.make import add_tensors, make_model, write_gguf, write_sentencepiece_gguf

HUGE = 2**40
STRING, ARRAY, UINT8, UINT32 = 8, 9, 0, 4
WITHIN = 2**22
"""Bytes that a refusal may allocate."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))


def text(content: str) -> bytes:
    return struct.pack("<Q", len(content)) + content.encode()


def value(kind: int, content: bytes) -> bytes:
    """One key and its value."""
    return text("a") + struct.pack("<I", kind) + content


def array(kind: int, count: int) -> bytes:
    return struct.pack("<IQ", kind, count)


def file(body: bytes, *, tensors: int = 0, values: int = 1) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, values) + body + bytes(64)


def tensor(*dimensions: int) -> bytes:
    count = struct.pack("<I", len(dimensions))
    return text("t") + count + struct.pack(f"<{len(dimensions)}Q", *dimensions) + bytes(12)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (file(value(ARRAY, array(UINT8, HUGE))), "an array of 1099511627776 elements"),
        (file(value(ARRAY, array(STRING, HUGE))), "an array of 1099511627776 elements"),
        (file(value(ARRAY, array(ARRAY, HUGE))), "an array of 1099511627776 elements"),
        (file(value(ARRAY, array(99, HUGE))), "an array of 1099511627776 elements"),
        (file(value(ARRAY, array(ARRAY, 1) * 9)), "type 9 at byte"),
        (file(value(STRING, struct.pack("<Q", HUGE))), "a length of 1099511627776"),
        (file(struct.pack("<Q", HUGE)), "a length of 1099511627776"),
        (file(value(UINT32, bytes(4)), values=HUGE), "a length of"),
        (file(value(77, b"")), "type 77 at byte"),
        (file(tensor(4), tensors=HUGE, values=0), "a length of"),
        (file(tensor(HUGE, HUGE), tensors=1, values=0), f"a tensor of {HUGE**2} elements"),
        (file(tensor(*[2] * 9), tensors=1, values=0), "a tensor of 9 dimensions"),
    ],
)
def test_a_length_beyond_the_file_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(PairError, match=rf"m\.gguf: no readable GGUF file: {problem}"):
        dequantised(path)
    assert tracemalloc.get_traced_memory()[1] < WITHIN
    tracemalloc.stop()


def test_sound_headers_are_read_as_the_reader_reads_them(tmp_path: Path) -> None:
    model = make_model(rows=272, hidden=64)
    for path in (
        write_gguf(tmp_path / "m.gguf", model),
        write_gguf(tmp_path / "q.gguf", model, quantised=True),
        write_sentencepiece_gguf(tmp_path / "s.gguf"),
    ):
        found, reader = read_header(path), GGUFReader(path)
        assert found.tensors == len(reader.tensors)
        assert found.numbers == sum(int(each.n_elements) for each in reader.tensors)
        assert read_metadata(path)


def test_a_big_endian_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack(">IQQQ", 3, 0, 1, 1) + b"a" + struct.pack(">II", 4, 7))
    assert read_header(path).tensors == 0


@pytest.mark.parametrize("value", [10**6, 2**31])
def test_more_layers_than_tensors_are_not_built(tmp_path: Path, value: int) -> None:
    path = write_gguf(tmp_path / "m.gguf", make_model(rows=264, hidden=64))
    patched = path.read_bytes().replace(
        b"llama.block_count" + struct.pack("<II", UINT32, 2),
        b"llama.block_count" + struct.pack("<II", UINT32, value),
    )
    path.write_bytes(patched)
    with pytest.raises(PairError, match=rf"block_count: {value}, but only 20 tensors are there"):
        dequantised(path)


def test_widths_beyond_the_file_are_not_built(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", make_model(rows=264, hidden=64))
    key = b"llama.feed_forward_length" + struct.pack("<I", UINT32)
    path.write_bytes(path.read_bytes().replace(key + struct.pack("<I", 128), key + b"\0\0\0\x40"))
    with pytest.raises(PairError, match=r"m\.gguf cannot be loaded: its config describes \d+"):
        dequantised(path)


def test_tensors_that_nothing_takes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_bias(writer: gguf.GGUFWriter, model: object, *, quantised: bool) -> None:
        add_tensors(writer, model, quantised=quantised)
        writer.add_tensor("blk.0.attn_q.bias", numpy.ones(64, dtype=numpy.float32))

    monkeypatch.setattr("tests.unit.pairs.make.add_tensors", with_bias)
    model = make_model(rows=264, hidden=64)
    path = write_gguf(tmp_path / "m.gguf", model)
    numbers = sum(each.numel() for each in model.parameters()) + 64
    with pytest.raises(PairError, match=rf"m\.gguf: 64 of the {numbers} numbers in this file"):
        dequantised(path)
