"""Where the adapter's matrices lie, and what comes back of what was put in."""

from __future__ import annotations

import numpy as np
import pytest

from app.config import TARGET_MODULES, LoraConfig
from app.errors import AdapterError, ConfigError
from app.gpu.graph import BINDING_ALIGNMENT_BYTES, persistent
from app.nn.adapter import Adapter, AdapterLayout, initial_tensors
from app.nn.weights import PROJECTION_GROUPS, group_bounds
from tests.conftest import run
from tests.nn.engine import LORA, Tensors, Tiny, random_tensors, read_f32

MODULES = (
    TARGET_MODULES,
    ("q_proj", "v_proj"),
    ("v_proj",),
    ("down_proj", "gate_proj"),
)


@pytest.mark.parametrize("modules", MODULES, ids=str)
@pytest.mark.parametrize("rank", [1, 3, 8])
def test_pack_and_unpack(tiny: Tiny, rank: int, modules: tuple[str, ...]) -> None:
    lora = LoraConfig(rank=rank, alpha=1, target_modules=modules)
    layout = AdapterLayout(tiny.config, lora)
    tensors = random_tensors(tiny.config, lora, 2)
    flat = layout.pack(tensors)
    assert flat.shape == (layout.size,)
    assert_equal(layout.unpack(flat), tensors)
    taken = [part for pair in layout.module_slices().values() for part in pair]
    assert sum(part.stop - part.start for part in taken) == sum(
        matrix.size for pair in tensors.values() for matrix in pair
    )
    counts = np.zeros(layout.size, int)
    for part in taken:
        counts[part] += 1
    assert counts.max() == 1, "two matrices share an element"
    assert not flat[counts == 0].any()


def test_views_are_stacked_in_the_order_of_the_weights(tiny: Tiny) -> None:
    layout = AdapterLayout(tiny.config, LORA)
    tensors = random_tensors(tiny.config, LORA, 2)
    flat = layout.pack(tensors)
    whole = persistent("adapter", (layout.size,), "adapter")
    for layer in range(tiny.config.num_hidden_layers):
        for group, modules in PROJECTION_GROUPS.items():
            low_rank = layout.low_rank(whole, layer, group)
            assert low_rank is not None
            assert low_rank.bounds == group_bounds(tiny.config, group)
            part = "self_attn" if group in ("qkv", "o") else "mlp"
            pairs = [tensors[f"model.layers.{layer}.{part}.{module}"] for module in modules]
            for view, stacked in (
                (low_rank.lora_a, np.concatenate([a for a, _ in pairs])),
                (low_rank.lora_b, np.concatenate([b for _, b in pairs])),
            ):
                assert view.offset_bytes % BINDING_ALIGNMENT_BYTES == 0
                assert view.shape == stacked.shape
                start = view.offset_bytes // 4
                np.testing.assert_array_equal(
                    flat[start : start + view.size].reshape(view.shape), stacked
                )


def test_a_group_without_targets_has_no_views(tiny: Tiny) -> None:
    lora = LoraConfig(rank=2, alpha=2, target_modules=("o_proj",))
    layout = AdapterLayout(tiny.config, lora)
    whole = persistent("adapter", (layout.size,), "adapter")
    assert layout.low_rank(whole, 0, "o") is not None
    assert [layout.low_rank(whole, 1, group) for group in ("qkv", "gate_up", "down")] == [None] * 3


@pytest.mark.gpu
def test_round_trip_through_the_gpu(tiny: Tiny) -> None:
    adapter = tiny.adapter()
    tensors = random_tensors(tiny.config, LORA, 1)
    assert_equal(run(adapter.tensors()), tensors)
    version = adapter.version
    other = random_tensors(tiny.config, LORA, 9)
    adapter.load(other)
    assert adapter.version != version
    assert_equal(run(adapter.tensors()), other)
    adapter.destroy()
    adapter.destroy()  # twice does no harm


@pytest.mark.gpu
def test_a_fresh_adapter(tiny: Tiny) -> None:
    adapter = Adapter.create(tiny.config, tiny.device, LORA, seed=4)
    tensors = run(adapter.tensors())
    again = initial_tensors(tiny.config, LORA, 4)
    assert_equal(tensors, again)
    different = initial_tensors(tiny.config, LORA, 5)
    for path, (a, b) in tensors.items():
        bound = 1 / np.sqrt(a.shape[1])
        assert 0.9 * bound < np.abs(a).max() <= bound
        assert abs(a.mean()) < 0.2 * bound
        assert not b.any()
        assert not np.array_equal(a, different[path][0])
    adapter.destroy()


@pytest.mark.gpu
def test_refuses_what_does_not_fit_and_stays_as_it_was(tiny: Tiny) -> None:
    adapter = tiny.adapter()
    before = read_f32(tiny.device, adapter.parameters)
    version = adapter.version
    good = random_tensors(tiny.config, LORA, 9)
    path = "model.layers.1.mlp.up_proj"
    a, b = good[path]
    missing = {key: pair for key, pair in good.items() if key != path}
    wrong: list[tuple[Tensors, str]] = [
        (missing, path),
        (good | {"model.layers.2.mlp.up_proj": (a, b)}, "model.layers.2.mlp.up_proj"),
        (good | {path: (a[:1], b)}, f"{path}.lora_A"),
        (good | {path: (a, b[:-1])}, f"{path}.lora_B"),
        (good | {path: (np.ascontiguousarray(a.T), b)}, f"{path}.lora_A"),
    ]
    for tensors, culprit in wrong:
        with pytest.raises(AdapterError, match=culprit.replace(".", r"\.")):
            adapter.load(tensors)
    assert adapter.version == version
    np.testing.assert_array_equal(read_f32(tiny.device, adapter.parameters), before)
    adapter.destroy()


@pytest.mark.gpu
def test_refuses_settings_out_of_range_before_allocating(tiny: Tiny) -> None:
    before = tiny.device.allocated_bytes
    with pytest.raises(ConfigError, match="rank is 0"):
        Adapter(tiny.config, tiny.device, LoraConfig(rank=0))
    assert tiny.device.allocated_bytes == before


def assert_equal(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for path, pair in found.items():
        for matrix, wanted in zip(pair, expected[path], strict=True):
            assert matrix.dtype == np.float32
            np.testing.assert_array_equal(matrix, wanted, path)
