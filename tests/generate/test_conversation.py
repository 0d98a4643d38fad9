"""What outlives an answer: the cache, the adapters, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.config import LoraConfig, TrainConfig
from app.errors import AdapterError, OutOfGpuMemoryError
from app.generate.generator import Generator
from app.nn.adapter import Adapter
from tests.conftest import run
from tests.generate.answers import (
    MAX_CONTEXT,
    Computed,
    answer,
    prompt_of,
    reference_answer,
)
from tests.nn.engine import LORA, Float32Array, Tiny, random_tensors
from tests.tolerances import ENGINE_LOGITS, assert_close
from tests.train.runs import train, windows_of

pytestmark = pytest.mark.gpu


def test_what_two_prompts_share_is_computed_once(
    tiny: Tiny, generator: Generator, computed: Computed
) -> None:
    first = prompt_of(tiny, 40)
    said = answer(generator, first).token_ids
    computed.take()
    # A conversation goes on: the answer is in the cache but for its last token.
    longer = [*first, *said, 5, 6, 7]
    found = answer(generator, longer).token_ids
    chunks, _ = computed.take()
    assert chunks[0] == (40 + 7, 4)
    assert found == reference_answer(tiny, longer, 8)
    # Edited in the middle: what comes before is kept, what comes after is not.
    edited = [*first[:20], (first[20] + 1) % 300, *first[21:]]
    found = answer(generator, edited).token_ids
    chunks, _ = computed.take()
    assert chunks[0] == (20, 20)
    assert found == reference_answer(tiny, edited, 8)
    # The same again, and a beginning of it: the last token is computed, for its logits.
    assert answer(generator, edited).token_ids == found
    assert computed.take()[0][0] == (39, 1)
    assert answer(generator, edited[:10]).token_ids == reference_answer(tiny, edited[:10], 8)
    assert computed.take()[0][0] == (9, 1)


def test_switching_in_the_middle_of_a_conversation(
    tiny: Tiny, generator: Generator, adapter: Adapter
) -> None:
    tensors = random_tensors(tiny.config, LORA, 1)
    talk = prompt_of(tiny, 20)
    for index in range(5):
        lora = index % 2 == 1
        said = answer(generator, talk, adapter=adapter if lora else None).token_ids
        assert said == reference_answer(tiny, talk, 8, tensors if lora else None), index
        talk += [*said, 3]


def test_the_base_is_the_same_to_the_last_bit_after_an_adapter(
    tiny: Tiny, generator: Generator, adapter: Adapter, computed: Computed
) -> None:
    prompt = prompt_of(tiny, 45)
    answer(generator, prompt)
    chunks, before = computed.take()
    answer(generator, prompt, adapter=adapter)
    _, between = computed.take()
    answer(generator, prompt)
    chunks_again, after = computed.take()
    assert chunks_again == chunks
    for found, expected in zip(after, before, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert any((a != b).any() for a, b in zip(between, before, strict=False))


def test_strength_is_the_scale_and_one_and_nought_are_exact(
    tiny: Tiny, generator: Generator, adapter: Adapter, computed: Computed
) -> None:
    prompt = prompt_of(tiny, 45)

    def logits_of(adapter: Adapter | None, **how: float) -> list[Float32Array]:
        generator._cached = []  # so that every pass is computed
        answer(generator, prompt, adapter=adapter, **how)
        return computed.take()[1]

    def assert_same(found: list[Float32Array], expected: list[Float32Array]) -> None:
        for left, right in zip(found, expected, strict=True):
            np.testing.assert_array_equal(left, right)

    base, whole = logits_of(None), logits_of(adapter)
    assert any((a != b).any() for a, b in zip(base, whole, strict=False))
    assert_same(logits_of(adapter, strength=0.0), base)
    assert_same(logits_of(adapter, strength=1.0), whole)
    for strength in (0.25, 2.0):
        found = logits_of(adapter, strength=strength)
        scaled = tiny.adapter(replace(LORA, alpha=LORA.alpha * strength))
        assert_same(found, logits_of(scaled))
        assert any((a != b).any() for a, b in zip(found, whole, strict=False))
        generator.forget(scaled)
        scaled.destroy()
    assert_same(logits_of(adapter), whole)
    assert_same(logits_of(None), base)


def test_two_adapters_in_turn_are_recorded_once(
    tiny: Tiny, generator: Generator, adapter: Adapter
) -> None:
    other = tiny.adapter(seed=2)
    prompt = prompt_of(tiny, 9)
    first = [answer(generator, prompt, adapter=one).token_ids for one in (adapter, other)]
    recorded = list(generator._passes.values())
    again = [answer(generator, prompt, adapter=one).token_ids for one in (adapter, other)]
    assert again == first
    assert set(generator._passes.values()) == set(recorded)
    held = tiny.device.allocated_bytes
    for strength in (0.5, 1.5, 0.75):
        answer(generator, prompt, adapter=adapter, strength=strength)
    assert tiny.device.allocated_bytes == held, "of two at most"
    generator.forget(other)
    other.destroy()


def test_a_fresh_adapter_changes_nothing(
    tiny: Tiny, generator: Generator, computed: Computed
) -> None:
    fresh = Adapter.create(tiny.config, tiny.device, LORA, 0)
    prompt = prompt_of(tiny, 45)
    answer(generator, prompt)
    _, before = computed.take()
    answer(generator, prompt, adapter=fresh)
    _, with_fresh = computed.take()
    for found, expected in zip(with_fresh, before, strict=True):
        assert_close(found, expected, ENGINE_LOGITS, "logits")
    generator.forget(fresh)
    fresh.destroy()


def test_new_parameters_make_the_cache_stale(
    tiny: Tiny, generator: Generator, adapter: Adapter
) -> None:
    prompt = prompt_of(tiny, 33)
    answer(generator, prompt, adapter=adapter)
    adapter.load(random_tensors(tiny.config, LORA, 7))
    expected = reference_answer(tiny, prompt, 8, random_tensors(tiny.config, LORA, 7))
    assert answer(generator, prompt, adapter=adapter).token_ids == expected

    config = TrainConfig(max_seq_len=12, micro_batch_size=2, learning_rate=0.05, steps=3)
    train(tiny, adapter, windows_of(tiny, 60, 12), config)
    trained = run(adapter.tensors())
    found = answer(generator, prompt, adapter=adapter).token_ids
    assert found == reference_answer(tiny, prompt, 8, trained)
    assert found != expected


def test_one_adapter_after_another(tiny: Tiny, generator: Generator, computed: Computed) -> None:
    prompt = prompt_of(tiny, 20)
    for rank in (2, 5):
        lora = LoraConfig(rank=rank, alpha=2 * rank)
        other = tiny.adapter(lora)
        tensors = random_tensors(tiny.config, lora, 1)
        answer(generator, prompt, adapter=other)
        _, logits = computed.take()
        expected = tiny.reference.forward(np.array([prompt]), tensors, lora)[0, -1]
        assert_close(logits[0], expected, ENGINE_LOGITS, f"rank {rank}")
        generator.forget(other)
        other.destroy()
    assert answer(generator, prompt).token_ids == reference_answer(tiny, prompt, 8)


def test_numbers_that_are_not_finite_are_told(
    tiny: Tiny, generator: Generator, adapter: Adapter
) -> None:
    prompt = prompt_of(tiny, 40)
    tensors = random_tensors(tiny.config, LORA, 1)
    tensors["model.layers.0.mlp.up_proj"][1][3, 1] = np.inf
    adapter.load(tensors)
    with pytest.raises(AdapterError, match="not a finite number"):
        answer(generator, prompt, adapter=adapter)
    # The keys and values of that answer lie in the cache that the base shares.
    for length in (40, 3):
        expected = reference_answer(tiny, prompt[:length], 8)
        assert answer(generator, prompt[:length]).token_ids == expected


@pytest.mark.parametrize("buffers", [0, 3])
def test_a_full_gpu_gives_everything_back(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, buffers: int
) -> None:
    before = tiny.device.allocated_bytes
    create, left = tiny.device.create_buffer, [buffers]

    def limited(size_bytes: int, label: str) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OutOfGpuMemoryError(f"{label}: the GPU is out of memory")
        return create(size_bytes, label)

    monkeypatch.setattr(tiny.device, "create_buffer", limited)
    with pytest.raises(OutOfGpuMemoryError, match="cache"):
        Generator(tiny.model, MAX_CONTEXT)
    assert tiny.device.allocated_bytes == before


def test_memory_goes_back(tiny: Tiny) -> None:
    device = tiny.device
    before = device.allocated_bytes
    generator = Generator(tiny.model, MAX_CONTEXT)
    adapter = tiny.adapter()
    held = device.allocated_bytes
    answer(generator, [1, 2, 3], adapter=adapter)
    grown = device.allocated_bytes
    assert grown > held
    answer(generator, [1, 2, 3, 4], adapter=adapter)
    assert device.allocated_bytes == grown, "a second answer takes nothing more"
    generator.forget(adapter)
    assert device.allocated_bytes == held
    generator.forget(adapter)
    generator.destroy()
    adapter.destroy()
    assert device.allocated_bytes == before
