"""Generation on the GPU against full forwards in float64; what the cache may and may not keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.config import GenerationConfig, LoraConfig, TrainConfig
from app.errors import AdapterError, ConfigError, OutOfGpuMemoryError
from app.generate.generator import GenerationResult, Generator
from app.generate.passes import Passes
from app.nn.adapter import Adapter
from tests.conftest import run
from tests.nn.engine import (
    LORA,
    Float32Array,
    Tensors,
    Tiny,
    load_tiny,
    random_tensors,
    random_tokens,
)
from tests.tolerances import ENGINE_LOGITS, assert_close
from tests.train.runs import train, windows_of

pytestmark = pytest.mark.gpu

GREEDY = GenerationConfig(temperature=0.0, max_new_tokens=8)
MAX_CONTEXT = 96


class Computed:
    """What was really computed: tokens of every pass, and the logits it gave."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, int]] = []
        self.logits: list[Float32Array] = []

    def take(self) -> tuple[list[tuple[int, int]], list[Float32Array]]:
        """Return (start, count) of the passes since the last call, and their logits."""
        taken = self.chunks, self.logits
        self.chunks, self.logits = [], []
        return taken


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Computed:
    made = Computed()
    plain = Passes.run

    async def watched(passes: Passes, token_ids: list[int], start: int) -> Any:
        logits = await plain(passes, token_ids, start)
        made.chunks.append((start, len(token_ids)))
        made.logits.append(logits)
        return logits

    monkeypatch.setattr(Passes, "run", watched)
    return made


@pytest.fixture
def generator(tiny: Tiny) -> Iterator[Generator]:
    generator = Generator(tiny.model, MAX_CONTEXT)
    yield generator
    generator.destroy()


@pytest.fixture
def adapter(tiny: Tiny, generator: Generator) -> Iterator[Adapter]:
    adapter = tiny.adapter()
    yield adapter
    generator.forget(adapter)
    adapter.destroy()


def prompt_of(tiny: Tiny, length: int, seed: int = 11) -> list[int]:
    return [int(token) for token in random_tokens(tiny.config, length, seed=seed)]


def answer(
    generator: Generator,
    prompt: list[int],
    config: GenerationConfig = GREEDY,
    adapter: Adapter | None = None,
    **options: Any,
) -> GenerationResult:
    return run(generator.generate(prompt, config, adapter=adapter, **options))


def reference_answer(
    tiny: Tiny, prompt: list[int], count: int, tensors: Tensors | None = None
) -> list[int]:
    """Continue greedily with a full forward in float64 for every token."""
    ids = list(prompt)
    for _ in range(count):
        logits = tiny.reference.forward(np.array([ids]), tensors, LORA)[0, -1]
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 64, 70])
def test_greedy_against_float64(tiny: Tiny, generator: Generator, length: int) -> None:
    prompt = prompt_of(tiny, length)
    result = answer(generator, prompt)
    assert result.token_ids == reference_answer(tiny, prompt, 8)
    assert result.stop_reason == "length"
    assert result.num_prompt_tokens == length
    assert result.tokens_per_second > 0
    assert result.prefill_seconds > 0


@pytest.mark.parametrize("length", [1, 33])
def test_greedy_with_an_adapter(
    tiny: Tiny, generator: Generator, adapter: Adapter, length: int
) -> None:
    prompt = prompt_of(tiny, length)
    expected = reference_answer(tiny, prompt, 8, random_tensors(tiny.config, LORA, 1))
    assert answer(generator, prompt, adapter=adapter).token_ids == expected
    assert expected != reference_answer(tiny, prompt, 8)


@pytest.mark.parametrize(
    "shape",
    [
        {"types": {"projection": "Q8_0"}, "tied": False},
        {"types": {"projection": "F16", "embedding": "F16"}, "kv_heads": 6},
        {"heads": 2, "kv_heads": 1, "head_dim": 64, "layers": 1},
    ],
    ids=str,
)
def test_other_models(tiny: Tiny, shape: dict[str, Any]) -> None:
    other = load_tiny(tiny.device, **shape)
    generator = Generator(other.model, MAX_CONTEXT)
    prompt = prompt_of(other, 40)
    assert answer(generator, prompt).token_ids == reference_answer(other, prompt, 8)
    generator.destroy()
    other.model.destroy()


def test_logits_of_chunks_and_of_single_tokens(
    tiny: Tiny, generator: Generator, computed: Computed
) -> None:
    prompt = prompt_of(tiny, 70)
    answer(generator, prompt, replace(GREEDY, max_new_tokens=1))
    chunks, logits = computed.take()
    assert chunks == [(0, 32), (32, 32), (64, 6)]
    expected = tiny.reference.forward(np.array([prompt]))[0]
    for (start, count), found in zip(chunks, logits, strict=True):
        assert_close(found, expected[start + count - 1], ENGINE_LOGITS, f"chunk at {start}")

    async def one_by_one() -> list[Float32Array]:
        passes = await generator._passes_of(None)
        return [await passes.run([token], index) for index, token in enumerate(prompt)]

    for index, found in enumerate(run(one_by_one())):
        assert_close(found, expected[index], ENGINE_LOGITS, f"token {index}")


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


