"""Generation on the GPU against full forwards in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.config import GenerationConfig
from app.errors import ConfigError
from app.generate.generator import Generator
from app.nn.adapter import Adapter
from tests.conftest import run
from tests.generate.answers import (
    GREEDY,
    MAX_CONTEXT,
    Computed,
    answer,
    prompt_of,
    reference_answer,
)
from tests.nn.engine import LORA, Float32Array, Tiny, load_tiny, random_tensors
from tests.tolerances import ENGINE_LOGITS, assert_close

pytestmark = pytest.mark.gpu


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
        passes = await generator._passes_of((None, 1.0))
        return [await passes.run([token], index) for index, token in enumerate(prompt)]

    for index, found in enumerate(run(one_by_one())):
        assert_close(found, expected[index], ENGINE_LOGITS, f"token {index}")


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
