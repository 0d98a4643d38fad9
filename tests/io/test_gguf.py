"""The GGUF reader: what it reads, and that nothing malformed gets past it."""

import asyncio
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from app.errors import FormatError
from app.io import gguf, gguf_cursor
from app.io.gguf_types import DEFAULT_ALIGNMENT, TENSOR_TYPES, padded
from app.io.gguf_writer import TensorData, write_gguf
from app.io.source import FileSource, MemorySource
from tests.tiny_model import make_tiny_gguf, parse_gguf

VALUES = {
    "general.architecture": "llama",
    "flag": True,
    "count": 7,
    "below": -3,
    "ratio": 0.5,
    "words": ["a", "", "né", "Ġthe"],
    "flags": [True, False],
    "kinds": np.array([1, 2, 3], np.int32),
    "scores": np.array([0.25, -1.5], np.float32),
    "wide": np.array([2**40], np.uint64),
}
TENSORS = [
    TensorData("first", (3,), "F32", bytes(range(12))),
    TensorData("second.weight", (2, 64), "Q8_0", bytes(range(136))),
    TensorData("third", (1, 2, 5), "F16", bytes(20)),
]


def packed(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, type_number: int, value: bytes) -> bytes:
    return packed(key) + struct.pack("<I", type_number) + value


def tensor(
    name: str, dims: tuple[int, ...] = (32,), type_number: int = 0, offset: int = 0
) -> bytes:
    head = packed(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
    return head + struct.pack("<IQ", type_number, offset)


def raw_file(
    entries: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    *,
    counts: tuple[int, int] | None = None,
    magic: bytes = b"GGUF",
    version: int = 3,
    body: int = 128,
) -> bytes:
    num_tensors, num_values = counts or (len(tensors), len(entries))
    head = magic + struct.pack("<IQQ", version, num_tensors, num_values)
    head += b"".join(entries) + b"".join(tensors)
    return head.ljust(padded(len(head), DEFAULT_ALIGNMENT), b"\0") + bytes(body)


def test_reads_back_what_was_written() -> None:
    file = parse_gguf(write_gguf(VALUES, TENSORS))
    assert file.version == 3
    assert list(file.metadata) == list(VALUES)
    for key, value in VALUES.items():
        found = file.metadata[key]
        if isinstance(value, np.ndarray):
            assert found.dtype == value.dtype
        if isinstance(found, np.ndarray):
            np.testing.assert_array_equal(found, value)
        else:
            assert found == value
            assert type(found) is type(value)
    assert [(item.name, item.shape, item.type) for item in file.tensors.values()] == [
        (item.name, item.shape, item.type) for item in TENSORS
    ]


@pytest.mark.parametrize("alignment", [1, 8, 32, 4096])
def test_offsets_point_at_the_bytes(alignment: int) -> None:
    data = write_gguf(VALUES, TENSORS, alignment=alignment)
    file = parse_gguf(data)
    assert file.alignment == alignment
    for written in TENSORS:
        found = file.tensors[written.name]
        assert found.offset % alignment == 0
        assert found.size_bytes == len(written.data)
        assert data[found.offset : found.offset + found.size_bytes] == written.data


@pytest.mark.parametrize("slice_bytes", [1, 7, 64, 5000])
def test_header_is_read_in_growing_slices(
    monkeypatch: pytest.MonkeyPatch, slice_bytes: int
) -> None:
    data = make_tiny_gguf()
    whole = parse_gguf(data)
    monkeypatch.setattr(gguf_cursor, "SLICE_BYTES", slice_bytes)
    assert repr(parse_gguf(data)) == repr(whole)


def test_weights_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_cursor, "SLICE_BYTES", 1024)
    data = make_tiny_gguf(layers=8)
    reads: list[tuple[int, int]] = []

    class Watched(MemorySource):
        async def read(self, offset: int, size: int) -> bytes:
            reads.append((offset, size))
            return await super().read(offset, size)

    file = asyncio.run(gguf.read_gguf(Watched(data)))
    assert max(offset + size for offset, size in reads) <= 2 * file.data_offset < len(data) // 4
    position = 0
    for offset, size in reads:
        assert offset == position
        position += size


