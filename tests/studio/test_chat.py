"""What the page's chat asks of a session: settings of an answer, a system prompt, its room."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from app.config import GenerationConfig
from app.errors import ConfigError
from app.studio.settings import GENERATION_NAMES, describe_generation, merge_generation
from tests.conftest import run
from tests.studio.conftest import Message, Page, chat_fields

QUESTION = "What did the keeper write?"


def test_every_setting_of_an_answer_is_described_for_the_form() -> None:
    described = {item["name"]: item for item in describe_generation()}
    known = {item.name for item in fields(GenerationConfig)} - {"stop_token_ids"}
    assert set(described) == known == set(GENERATION_NAMES)
    assert all(item["help"] and item["label"] for item in described.values())
    assert json.loads(json.dumps(describe_generation())) == describe_generation()
    defaults = {name: item["default"] for name, item in described.items()}
    assert merge_generation({}) == GenerationConfig(**defaults)


def test_settings_from_the_page_count_as_what_they_are() -> None:
    config = merge_generation({"max_new_tokens": 8.0, "temperature": 1, "top_k": 3.0, "seed": 7.0})
    assert (config.max_new_tokens, config.temperature, config.top_k, config.seed) == (8, 1, 3, 7)


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"temperature": -1, "top_p": 0}, ["temperature", "top_p"]),
        ({"seed": -1}, ["seed"]),
        ({"max_new_tokens": "many"}, ["number"]),
        ({"temperature": "warm"}, ["number"]),
        ({"beams": 4}, ["beams"]),
        ({"stop_token_ids": [1]}, ["stop_token_ids"]),
    ],
)
def test_bad_settings_of_an_answer_are_named_at_once(
    edits: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        merge_generation(edits)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.gpu
def test_seed_and_sampling_decide_the_answer(loaded: Page) -> None:
    async def story() -> None:
        async def ask(**settings: float) -> str:
            text: str = (await loaded.chat(QUESTION, use_lora=False, **settings))["text"]
            return text

        greedy = await ask()
        hot = [await ask(temperature=2.0, top_p=1.0, seed=seed) for seed in (1, 2, 1)]
        assert hot[0] == hot[2]
        assert hot[0] != hot[1]
        assert await ask(temperature=2.0, top_k=1, seed=3) == greedy
        assert await ask(repetition_penalty=10) != greedy
        assert "Top-p is 2" in (
            await loaded.refused("chat", **chat_fields(QUESTION, False, top_p=2))
        )

    run(story())


@pytest.mark.gpu
def test_tokens_are_counted_and_the_system_prompt_outlives_old_turns(loaded: Page) -> None:
    async def story() -> None:
        plain = await loaded.chat(QUESTION, use_lora=False)
        assert 0 < plain["num_prompt_tokens"] < plain["max_context"]
        system = {"role": "system", "content": "Answer like a sailor, in few words."}
        question = {"role": "user", "content": QUESTION}
        told = await loaded.chat("", use_lora=False, messages=[system, question])
        assert told["num_prompt_tokens"] > plain["num_prompt_tokens"]
        assert told["num_dropped"] == 0
        old = [{"role": "user", "content": "word " * 40}, {"role": "assistant", "content": "ok"}]
        long = await loaded.chat("", use_lora=False, messages=[system, *old * 8, question])
        assert long["num_dropped"] > 0
        rest = [*old * 8, question][long["num_dropped"] :]
        expected = await loaded.chat("", use_lora=False, messages=[system, *rest])
        assert long["num_prompt_tokens"] == expected["num_prompt_tokens"]
        assert long["text"] == expected["text"]
        huge = await loaded.refused(
            "chat",
            **chat_fields(
                "word " * 4000,
                False,
                messages=[system, {"role": "user", "content": "word " * 4000}],
            ),
        )
        assert "system prompt" in huge

        # The same is known before anything is sent, and without an answer being written.
        async def count(*messages: Message, raw: bool = False, **settings: Any) -> Message:
            edits = {"max_new_tokens": 12} | settings
            size: Message = await loaded.ask(
                "count-chat", messages=list(messages), raw=raw, settings=edits
            )
            return size

        told_words = loaded.events("token")
        assert (await count(question))["num_prompt_tokens"] == plain["num_prompt_tokens"]
        kept = await count(system, *old * 8, question)
        assert kept["num_dropped"] == long["num_dropped"]
        assert kept["num_prompt_tokens"] == long["num_prompt_tokens"] <= kept["room"]
        assert kept["room"] == plain["max_context"] - 12
        far = await count(system, {"role": "user", "content": "word " * 4000})
        assert far["num_prompt_tokens"] > far["room"]
        assert far["max_new_tokens"] == 0
        assert f"{far['num_prompt_tokens']:,}" in huge
        bare = await count(*old, question, raw=True)
        assert bare["num_prompt_tokens"] < plain["num_prompt_tokens"]
        assert "Top-p is 2" in await loaded.refused(
            "count-chat", messages=[question], raw=False, settings={"top_p": 2}
        )
        assert loaded.events("token") == told_words

    run(story())
