"""Our safetensors against the `safetensors` package, and against hostile files."""

import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from app.errors import FormatError
from app.io.safetensors import read_safetensors, write_safetensors

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def file_of(header: Any, body: bytes = bytes(8), *, size: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(raw) if size is None else size).to_bytes(8, "little") + raw + body


def sample() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "b": rng.standard_normal((3, 5)).astype(np.float32),
        "a.weight": rng.standard_normal((2, 1, 4)).astype(np.float32),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 7), np.float32),
        "naïve ✓": np.array([np.nan, -np.inf, -0.0], np.float32),
    }


def test_the_package_reads_what_we_write() -> None:
    metadata = {"format": "pt", "ключ": 'quotes " and \\ and \n'}
    data = write_safetensors(sample(), metadata)
    found = safetensors.numpy.load(data)
    assert found.keys() == sample().keys()
    for name, array in sample().items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array)


def test_the_package_reads_our_metadata(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    metadata = {"format": "pt", "ключ": 'quotes " and \\ and \n'}
    path.write_bytes(write_safetensors(sample(), metadata))
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == metadata


def test_we_read_what_the_package_writes() -> None:
    metadata = {"format": "pt", "note": "é\u2028"}
    tensors, found = read_safetensors(safetensors.numpy.save(sample(), metadata))
    assert found == metadata
    assert tensors.keys() == sample().keys()
    for name, array in sample().items():
        assert tensors[name].dtype == np.float32
        np.testing.assert_array_equal(tensors[name], array)


def test_one_tensor_is_written_to_the_same_bytes() -> None:
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float32)}
    assert write_safetensors(tensors, {"k": "v"}) == safetensors.numpy.save(tensors, {"k": "v"})
    assert write_safetensors(tensors, {}) == safetensors.numpy.save(tensors)


def test_halves_are_widened_without_loss() -> None:
    every_half = np.arange(2**16, dtype=np.uint16)
    halves = every_half.view(np.float16)
    tensors, _ = read_safetensors(safetensors.numpy.save({"h": halves}))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(tensors["h"], halves.astype(np.float32))
    tensors, _ = read_safetensors(write_safetensors({"h": halves}, {}))
    assert tensors["h"].shape == (2**16,)


def test_bfloat16_is_the_upper_half_of_float32() -> None:
    every = np.arange(2**16, dtype=np.uint16)
    header = {"b": {"dtype": "BF16", "shape": [256, 256], "data_offsets": [0, 2**17]}}
    tensors, _ = read_safetensors(file_of(header, every.tobytes()))
    expected = every.astype(np.uint32) << 16
    np.testing.assert_array_equal(tensors["b"].view(np.uint32).ravel(), expected)


def test_tensors_may_lie_in_any_order() -> None:
    header = {
        "late": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        "soon": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    }
    tensors, _ = read_safetensors(file_of(header, np.array([1, 2], np.float32).tobytes()))
    assert (tensors["soon"][0], tensors["late"][0]) == (1, 2)


def test_read_arrays_are_writable_copies() -> None:
    data = bytearray(write_safetensors({"a": np.ones(2, np.float32)}, {}))
    tensors, _ = read_safetensors(bytes(data))
    tensors["a"][0] = 5
    assert data == write_safetensors({"a": np.ones(2, np.float32)}, {})


@pytest.mark.parametrize("name", ["__proto__", "../../x", "constructor", "a\u0000b", "\u202egnp"])
def test_strange_names_are_only_names(name: str) -> None:
    tensors, _ = read_safetensors(file_of({name: F32}))
    assert list(tensors) == [name]


def test_every_truncation_is_refused() -> None:
    data = write_safetensors(sample(), {"format": "pt"})
    for size in range(len(data)):
        with pytest.raises(FormatError):
            read_safetensors(data[:size])
    with pytest.raises(FormatError, match="bytes of no tensor"):
        read_safetensors(data + b"\0")


def entry(**changes: Any) -> dict[str, Any]:
    return {"t": F32 | changes}