def test_every_truncation_is_refused() -> None:
    data = write_gguf({"words": ["ab", "c"], "kinds": np.array([1, 2], np.int32)}, TENSORS)
    last = parse_gguf(data).tensors["third"]
    end = last.offset + last.size_bytes
    for size in range(end):
        with pytest.raises(FormatError):
            parse_gguf(data[:size])
    assert len(parse_gguf(data[:end]).tensors) == 3


MALFORMED = [
    (b"", "truncated"),
    (b"PK\x03\x04" + bytes(64), "not a GGUF file"),
    (raw_file(magic=b"GGJT"), "not a GGUF file"),
    (raw_file(version=1), "version 1"),
    (raw_file(version=4), "version 4"),
    (raw_file(version=3 << 24), "big-endian"),
    (raw_file(counts=(2**63, 0)), "do not fit"),
    (raw_file(counts=(0, 2**64 - 1)), "do not fit"),
    (raw_file(counts=(0, 70_000), body=10**6), "70,000 metadata keys, the limit is 65,536"),
    (raw_file([entry("a", 9, struct.pack("<IQ", 8, 2**21 + 1))], body=2**24 + 64),
     "a has 2,097,153 strings, the limit is 2,097,152"),
    (raw_file([entry("a", 4, bytes(4))] * 2), "'a' is repeated"),
    (raw_file([entry("", 4, bytes(4))]), "is empty"),
    (raw_file([struct.pack("<Q", 2**62) + b"key"]), "claims 4611686018427387904 bytes"),
    (raw_file([entry("a", 8, struct.pack("<Q", 2**62))]), "claims 4611686018427387904"),
    (raw_file([entry("a", 8, struct.pack("<Q", 10**6))]), "truncated"),
    (raw_file([packed(b"\xff\xfe") + bytes(16)]), "not UTF-8"),
    (raw_file([entry("a", 8, packed(b"\xc3"))]), "not UTF-8"),
    (raw_file([entry("a", 7, b"\x02")]), "neither 0 nor 1"),
    (raw_file([entry("a", 13, bytes(8))]), "unknown value type 13"),
    (raw_file([entry("a", 9, struct.pack("<IQ", 9, 1) + bytes(12))]), "nested arrays"),
    (raw_file([entry("a", 9, struct.pack("<IQ", 99, 1))]), "unknown value type 99"),
    (raw_file([entry("a", 9, struct.pack("<IQ", 5, 2**61))]), "truncated"),
    (raw_file([entry("a", 9, struct.pack("<IQ", 8, 2**61))]), "do not fit"),
    (raw_file([entry("a", 9, struct.pack("<IQ", 7, 3) + b"\0\1\5")]), "neither 0 nor 1"),
    (raw_file([entry("a", 9, struct.pack("<IQ", 8, 2) + packed("x") + packed(b"\x80"))]),
     r"a\[1\] is not UTF-8"),
    (raw_file([entry("a", 9, struct.pack("<IQ", 8, 2) + packed("x") + b"\xff" * 8)]),
     "truncated"),
    (raw_file([entry("general.alignment", 4, struct.pack("<I", 24))]), "power of 2"),
    (raw_file([entry("general.alignment", 4, bytes(4))]), "power of 2"),
    (raw_file([entry("general.alignment", 4, struct.pack("<I", 2**31))]), "power of 2"),
    (raw_file([entry("general.alignment", 10, struct.pack("<Q", 32))]), "value type 10"),
    (raw_file(tensors=[tensor("t", dims=())]), "has 0 dimensions"),
    (raw_file(tensors=[tensor("t", dims=(1,) * 5)]), "has 5 dimensions"),
    (raw_file(tensors=[tensor("t", dims=(0, 4))]), "none empty"),
    (raw_file(tensors=[tensor("t", dims=(2**32, 2**32))]), "none empty"),
    (raw_file(tensors=[tensor("t", dims=(33,), type_number=8)]), "whole Q8_0 blocks of 32"),
    (raw_file(tensors=[tensor("t", dims=(128,), type_number=12)]), "whole Q4_K blocks of 256"),
    (raw_file(tensors=[tensor("t", type_number=77)]), "unknown type 77"),
    (raw_file(tensors=[tensor("t", offset=32)]), "starts at 32, not at 0"),
    (raw_file(tensors=[tensor("t", offset=2**64 - 1)]), "not at 0"),
    (raw_file(tensors=[tensor("a", (4,)), tensor("b", (4,), offset=16)]), "16, not at 32"),
    (raw_file(tensors=[tensor("a"), tensor("a", offset=128)], body=256), "'a' is repeated"),
    (raw_file(tensors=[tensor("")]), "is empty"),
    (raw_file(tensors=[tensor("x" * 64)]), "claims 64 bytes, more than 63"),
    (raw_file(tensors=[tensor("t", dims=(33,))]), "truncated: tensor 't'"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), MALFORMED, ids=range(len(MALFORMED)))
