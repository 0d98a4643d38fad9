"""Runs of all weights that go on after a reload: kept, offered, gone on with, let go."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app.gpu.device import Device
from app.io.checkpoint_store import DirectoryStore
from app.io.safetensors import read_safetensors
from tests.studio.conftest import TEXT, Message, Page, run_fields
from tests.studio.reopened import Tight, losses, opened
from tests.studio.reopened import stop_at as press_stop_at

pytestmark = pytest.mark.gpu

EDITS: Message = {
    "mode": "full",
    "steps": 8,
    "learning_rate": 5e-3,
    "checkpoint_every": 2,
    "eval_every": 2,
    "early_stop_patience": 40,
    "eval_fraction": 0.2,
    "sample_every": 4,
    "sample_prompt": "the sea",
    "schedule": "cosine",
}


def train(page: Page, *, stop_at: int = 0, text: str = TEXT, **edits: Any) -> Message:
    """Train all weights; press Stop when a step is reported."""
    press_stop_at(page, stop_at)
    sure = {"confirm_full": True, "drop_tuned": True}
    fields = run_fields(text, **EDITS | edits) | sure
    result: Message = asyncio.run(page.ask("train", **fields))
    return result


def go_on(page: Page, text: str = TEXT, **fields: Any) -> Message:
    request = run_fields(text) | {"resume": True} | fields
    result: Message = asyncio.run(page.ask("train", **request))
    return result


def trained(page: Page) -> dict[str, bytes]:
    """Return the weights of a download."""
    before = len(page.events("model-piece"))
    told = asyncio.run(page.ask("export-model"))
    data = bytearray(told["bytes"])
    for piece in page.events("model-piece")[before:]:
        data[piece["offset"] : piece["offset"] + len(piece["bytes"])] = piece["bytes"]
    archive = zipfile.ZipFile(io.BytesIO(bytes(data)))
    tensors, _ = read_safetensors(archive.read("model.safetensors"))
    return {name: tensor.tobytes() for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimizer": "adamw", "full_weights": "f32", "early_stop_patience": 0}],
    ids=["f16, early stop", "f32"],
)
def test_a_run_goes_on_after_a_reload_to_the_same_bits(
    device: Device, tiny_gguf: bytes, tmp_path: Path, settings: Message
) -> None:
    with opened(device, tiny_gguf, DirectoryStore(tmp_path / "whole")) as page:
        train(page, **settings)
        whole, wanted = losses(page), trained(page)
        points, samples = page.events("evaluation"), page.events("sample")
        assert [point["step"] for point in points] == [0, 2, 4, 6, 8]
        assert [event["step"] for event in page.events("checkpoint")] == [2, 4, 6, 8]
        assert page.events("resumable")[-1]["run"] is None  # a finished run is not offered
        assert not list((tmp_path / "whole").iterdir())

    store = DirectoryStore(tmp_path / "part")
    with opened(device, tiny_gguf, store) as page:
        done = train(page, stop_at=5, **settings)
        assert (done["stopped"], done["steps"]) == (True, 5)
        run = page.events("resumable")[-1]["run"]
        assert (run["step"], run["mode"]) == (5, "full")
        last = page.events("keeping")[-1]
        assert (last["step"], last["fraction"], last["is_full"]) == (5, None, True)
    with opened(device, tiny_gguf, store) as page:
        run = page.events("resumable")[-1]["run"]
        assert (run["step"], run["num_steps"], run["is_this_model"]) == (5, 8, True)
        assert run["num_characters"] == len(TEXT)
        files = [path.stat().st_size for path in store.path.glob("*.safetensors")]
        assert len(files) == 2
        assert run["bytes"] == pytest.approx(max(files), abs=20_000)
        done = go_on(page)  # neither settings nor a confirmation: they were given before
        assert (done["steps"], done["stopped"]) == (8, False)
        assert done["first_loss"] == whole[0][1]
        (history,) = page.events("run-history")
        assert [(step["step"], step["loss"]) for step in history["steps"]] == whole[:5]
        assert losses(page) == whole[5:]
        again = history["evaluations"] + page.events("evaluation")
        assert [(p["step"], p["loss"]) for p in again] == [(p["step"], p["loss"]) for p in points]
        told = history["samples"] + page.events("sample")
        assert [item["text"] for item in told] == [item["text"] for item in samples]
        assert page.events("tuned")[-1]["tuned"]["steps"] in (8, 2, 4, 6)
        assert trained(page) == wanted
        assert page.events("resumable")[-1]["run"] is None
        assert not list(store.path.iterdir())


def test_a_stop_can_be_thought_better_of_at_once(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    with opened(device, tiny_gguf, DirectoryStore(tmp_path)) as page:
        train(page, stop_at=3)
        assert page.events("tuned")[-1]["tuned"]["steps"] == 2  # the best, for now
        assert not page.events("tuned")[-1]["tuned"]["is_saved"]
        assert go_on(page)["steps"] == 8  # nothing is lost by it
        train(page, stop_at=3)
        page.session.place.full._run_name = "another"
        answer = asyncio.run(page.send("train", **run_fields() | {"resume": True}))
        assert answer["kind"] == "UnsavedModelError"
        assert go_on(page, drop_tuned=True)["steps"] == 8


def test_another_text_is_refused_and_the_offer_stands(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    store = DirectoryStore(tmp_path)
    with opened(device, tiny_gguf, store) as page:
        train(page, stop_at=3)
    with opened(device, tiny_gguf, store) as page:
        fields = run_fields("quite another text. " * 60) | {"resume": True}
        sentence = asyncio.run(page.refused("train", **fields))
        assert "the corpus is another one" in sentence
        assert page.events("tuned") == []
        assert page.events("resumable")[-1]["run"]["step"] == 3
        asyncio.run(page.ask("discard-checkpoint"))
        assert page.events("resumable")[-1]["run"] is None
        assert not list(tmp_path.iterdir())


def test_without_room_the_plan_says_so_and_the_run_goes_without(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    store = Tight(tmp_path)
    with opened(device, tiny_gguf, store) as page:
        fields = run_fields(**EDITS)

        def planned() -> tuple[Message, Message]:
            plan = asyncio.run(page.ask("plan", **fields))
            (full,) = [mode for mode in plan["modes"] if mode["mode"] == "full"]
            return plan, full

        plan, full = planned()
        assert plan["settings"]["checkpoint_every"] == 2
        assert "is kept every 2 steps" in full["notes"][-1]
        store.room = 1000
        plan, full = planned()
        assert plan["settings"]["checkpoint_every"] == 0
        assert plan["suggested"]["checkpoint_every"] == 0
        sentence = full["warnings"][-1]["text"]
        assert sentence.startswith("No checkpoints: they would take ")
        assert "has room for 1.0 kB. The run goes without" in sentence
        assert train(page)["steps"] == 8
        assert page.events("checkpoint") == []
        assert page.events("run-warning") == []
        assert not list(tmp_path.iterdir())


def test_what_is_suggested_costs_a_twentieth_of_the_time(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    with opened(device, tiny_gguf, DirectoryStore(tmp_path)) as page:
        edits = {key: value for key, value in EDITS.items() if key != "checkpoint_every"}
        fields = run_fields(**edits)
        plan = asyncio.run(page.ask("plan", **fields))
        (full,) = [mode for mode in plan["modes"] if mode["mode"] == "full"]
        every = plan["settings"]["checkpoint_every"]
        assert every == plan["suggested"]["checkpoint_every"]
        step_seconds = plan["seconds"] / plan["num_steps"]
        assert 60 <= every * step_seconds < 60 + step_seconds
        assert "Stop keeps one" in full["notes"][-1]
        asyncio.run(page.ask("train", **fields, confirm_full=True))
        assert page.events("checkpoint") == []  # it took less than a minute


def test_a_disk_that_is_full_in_the_middle_of_a_write_ends_no_run(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    store = Tight(tmp_path)
    with opened(device, tiny_gguf, store) as page:

        def fill(message: Message) -> None:
            if message.get("type") == "checkpoint" and message["step"] == 4:
                store.holds = 50_000

        page.listen(fill)
        done = train(page, stop_at=7)
        assert done["steps"] == 7
        assert [event["step"] for event in page.events("checkpoint")] == [2, 4]
        (warning,) = page.events("run-warning")
        assert "step 6 could not be kept (No space left on device)" in warning["message"]
        assert page.events("resumable")[-1]["run"]["step"] == 4
        assert not list(tmp_path.glob("*.part"))
    store.holds = None
    with opened(device, tiny_gguf, store) as page:
        assert page.events("resumable")[-1]["run"]["step"] == 4
        assert go_on(page)["steps"] == 8
        assert losses(page)[0][0] == 5