HOSTILE = [
    (b"", "0 bytes"),
    (file_of(b"", size=2**63), "claims 9223372036854775808 bytes"),
    (file_of(b"{}", b"", size=100_000_001), "the limit is 100,000,000"),
    (file_of(b"{}", b"", size=100_000_000), "it is truncated"),
    (file_of(b"{}", b"", size=3), "it is truncated"),
    (file_of(b"", b""), "not a JSON object"),
    (file_of(b"[]", b""), "not a JSON object"),
    (file_of(b"null", b""), "not a JSON object"),
    (file_of(b'"{}"', b""), "not a JSON object"),
    (file_of(b" {}", b""), "not a JSON object"),
    (file_of(b"\xef\xbb\xbf{}", b""), "not a JSON object"),
    (file_of(b"{}\0\0", b""), "not a JSON object"),
    (file_of(b"{}\n", b""), "not a JSON object"),
    (file_of(b'{"a":', b""), "not a JSON object"),
    (file_of(b'{"a"}', b""), "not valid JSON"),
    (file_of(b'{"a":1,}', b""), "not valid JSON"),
    (file_of(b'{"\xff":1}', b""), "not valid JSON"),
    (file_of('{"a":{}}'.encode("utf-16-le"), b""), "not a JSON object|not valid JSON"),
    (file_of(b"{" + b'"a":{' * 200 + b"}" * 201, b""), "nested deeper than 3"),
    (file_of(b"[" * 100_000, b""), "not a JSON object"),
    (file_of(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b""), "nested deeper than 3"),
    (file_of(b'{"t":' + json.dumps(F32).encode() + b',"t":' + json.dumps(F32).encode() + b"}"),
     "'t' appears twice"),
    (file_of(b'{"__metadata__":{},"__metadata__":{}}', b""), "'__metadata__' appears twice"),
    (file_of(b'{"__metadata__":{"a":"1","a":"2"}}', b""), "'a' appears twice"),
    (file_of({"__metadata__": {"a": 1}}, b""), "metadata 'a' is not text"),
    (file_of({"__metadata__": [1]}, b""), "not an object of strings"),
    (file_of({"__metadata__": "x"}, b""), "not an object of strings"),
    (file_of({"__metadata__": None}, b""), "not an object of strings"),
    (file_of(b'{"__metadata__":{"a":"\\ud800"}}', b""), "metadata 'a' is not text"),
    (file_of(b'{"\\ud800":' + json.dumps(F32).encode() + b"}"), "is not text"),
    (file_of({"t": 5}), "not exactly the fields"),
    (file_of({"t": {}}), "not exactly the fields"),
    (file_of(entry(extra=1)), "not exactly the fields"),
    (file_of(entry(dtype="f32")), "unknown dtype 'f32'"),
    (file_of(entry(dtype="F33")), "unknown dtype"),
    (file_of(entry(dtype=["F32"])), "unknown dtype"),
    (file_of(entry(dtype="I64", shape=[1])), "has dtype I64, expected F32, F16 or BF16"),
    (file_of(entry(dtype="F8_E4M3", shape=[8])), "has dtype F8_E4M3"),
    (file_of(entry(shape=[-2])), "the number -2"),
    (file_of(b'{"t":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}', b""), "the number -0"),
    (file_of(entry(shape=[2.0])), "the number 2.0"),
    (file_of(b'{"t":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}}'), "the number 2e0"),
    (file_of(b'{"t":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}'), "the number NaN"),
    (file_of(entry(shape=[True, 2])), "has the shape"),
    (file_of(entry(shape="2")), "has the shape"),
    (file_of(entry(shape=2)), "has the shape"),
    (file_of(entry(shape=[[2]])), "nested deeper than 3"),
    (file_of(entry(shape=[1] * 9)), "has the shape"),
    (file_of(entry(shape=[2**60, 0], data_offsets=[0, 0]), b""), "the number 1152921504606846976"),
    (file_of(entry(shape=[2**50, 0], data_offsets=[0, 0]), b""), "has the shape"),
    (file_of(entry(shape=[2**31, 2**31, 4])), "has the shape"),
    (file_of(entry(shape=[10**30])), "the number 10000"),
    (file_of(b'{"t":{"dtype":"F32","shape":[' + b"9" * 9000 + b'],"data_offsets":[0,8]}}'),
     "the number 9999"),
    (file_of(entry(shape=[3])), "takes 12 bytes, but its data_offsets span 8"),
    (file_of(entry(dtype="F16")), "takes 4 bytes"),
    (file_of(entry(data_offsets=[0, 8, 8])), "expected two"),
    (file_of(entry(data_offsets=[0])), "expected two"),
    (file_of(entry(data_offsets=None)), "expected two"),
    (file_of(entry(data_offsets=[8, 0])), "span -8"),
    (file_of(entry(data_offsets=[4, 12]), bytes(12)), "a hole before 't'"),
    (file_of(entry(data_offsets=[8, 16])), "a hole before 't'"),
    (file_of(entry(), bytes(4)), "it is truncated"),
    (file_of(entry(), bytes(12)), "bytes of no tensor"),
    (file_of({"a": F32, "b": F32}), "an overlap before 'b'"),
    (file_of({"a": F32, "b": F32 | {"data_offsets": [4, 12]}}, bytes(12)), "an overlap"),
    (file_of({"a": F32, "b": F32 | {"data_offsets": [12, 20]}}, bytes(20)), "a hole before 'b'"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_refuses_hostile_files_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_safetensors(data)


def test_unterminated_strings_take_linear_time() -> None:
    start = time.process_time()
    with pytest.raises(FormatError):
        read_safetensors(file_of(b'{"' + b'\\"' * 500_000 + b"}", b""))
    # Quadratic scanning would take minutes.
    assert time.process_time() - start < 2


def test_whatever_we_accept_the_package_accepts_too() -> None:
    """Random damage to a sound header: never another exception, never laxer than the package."""
    data = write_safetensors({"a": np.ones((2, 3), np.float32), "b": np.ones(4, np.float32)}, {})
    header_end = 8 + int.from_bytes(data[:8], "little")
    rng = np.random.default_rng(2)
    alphabet = np.frombuffer(b'{}[]",:0123456789-+.eEaABF \\u\0\xff', np.uint8)
    accepted = 0
    for _ in range(4000):
        damaged = bytearray(data)
        for position in rng.integers(0, header_end, rng.integers(1, 4)):
            damaged[position] = rng.choice(alphabet)
        try:
            found, _ = read_safetensors(bytes(damaged))
        except FormatError:
            continue
        accepted += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reference = safetensors.numpy.load(bytes(damaged))
        assert found.keys() == reference.keys()
    assert 0 < accepted < 400


def test_writer_refuses_what_is_not_text_or_float() -> None:
    with pytest.raises(FormatError, match="dtype int64"):
        write_safetensors({"a": np.arange(3)}, {})
    with pytest.raises(FormatError, match="other than __metadata__"):
        write_safetensors({"__metadata__": np.ones(1, np.float32)}, {})
    with pytest.raises(FormatError, match="metadata 'k' is not text"):
        write_safetensors({}, {"k": 1})  # type: ignore[dict-item]
    data = write_safetensors({"t": np.ones((4, 6), np.float32)[:, ::2].T}, {})
    assert read_safetensors(data)[0]["t"].shape == (3, 4)