def test_refuses_malformed_files_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_gguf(data)


def test_the_builder_of_these_tests_makes_sound_files() -> None:
    data = raw_file([entry("a", 8, packed("x"))], [tensor("t")], version=2)
    file = parse_gguf(data)
    assert (file.version, file.metadata, file.tensors["t"].size_bytes) == (2, {"a": "x"}, 128)


def test_a_huge_header_is_refused_before_it_fills_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_cursor, "MAX_HEADER_BYTES", 1 << 16)
    path = tmp_path / "sparse.gguf"
    path.write_bytes(raw_file([entry("a", 9, struct.pack("<IQ", 8, 2**20))]))
    os.truncate(path, 1 << 24)
    with pytest.raises(FormatError, match="header goes beyond 65,536 bytes"):
        asyncio.run(gguf.read_gguf(FileSource(path)))


def test_damaged_headers_give_format_errors_only() -> None:
    data = make_tiny_gguf(layers=1)
    end = parse_gguf(data).data_offset
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(data)
        for position in rng.integers(0, end, rng.integers(1, 4)):
            damaged[position] = rng.integers(0, 256)
        try:
            gguf.model_config_from_gguf(parse_gguf(bytes(damaged)))
        except FormatError:
            refused += 1
    # Damage within a token or the chat template is not the header's to notice.
    assert refused > 400


def test_known_types_have_distinct_names() -> None:
    names = [layout.name for layout in TENSOR_TYPES.values()]
    assert len(set(names)) == len(names)


def test_writer_refuses_what_the_reader_would() -> None:
    with pytest.raises(FormatError, match="is dict"):
        write_gguf({"a": {}}, [])
    with pytest.raises(FormatError, match="non-empty list"):
        write_gguf({"a": []}, [])
    with pytest.raises(FormatError, match="32 bits"):
        write_gguf({"a": 2**32}, [])
    with pytest.raises(FormatError, match="takes 34"):
        write_gguf({}, [TensorData("t", (32,), "Q8_0", bytes(33))])
    with pytest.raises(FormatError, match="less than 64 bytes"):
        write_gguf({}, [TensorData("t" * 64, (1,), "F32", bytes(4))])
    with pytest.raises(FormatError, match="type Q9"):
        write_gguf({}, [TensorData("t", (1,), "Q9", bytes(4))])


def test_reads_the_bundled_model(real_model: Path) -> None:
    source = FileSource(real_model)
    file = asyncio.run(gguf.read_gguf(source))
    types = [item.type for item in file.tensors.values()]
    assert {name: types.count(name) for name in set(types)} == {"Q4_1": 210, "F32": 61, "Q8_0": 1}
    assert len(file.metadata["tokenizer.ggml.tokens"]) == 49152
    assert len(file.metadata["tokenizer.ggml.merges"]) == 48900
    assert file.metadata["tokenizer.ggml.token_type"].shape == (49152,)
    last = list(file.tensors.values())[-1]
    assert padded(last.offset + last.size_bytes, 32) == source.size_bytes
