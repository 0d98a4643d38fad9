"""A device that goes away under a session: nothing hangs, and what has a copy is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from app.errors import DeviceLostError, NoAdapterError, OutOfGpuMemoryError
from app.gpu.device import Device
from app.gpu.failures import lost_message, out_of_memory
from app.studio import copies, loss
from app.studio.copies import RunCopies
from app.studio.loss import reopened
from tests.conftest import run
from tests.studio.conftest import Page, chat_fields, run_fields

pytestmark = pytest.mark.gpu

QUESTION = "What did the keeper write?"


class Loss:
    """A device that can be lost, heard of or not, until it is opened again."""

    def __init__(self, page: Page, monkeypatch: pytest.MonkeyPatch, others_bytes: int) -> None:
        self.page = page
        self._others_bytes = others_bytes
        self.is_gone = False
        self._patch = monkeypatch
        self._run = type(page.device).run
        monkeypatch.setattr(page.session.place, "_open_device", self._open)

    async def _open(self) -> Device:
        self._patch.setattr(type(self.page.device), "run", self._run)
        self.forget()
        return self.page.device

    def forget(self) -> None:
        """What was on a lost device is on none; this one stands in for the next."""
        if self.is_gone:
            self.page.device.allocated_bytes = self._others_bytes
        self.is_gone = False

    def happen(self, *, is_told: bool = True) -> None:
        error = DeviceLostError(lost_message("the driver hung"))
        self.is_gone = True

        async def lose(*_: object, **__: object) -> None:
            raise error

        self._patch.setattr(type(self.page.device), "run", lose)
        if is_told:
            place = self.page.session.place
            place._hear_of_loss(place.ready_device(), error)


@pytest.fixture(autouse=True)
def others_bytes(device: Device) -> int:
    """What other tests hold on the device, before this one loads anything."""
    return device.allocated_bytes


@pytest.fixture
def lost(loaded: Page, monkeypatch: pytest.MonkeyPatch, others_bytes: int) -> Iterator[Loss]:
    loss = Loss(loaded, monkeypatch, others_bytes)
    yield loss
    loss.forget()


def shelf(page: Page) -> list[tuple[int, str, int, float]]:
    """Return id, name, steps and strength of what is on the shelf."""
    infos = page.events("adapter")[-1]["shelf"]
    return [(info["id"], info["name"], info["steps"], info["strength"]) for info in infos]


def test_an_answer_ends_and_the_shelf_is_there_before_and_after_the_model(
    loaded: Page, lost: Loss
) -> None:
    async def story() -> None:
        await loaded.train()
        adapter = loaded.events("adapter")[-1]["adapter"]["id"]
        await loaded.ask("edit-adapter", adapter=adapter, name="Mine", strength=1.5)
        exported, answer = (
            await loaded.ask("export-adapter"),
            await loaded.chat(QUESTION, use_lora=True),
        )
        lost.happen(is_told=False)
        sentence = await loaded.refused("chat", **chat_fields(QUESTION, False, raw=True))
        assert "the driver hung" in sentence
        assert loaded.statuses()[-1] == "error"
        (event,) = loaded.events("device-lost")
        assert (event["job"], event["gone"]) == ("generating", [])
        assert shelf(loaded) == [(adapter, "Mine", 3, 1.5)]
        assert not loaded.events("adapter-replaced")
        assert (await loaded.ask("export-adapter"))["bytes"] == exported["bytes"]
        assert (await loaded.ask("export-adapter", form="folder"))["bytes"]
        await loaded.ask("load-model", source="tiny.gguf")
        assert shelf(loaded) == [(adapter, "Mine", 3, 1.5)]
        assert (await loaded.chat(QUESTION, use_lora=True))["text"] == answer["text"]
        assert (await loaded.ask("export-adapter"))["bytes"] == exported["bytes"]
        assert (await loaded.train(steps=2))["steps"] == 2

    run(story())


def test_an_idle_page_hears_of_it_at_once(loaded: Page, lost: Loss) -> None:
    async def story() -> None:
        lost.happen()
        assert loaded.statuses()[-1] == "error"
        assert loaded.events("model-lost")
        (event,) = loaded.events("device-lost")
        assert event["job"] == ""
        assert event["message"].endswith("took it back.")
        refused = await loaded.refused("chat", **chat_fields(QUESTION, False))
        assert "no GPU" in refused
        await loaded.ask("load-model", source="tiny.gguf")
        assert loaded.statuses()[-1] == "ready"
        assert len(loaded.events("device-lost")) == 1

    run(story())


def test_a_run_ends_and_its_adapter_is_as_of_the_last_copy(
    loaded: Page, lost: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(copies, "MAX_SHARE", 1e9)

    async def story() -> None:
        def lose(message: dict[str, Any]) -> None:
            if message.get("type") == "step" and message["step"] == 5:
                lost.happen()

        loaded.listen(lose)
        answer = await loaded.send("train", **run_fields(steps=9))
        assert answer["kind"] == "DeviceLostError"
        assert loaded.statuses()[-1] == "error"
        assert loaded.events("device-lost")[0]["job"] == "training"
        ((number, name, steps, _),) = shelf(loaded)
        assert (name, steps in (4, 5)) == ("Run 1", True)
        whole = (await loaded.ask("export-adapter"))["bytes"]
        await loaded.ask("load-model", source="tiny.gguf")
        assert [item[:3] for item in shelf(loaded)] == [(number, name, steps)]
        assert (await loaded.ask("export-adapter"))["bytes"] == whole
        result = await loaded.ask("train", **run_fields(steps=2, keep_adapter=True))
        assert result["steps"] == 2
        assert shelf(loaded)[0][2] == steps + 2

    run(story())


def test_a_run_without_a_copy_leaves_nothing_half(loaded: Page, lost: Loss) -> None:
    async def story() -> None:
        def lose(message: dict[str, Any]) -> None:
            if message.get("type") == "step" and not loaded.events("device-lost"):
                lost.happen(is_told=False)

        loaded.listen(lose)
        assert (await loaded.send("train", **run_fields(steps=9)))["kind"] == "DeviceLostError"
        assert shelf(loaded) == []
        await loaded.ask("load-model", source="tiny.gguf")
        assert (await loaded.train())["steps"] == 3

    run(story())


def test_a_paused_run_does_not_wait_for_a_device_that_is_gone(loaded: Page, lost: Loss) -> None:
    async def story() -> None:
        running = asyncio.ensure_future(loaded.send("train", **run_fields(steps=1000)))
        while not loaded.events("step"):
            await asyncio.sleep(0.01)
        await loaded.ask("pause")
        while loaded.statuses()[-1] != "paused":
            await asyncio.sleep(0.01)
        lost.happen()
        answer = await asyncio.wait_for(running, 20)
        assert answer["kind"] == "DeviceLostError"
        assert loaded.statuses()[-1] == "error"
        assert [event["job"] for event in loaded.events("device-lost")] == ["training"]

    run(story())


def test_an_answer_in_a_pause_takes_the_run_along_and_it_is_told_once(
    loaded: Page, lost: Loss
) -> None:
    async def story() -> None:
        running = asyncio.ensure_future(loaded.send("train", **run_fields(steps=1000)))
        while not loaded.events("step"):
            await asyncio.sleep(0.01)
        await loaded.ask("pause")
        lost.happen(is_told=False)
        await loaded.refused("chat", **chat_fields(QUESTION, False, raw=True))
        assert (await asyncio.wait_for(running, 20))["kind"] == "DeviceLostError"
        assert [event["job"] for event in loaded.events("device-lost")] == ["training"]
        await loaded.ask("load-model", source="tiny.gguf")
        assert loaded.statuses()[-1] == "ready"

    run(story())


def test_another_model_takes_the_place_and_what_was_unsaved_is_handed_out(
    loaded: Page, lost: Loss, tiny_gguf: bytes
) -> None:
    loaded.sources["other.gguf"] = tiny_gguf

    async def story() -> None:
        await loaded.train()
        lost.happen()
        loaded.session.place.adapters._model.base_name = "another"  # type: ignore[union-attr]
        await loaded.ask("load-model", source="other.gguf")
        assert shelf(loaded) == []
        assert loaded.events("adapter-replaced")[-1]["bytes"]

    run(story())


def test_a_device_is_asked_for_some_times_and_then_no_more(
    loaded: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "RETRY_AFTER_SECONDS", (0.0, 0.0))
    asked: list[int] = []

    async def open_device(answers_at: int) -> Device:
        asked.append(1)
        if len(asked) < answers_at:
            raise NoAdapterError("found no graphics adapter")
        return loaded.device

    async def story() -> None:
        assert await reopened(lambda: open_device(3)) is loaded.device
        asked.clear()
        with pytest.raises(NoAdapterError, match="until the page is reloaded"):
            await reopened(lambda: open_device(9))
        assert len(asked) == 3

    run(story())


def test_copies_are_made_now_and_then_and_more_seldom_where_they_take_long() -> None:
    now = [0.0]

    async def copy() -> None:
        now[0] += 0.5

    async def story() -> None:
        made = RunCopies(copy, lambda: now[0])
        assert not made.is_due()
        now[0] = 10.0
        assert made.is_due()
        await made.keep()
        now[0] = 60.0
        assert not made.is_due()
        now[0] = 60.5
        assert made.is_due()

    run(story())


# Memory that runs out


class Room:
    """A device that has room for some more buffers' bytes, and then no more."""

    def __init__(self, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = 0
        device = page.device
        create = type(device).create_buffer

        def create_buffer(size_bytes: int, label: str) -> Any:
            if self.most and device.allocated_bytes + size_bytes > self.most:
                raise OutOfGpuMemoryError(out_of_memory(label, size_bytes))
            return create(device, size_bytes, label)  # type: ignore[arg-type]

        monkeypatch.setattr(device, "create_buffer", create_buffer)


def test_a_run_that_finds_no_room_leaves_all_as_it_was(
    loaded: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        await loaded.train()
        answer = await loaded.chat(QUESTION, use_lora=True)
        held = loaded.device.allocated_bytes
        room = Room(loaded, monkeypatch)
        room.most = held + 20_000
        sentence = await loaded.refused("train", **run_fields(max_seq_len=64))
        for words in ("memory is full", "kB more", "Plan & settings", "smaller micro-batch"):
            assert words in sentence
        assert loaded.device.allocated_bytes == held
        assert loaded.statuses()[-2:] == ["error", "ready"]
        assert (await loaded.chat(QUESTION, use_lora=True))["text"] == answer["text"]
        room.most = 0
        assert (await loaded.train())["steps"] == 3

    run(story())


def test_a_second_model_takes_the_room_of_the_first(
    loaded: Page, monkeypatch: pytest.MonkeyPatch, tiny_gguf: bytes
) -> None:
    loaded.sources["other.gguf"] = tiny_gguf
    room = Room(loaded, monkeypatch)

    async def story() -> None:
        weights = loaded.events("model")[-1]["weights_bytes"]
        await loaded.train()
        room.most = loaded.device.allocated_bytes + weights
        event = await loaded.ask("load-model", source="other.gguf")
        assert event["made_room"] is True
        assert loaded.statuses()[-1] == "ready"
        room.most = 0
        assert (await loaded.chat(QUESTION, use_lora=False))["text"]
        assert (await loaded.ask("load-model", source="tiny.gguf"))["made_room"] is False

    run(story())


def test_a_model_that_does_not_fit_alone_leaves_the_one_before_it(
    loaded: Page, monkeypatch: pytest.MonkeyPatch, tiny_gguf: bytes
) -> None:
    loaded.sources["large.gguf"] = tiny_gguf
    room = Room(loaded, monkeypatch)

    async def story() -> None:
        await loaded.train()
        before, exported = shelf(loaded), (await loaded.ask("export-adapter"))["bytes"]
        answer = await loaded.chat(QUESTION, use_lora=True)
        taken: list[str] = []
        open_source = loaded._open_source

        async def choose(spec: Any) -> Any:
            taken.append(spec)
            room.most = 1 if spec == "large.gguf" else 0
            return await open_source(spec)

        handlers = loaded.session._handlers["load-model"].__self__  # type: ignore[attr-defined]
        monkeypatch.setattr(handlers, "_open_source", choose)
        sentence = await loaded.refused("load-model", source="large.gguf")
        assert taken == ["large.gguf", "large.gguf", "tiny.gguf"]
        assert "memory is full" in sentence
        assert sentence.endswith("is loaded again.")
        assert loaded.statuses()[-1] == "ready"
        assert shelf(loaded) == before
        assert (await loaded.ask("export-adapter"))["bytes"] == exported
        assert (await loaded.chat(QUESTION, use_lora=True))["text"] == answer["text"]

    run(story())