def test_stop_tokens(tiny: Tiny, generator: Generator) -> None:
    prompt = prompt_of(tiny, 10)
    whole = reference_answer(tiny, prompt, 8)
    stop = next(token for token in whole[2:] if token not in whole[:2])
    heard: list[int] = []
    config = replace(GREEDY, stop_token_ids=(331, stop))
    result = answer(generator, prompt, config, on_token=heard.append)
    assert result.stop_reason == "stop"
    assert result.token_ids == whole[: whole.index(stop)] == heard
    result = answer(generator, prompt, replace(GREEDY, stop_token_ids=(whole[0],)))
    assert (result.token_ids, result.stop_reason) == ([], "stop")


def test_length(tiny: Tiny, generator: Generator) -> None:
    prompt = prompt_of(tiny, 10)
    whole = reference_answer(tiny, prompt, 8)
    for count in (1, 5):
        result = answer(generator, prompt, replace(GREEDY, max_new_tokens=count))
        assert (result.token_ids, result.stop_reason) == (whole[:count], "length")


@pytest.mark.parametrize("room", [1, 3])
def test_the_end_of_the_context(tiny: Tiny, room: int) -> None:
    context = tiny.config.max_position_embeddings
    generator = Generator(tiny.model, 10 * context)
    assert generator.max_context == context
    prompt = prompt_of(tiny, context - room)
    result = answer(generator, prompt)
    assert result.stop_reason == "length"
    assert result.token_ids == reference_answer(tiny, prompt, room)
    # And from the full cache back to a short prompt.
    assert answer(generator, prompt[:9]).token_ids == reference_answer(tiny, prompt[:9], 8)
    generator.destroy()


@pytest.mark.parametrize("max_context", [2, 8, 33])
def test_contexts_shorter_than_a_chunk(tiny: Tiny, max_context: int) -> None:
    generator = Generator(tiny.model, max_context)
    prompt = prompt_of(tiny, max_context - 1)
    assert answer(generator, prompt).token_ids == reference_answer(tiny, prompt, 1)
    short = prompt[:1]
    room = min(8, max_context - 1)
    assert answer(generator, short).token_ids == reference_answer(tiny, short, room)
    generator.destroy()


@pytest.mark.parametrize("length", [1, 50, 90, 140])
def test_workgroups_and_chunks_of_a_gpu(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(tiny.device, "info", replace(tiny.device.info, is_software=False))
    generator, adapter = Generator(tiny.model, 150), tiny.adapter()
    prompt = prompt_of(tiny, length)
    tensors = random_tensors(tiny.config, LORA, 1)
    assert answer(generator, prompt).token_ids == reference_answer(tiny, prompt, 8)
    found = answer(generator, prompt, adapter=adapter).token_ids
    assert found == reference_answer(tiny, prompt, 8, tensors)
    generator.destroy()
    adapter.destroy()


def test_refuses_prompts_that_leave_no_room(tiny: Tiny, generator: Generator) -> None:
    with pytest.raises(ConfigError, match="no tokens"):
        answer(generator, [])
    with pytest.raises(ConfigError, match=f"{MAX_CONTEXT} tokens but a context holds"):
        answer(generator, prompt_of(tiny, MAX_CONTEXT))
    with pytest.raises(ConfigError, match="temperature is -1"):
        answer(generator, [1], replace(GREEDY, temperature=-1.0))
    prompt = prompt_of(tiny, MAX_CONTEXT - 1)
    assert answer(generator, prompt).token_ids == reference_answer(tiny, prompt, 1)


def test_stopped_by_the_person(tiny: Tiny, generator: Generator, computed: Computed) -> None:
    prompt = prompt_of(tiny, 70)
    whole = reference_answer(tiny, prompt, 8)
    heard: list[int] = []
    result = answer(generator, prompt, on_token=heard.append, should_stop=lambda: len(heard) >= 3)
    assert (result.token_ids, result.stop_reason) == (whole[:3], "stopped")
    computed.take()
    # In the middle of the prompt: what is computed stays usable.
    other = prompt_of(tiny, 70, seed=12)
    polls = iter([False, False, True])
    result = answer(generator, other, should_stop=lambda: next(polls))
    assert (result.token_ids, result.stop_reason) == ([], "stopped")
    assert computed.take()[0] == [(0, 32), (32, 32)]
    assert answer(generator, other).token_ids == reference_answer(tiny, other, 8)
    assert computed.take()[0][0] == (64, 6)


def test_sampling_is_seeded(tiny: Tiny, generator: Generator) -> None:
    prompt = prompt_of(tiny, 10)
    free = GenerationConfig(temperature=1.5, top_p=1.0, max_new_tokens=12)
    answers = [answer(generator, prompt, replace(free, seed=seed)).token_ids for seed in (1, 1, 2)]
    assert answers[0] == answers[1]
    assert answers[0] != answers[2]
    assert all(0 <= token < tiny.config.vocab_size for token in answers[0])


def test_repetition_penalty_reaches_prompt_and_answer(tiny: Tiny, generator: Generator) -> None:
    prompt = prompt_of(tiny, 10)
    config = replace(GREEDY, repetition_penalty=10.0, max_new_tokens=12)
    said = answer(generator, prompt, config).token_ids
    assert len(set(said)) == 12
    assert not set(said) & set(prompt)


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
