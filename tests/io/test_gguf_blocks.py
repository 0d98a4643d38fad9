"""Block formats against bytes that ggml's own Python package (gguf 0.17) made."""

import numpy as np
import pytest

from app.errors import FormatError, ShapeError
from app.io.gguf_types import TENSOR_TYPES, TYPE_NUMBERS
from app.reference.gguf_blocks import (
    BLOCK_BYTES,
    BLOCK_WEIGHTS,
    dequantize_blocks,
    permute_rows,
    quantize_blocks,
    unpermute_rows,
)

GGML_BYTES = {
    "F16": (
        "40ba80b2003600b900aa403880b7002f803900b54034e0b900b1c036a0b80000a038c0b60031e039"
        "40b4003580b900af803740b8002a003900b68032403a00b3c03520b900ac00c1c0b7002e603940b5"
        "003400ba80b18036c0b800a4803800b78030c03980b4c034a0b900b0403760b80028e03840b60032"
        "203a80b3803540b9"
    ),
    "Q4_0": "402ee046acf258bd1379df358be046acf268003589a6789066889a6789a67799a6789a67",
    "Q4_1": "ab2e40bad0369bf257bd1369ce258ae0469cf258f73200c1cdf9abd089bcef9acde8abcdf9abde89",
    "Q8_0": (
        "4d1e81df3d9af856b41270cd2b89e745a2005ebb1977d53390ee4caa0866c3217fdc0a2512dffd81"
        "e70522ef0ddaf715e2ff1dea0725f20fdcfa17e4021fec0a27f411df"
    ),
}


def sample() -> np.ndarray:
    values = ((np.arange(64) * 37 % 101 - 50) / 64).astype(np.float32).reshape(2, 32)
    values[1, 3] = -2.5
    return values


@pytest.mark.parametrize("type_name", GGML_BYTES)
def test_quantizes_to_ggmls_bytes(type_name: str) -> None:
    assert quantize_blocks(sample(), type_name).hex() == GGML_BYTES[type_name]


@pytest.mark.parametrize("type_name", ["Q4_0", "Q4_1", "Q8_0"])
def test_dequantizes_block_by_block_as_written_in_the_format(type_name: str) -> None:
    data = bytes.fromhex(GGML_BYTES[type_name])
    expected = []
    for start in range(0, len(data), BLOCK_BYTES[type_name]):
        block = data[start : start + BLOCK_BYTES[type_name]]
        scale = np.float32(np.frombuffer(block[:2], "<f2")[0])
        if type_name == "Q8_0":
            expected += [scale * np.float32(q) for q in np.frombuffer(block[2:], np.int8)]
            continue
        low = np.float32(np.frombuffer(block[2:4], "<f2")[0])
        nibbles = block[4:] if type_name == "Q4_1" else block[2:]
        codes = [byte & 15 for byte in nibbles] + [byte >> 4 for byte in nibbles]
        for code in codes:
            q4_0 = scale * np.float32(code - 8)
            expected.append(q4_0 if type_name == "Q4_0" else scale * np.float32(code) + low)
    found = dequantize_blocks(data, type_name, (2, 32))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.ravel(), np.array(expected, np.float32))


@pytest.mark.parametrize("type_name", ["Q4_0", "Q4_1", "Q8_0"])
def test_round_trip_errs_by_less_than_a_level(type_name: str) -> None:
    values = np.random.default_rng(1).standard_normal((7, 96)).astype(np.float32)
    data = quantize_blocks(values, type_name)
    found = dequantize_blocks(memoryview(data), type_name, values.shape).reshape(-1, BLOCK_WEIGHTS)
    blocks = values.reshape(found.shape)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    allowed = {
        # Q4_0 has codes for -8 to 7 levels: the end without a code is a whole level off.
        "Q4_0": largest / 8,
        "Q4_1": (blocks.max(axis=1, keepdims=True) - blocks.min(axis=1, keepdims=True)) / 30,
        "Q8_0": largest / 254,
    }[type_name]
    # Scale and minimum are rounded to f16, each by at most 2^-11 of itself.
    assert (np.abs(found - blocks) <= allowed + largest * 3 * 2**-11).all()


@pytest.mark.parametrize("type_name", ["Q4_0", "Q4_1", "Q8_0"])
def test_constant_and_zero_blocks_survive(type_name: str) -> None:
    values = np.zeros((2, 32), np.float32)
    values[1] = -0.5
    data = quantize_blocks(values, type_name)
    found = dequantize_blocks(data, type_name, values.shape)
    np.testing.assert_array_equal(found[0], 0)
    np.testing.assert_allclose(found[1], -0.5, rtol=2**-10)


def test_plain_types_keep_their_values() -> None:
    values = sample()
    np.testing.assert_array_equal(
        dequantize_blocks(quantize_blocks(values, "F32"), "F32", (2, 32)), values
    )
    np.testing.assert_array_equal(
        dequantize_blocks(quantize_blocks(values, "F16"), "F16", (2, 32)),
        values.astype(np.float16).astype(np.float32),
    )


def test_block_sizes_agree_with_the_readers_table() -> None:
    for name, size in BLOCK_BYTES.items():
        assert TENSOR_TYPES[TYPE_NUMBERS[name]] == (name, BLOCK_WEIGHTS, size)


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(ShapeError, match="multiple of 32"):
        quantize_blocks(np.zeros((2, 33), np.float32), "Q8_0")
    with pytest.raises(FormatError, match="Q3_K is not known"):
        quantize_blocks(np.zeros(32, np.float32), "Q3_K")
    with pytest.raises(FormatError, match="Q3_K is not known"):
        dequantize_blocks(bytes(32), "Q3_K", (32,))
    with pytest.raises(ShapeError, match="33 bytes, not 34"):
        dequantize_blocks(bytes(33), "Q8_0", (32,))
    with pytest.raises(ShapeError, match="7 bytes, not 8"):
        dequantize_blocks(bytes(7), "F32", (2,))


def test_row_order_moves_half_split_pairs_side_by_side() -> None:
    rows = np.arange(8, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    permuted = permute_rows(rows, heads=2, head_dim=4)
    # HuggingFace pairs row i with i + 2, GGUF row 2i with 2i + 1.
    assert permuted[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    np.testing.assert_array_equal(unpermute_rows(permuted, 2, 4), rows)


def test_row_order_is_not_its_own_inverse() -> None:
    rows = np.arange(16, dtype=np.float32)
    assert not np.array_equal(permute_rows(permute_rows(rows, 1, 16), 1, 16), rows)
    np.testing.assert_array_equal(permute_rows(unpermute_rows(rows, 2, 8), 2, 8), rows)


def test_row_order_refuses_other_shapes() -> None:
    with pytest.raises(ShapeError, match="9 rows are not 2 heads of 4"):
        permute_rows(np.zeros((9, 2), np.float32), 2, 4)
    with pytest.raises(ShapeError, match="even"):
        permute_rows(np.zeros((6, 2), np.float32), 2, 3)
