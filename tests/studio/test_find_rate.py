"""A search for a learning rate in the page's session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.conftest import run
from tests.studio.conftest import Page, chat_fields, run_fields

pytestmark = pytest.mark.gpu

ANY_SPEED = {"seconds": 0, "tokens_per_second": 0, "prefill_seconds": 0}

QUESTION = "What did the keeper write?"


def test_a_rate_is_found_and_nothing_is_changed(loaded: Page) -> None:
    async def story() -> None:
        await loaded.train()
        answer = await loaded.chat(QUESTION, use_lora=True)
        adapters, memory = loaded.events("adapter")[-1], loaded.device.allocated_bytes
        loaded.heard.clear()

        found = await loaded.ask("find-rate", **run_fields(keep_adapter=True))
        points = loaded.events("rate-point")
        assert found["steps"] == len(points) == len(found["smoothed"])
        assert points[0]["num_steps"] == 40
        assert found["suggestion"] is not None, found["reason"]
        assert found["range"][0] <= found["suggestion"] <= found["range"][1]
        assert not found["stopped"]
        assert loaded.events("rate-stage")[0]["stage"] == "reading"
        assert loaded.statuses() == ["training", "ready"]
        assert loaded.events("adapter") == loaded.events("step") == []
        assert loaded.device.allocated_bytes == memory

        again = await loaded.chat(QUESTION, use_lora=True)
        assert again["text"] == answer["text"]
        loaded.heard.clear()
        result = await loaded.train(learning_rate=found["suggestion"], steps=12)
        assert result["final_loss"] < result["first_loss"]
        assert adapters["adapter"]["steps"] == 3

    run(story())


def test_it_is_stopped_and_nothing_else_is_done_meanwhile(loaded: Page) -> None:
    async def story() -> None:
        refused: list[Any] = []

        def on_message(message: dict[str, Any]) -> None:
            if message.get("type") == "rate-point" and message["step"] == 4:
                chat = chat_fields(QUESTION, use_lora=False)
                refused.append(asyncio.ensure_future(loaded.refused("chat", **chat)))
                refused.append(asyncio.ensure_future(loaded.refused("train", **run_fields())))
            if message.get("type") == "rate-point" and message["step"] == 6:
                refused.append(asyncio.ensure_future(loaded.ask("stop")))

        loaded.listen(on_message)
        found = await loaded.ask("find-rate", **run_fields())
        chat, train, _ = await asyncio.gather(*refused)
        assert chat == train == "The GPU is training: wait for it, or stop it first."
        assert found["stopped"]
        assert found["suggestion"] is None
        assert "stopped" in found["reason"]
        assert 6 <= found["steps"] < 40
        assert loaded.statuses()[-1] == "ready"
        assert [event["adapter"] for event in loaded.events("adapter")] == [None]

    run(story())


def test_what_cannot_be_searched_is_refused(loaded: Page) -> None:
    async def story() -> None:
        assert "at least 2 tokens" in await loaded.refused("find-rate", **run_fields(text="a"))
        assert "Rank is 0" in await loaded.refused("find-rate", **run_fields(rank=0))
        sentence = await loaded.refused(
            "find-rate", **run_fields(mode="full", device_memory_gb=0.001)
        )
        assert "cannot fit" in sentence
        assert loaded.statuses()[-1] == "ready"

    run(story())


def test_all_weights_are_searched_on_a_copy(loaded: Page) -> None:
    async def story() -> None:
        fields = run_fields(mode="full", eval_fraction=0.0)
        before = await loaded.chat("What?", use_lora=False)
        held = loaded.device.allocated_bytes
        found = await loaded.ask("find-rate", **fields)
        points = loaded.events("rate-point")
        assert points[0]["learning_rate"] == 1e-6
        assert abs(points[0]["change"]) < 0.01
        assert found["steps"] == len(points)
        assert found["diverged"] or found["steps"] == 40
        assert found["fall"] > 0.1
        assert loaded.device.allocated_bytes == held
        assert await loaded.chat("What?", use_lora=False) | ANY_SPEED == before | ANY_SPEED
        assert loaded.events("tuned") == []
        assert await loaded.ask("find-rate", **fields) | ANY_SPEED == found | ANY_SPEED

        # The model that a run made has the room that a search would take.
        await loaded.ask("train", **fields, confirm_full=True)
        sentence = await loaded.refused("find-rate", **fields)
        assert sentence.startswith("The trained model lies on the GPU")
        assert loaded.events("tuned")[-1]["tuned"] is not None

    run(story())
