"""Causal grouped-query attention: forward, backward, over a cache."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.checks.layers import attention_case, cached_attention_case
from app.errors import ShapeError
from app.gpu.adapter import AdapterInfo, Limits
from app.gpu.device import Device
from app.gpu.graph import Graph, persistent
from app.gpu.tuning import GPU
from app.ops.attention import (
    HEAD_DIMS,
    Heads,
    attention,
    attention_choices,
    attention_key_choices,
    attention_query_choices,
)
from tests.ops.helpers import SUBGROUPS, TUNINGS, check

GROUPS = ((2, 2), (4, 2), (9, 3))
"""(query heads, key heads): 1, 2 and 3 query heads a key head."""


@pytest.fixture(params=[*TUNINGS, *SUBGROUPS])
def tuning(request: pytest.FixtureRequest, device: Device) -> str:
    """A preset's name; that for subgroups only where the device has them."""
    name = str(request.param)
    if name in SUBGROUPS and device.info.subgroup_size < 8:
        pytest.skip("needs subgroups of at least 8 of known size")
    return name


@pytest.mark.gpu
@pytest.mark.parametrize("length", [1, 5, 33])
@pytest.mark.parametrize("head_dim", [16, 32, 64])
def test_attention(device: Device, head_dim: int, length: int, tuning: str) -> None:
    for heads, kv_heads in GROUPS:
        shape = {"length": length, "heads": Heads(heads, kv_heads, head_dim)}
        for num_sequences in (1, 3):
            check(device, attention_case, tuning, num_sequences=num_sequences, **shape)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "head_dim",  # the compiler of a software adapter takes seconds over the large ones
    [pytest.param(size, marks=[pytest.mark.slow] if size > 64 else []) for size in HEAD_DIMS],
)
def test_every_head_dim(device: Device, head_dim: int, tuning: str) -> None:
    heads = Heads(2, 1, head_dim)
    check(device, attention_case, tuning, num_sequences=2, length=9, heads=heads)


@pytest.mark.gpu
def test_peaked_attention(device: Device, tuning: str) -> None:
    """Scores of ±60: unseen keys of a tile would overflow where they are not held back."""
    shape = {"num_sequences": 2, "length": 33, "heads": Heads(4, 2, 16)}
    check(device, attention_case, tuning, scale=4.0, **shape)


@pytest.mark.gpu
@pytest.mark.parametrize("parts", [(33,), (1, 32), (9, 7, 17), (16, 16, 1), (2,) * 16 + (1,)])
def test_parts_of_a_sequence(device: Device, parts: tuple[int, ...], tuning: str) -> None:
    """Queries see their own part of the sequence only."""
    shape = {"length": 33, "heads": Heads(6, 2, 16), "parts": parts}
    for num_sequences in (1, 2):
        check(device, attention_case, tuning, num_sequences=num_sequences, **shape)


@pytest.mark.gpu
def test_real_shape(device: Device, tuning: str) -> None:
    check(device, attention_case, tuning, num_sequences=2, length=128, heads=Heads(9, 3, 64))


@pytest.mark.gpu
@pytest.mark.parametrize(("length", "offset"), [(1, 0), (1, 31), (5, 2), (32, 0), (13, 19)])
@pytest.mark.parametrize("group", GROUPS)
def test_cached(
    device: Device, group: tuple[int, int], length: int, offset: int, tuning: str
) -> None:
    shape = {"length": length, "offset": offset, "heads": Heads(*group, 32)}
    check(device, cached_attention_case, tuning, room=32, **shape)


def test_refuses_what_does_not_fit() -> None:
    positions = persistent("positions", (6,), "scratch", "u32")
    qkv = persistent("qkv", (6, 64), "scratch")
    with pytest.raises(ShapeError, match=r"qkv is \(6, 64\) but 4 equal sequences of 64"):
        attention(Graph("g"), qkv, positions, Heads(2, 1, 16), num_sequences=4)
    with pytest.raises(ShapeError, match="head_dim is 8: the attention kernels come for 16, 32"):
        attention(Graph("g"), qkv, positions, Heads(4, 2, 8), num_sequences=1)


def test_choices_respect_the_limits() -> None:
    limits = Limits(1 << 30, 1 << 27, 10, 1 << 10, 32, 65535)
    info = AdapterInfo("a", "v", "b", is_software=False)
    for choices in (attention_choices, attention_query_choices, attention_key_choices):
        for head_dim in HEAD_DIMS:
            found = choices(limits, frozenset(), info, Heads(4, 2, head_dim))
            assert len(set(found)) == len(found) > 0
            assert all(choice["LANES"] <= 32 for choice in found)
            assert "wide" not in found[0].shader
            assert head_dim <= 64 or all("wide" not in choice.shader for choice in found)
            assert all("tiled" not in choice.shader for choice in found)


@pytest.mark.gpu
@pytest.mark.parametrize("heads", [Heads(2, 1, 16), Heads(6, 2, 32)])
def test_every_choice(device: Device, heads: Heads) -> None:
    """Whatever may be picked on this device, with whatever else, agrees with the twin."""
    device_has = device.limits, device.features, device.info, heads
    forward, query, key = (
        choices(*device_has)
        for choices in (attention_choices, attention_query_choices, attention_key_choices)
    )
    assert len(forward) == len(query) == len(key)
    for choices in zip(forward, query, key, strict=True):
        names = dict(zip(("attention", "attention_query", "attention_key"), choices, strict=True))
        check(
            device, attention_case, replace(GPU, **names), num_sequences=2, length=19, heads=heads
        )
