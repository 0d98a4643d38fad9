"""A session that trains all weights: asked first, planned to the byte, talked to, handed out."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest

from app.io.folder import ModelFolder
from app.io.safetensors import read_safetensors
from app.io.source import MemorySource
from tests.conftest import run
from tests.studio.conftest import Message, Page, chat_fields, run_fields
from tests.tiny_folder import as_folder, make_tiny_folder
from tests.tiny_model import make_tiny_gguf

pytestmark = pytest.mark.gpu

FULL: Message = {"mode": "full", "full_weights": "f16", "learning_rate": 5e-3}
QUESTION = "What did the keeper write?"


async def train_full(page: Page, **edits: Any) -> Message:
    result: Message = await page.ask(
        "train", **run_fields(**(FULL | edits)), confirm_full=True, drop_tuned=True
    )
    return result


async def exported(page: Page) -> zipfile.ZipFile:
    """Return the file that a download comes to."""
    page.heard.clear()
    told = await page.ask("export-model")
    data = bytearray(told["bytes"])
    for piece in page.events("model-piece"):
        data[piece["offset"] : piece["offset"] + len(piece["bytes"])] = piece["bytes"]
    assert told["filename"].endswith("-tuned.zip")
    assert page.events("model-piece")[-1]["fraction"] == 1
    archive = zipfile.ZipFile(io.BytesIO(bytes(data)))
    assert archive.testzip() is None
    return archive


def test_it_is_confirmed_first_with_time_and_memory(loaded: Page) -> None:
    async def story() -> None:
        planned = await loaded.ask("plan", **run_fields(**FULL))
        adapter, full = planned["modes"]
        assert (adapter["mode"], adapter["selected"]) == ("adapter", False)
        assert (full["mode"], full["selected"], full["feasible"]) == ("full", True, True)
        assert full["bytes"]["total"] == planned["total_bytes"]
        assert full["confirm"].startswith("Training all ")
        assert "weights " in full["confirm"]
        assert "GFLOP/s" in full["confirm"]
        sentence = await loaded.refused("train", **run_fields(**FULL))
        assert "Confirm it in the dialog" in sentence
        assert loaded.events("step") == []
        assert "no model was trained whole" in (await loaded.refused("export-model")).lower()

    run(story())


def test_a_run_takes_its_plan_and_leaves_both_models_to_talk_to(loaded: Page) -> None:
    async def story() -> None:
        base = await loaded.chat(QUESTION, use_lora=False)
        planned = await loaded.ask("plan", **run_fields(**FULL, steps=12))
        before = loaded.device.allocated_bytes
        loaded.heard.clear()
        result = await train_full(loaded, steps=12)
        peak = max(event["allocated_bytes"] for event in loaded.events("memory"))
        weights = loaded.session.place.ready_model().weights_bytes
        # What is told is what steps hold; evaluations and samples come and go beside it.
        told_bytes = planned["total_bytes"] - planned["bytes"].get("evaluation", 0)
        assert peak - (before - weights) == told_bytes
        assert result["steps"] == 12
        assert result["final_loss"] < result["first_loss"] - 0.5
        assert [step["step"] for step in loaded.events("step")] == list(range(1, 13))
        assert loaded.statuses()[-2:] == ["training", "ready"]
        told = loaded.events("tuned")[-1]["tuned"]
        assert (told["steps"], told["weights_format"], told["is_saved"]) == (12, "f16", False)
        again = await loaded.chat(QUESTION, use_lora=False)
        assert again["text"] == base["text"]
        fields = chat_fields(QUESTION, False)
        tuned = await loaded.ask("chat", **fields, use_tuned=True)
        assert tuned["text"] != base["text"]
        # An adapter's run goes on as ever, on the model as it was loaded.
        await loaded.train()
        assert (await loaded.chat(QUESTION, use_lora=False))["text"] == base["text"]
        assert (await loaded.ask("chat", **fields, use_tuned=True))["text"] == tuned["text"]

    run(story())


def test_the_download_is_a_whole_model_that_loads(loaded: Page, tiny_gguf: bytes) -> None:
    async def story() -> None:
        await train_full(loaded, steps=12)
        fields = chat_fields(QUESTION, False)
        tuned = await loaded.ask("chat", **fields, use_tuned=True)
        archive = await exported(loaded)
        assert loaded.events("tuned")[-1]["tuned"]["is_saved"]
        assert set(archive.namelist()) >= {"config.json", "model.safetensors", "tokenizer.json"}
        record = json.loads(archive.read("run.json"))
        assert record["adapter"] is None
        assert record["settings"]["mode"] == "full"
        tensors, _ = read_safetensors(archive.read("model.safetensors"))
        files = {n: MemorySource(archive.read(n), n) for n in archive.namelist()}
        loaded.sources["mine"] = ModelFolder("mine", files)
        await loaded.ask("load-model", source="mine")
        assert loaded.events("tuned")[-1]["tuned"] is None
        again = await loaded.chat(QUESTION, use_lora=False)
        assert again["text"] == tuned["text"]
        assert all(np.isfinite(tensor).all() for tensor in tensors.values())

    run(story())


def test_an_unsaved_model_is_not_lost_unasked(loaded: Page) -> None:
    async def story() -> None:
        await train_full(loaded)
        before = loaded.device.allocated_bytes
        for kind, fields in (
            ("load-model", {"source": "tiny.gguf"}),
            ("train", run_fields(**FULL) | {"confirm_full": True}),
        ):
            answer = await loaded.send(kind, **fields)
            assert answer["kind"] == "UnsavedModelError"
            assert "was not downloaded" in answer["error"]
        assert loaded.device.allocated_bytes == before
        await loaded.ask("discard-model")
        assert loaded.events("tuned")[-1]["tuned"] is None
        assert loaded.device.allocated_bytes < before
        await loaded.ask("load-model", source="tiny.gguf")

    run(story())


def test_a_model_in_the_format_of_training_stays_as_it_was_too(page: Page) -> None:
    types = {"projection": "F16", "embedding": "F16"}
    page.sources["half"] = as_folder(make_tiny_folder(make_tiny_gguf(types=types)), "half")

    async def story() -> None:
        await page.session.start()
        await page.ask("load-model", source="half")
        base = await page.chat(QUESTION, use_lora=False)
        await train_full(page, steps=8)
        assert (await page.chat(QUESTION, use_lora=False))["text"] == base["text"]
        fields = chat_fields(QUESTION, False)
        assert (await page.ask("chat", **fields, use_tuned=True))["text"] != base["text"]

    run(story())


def test_what_cannot_be_is_refused_by_name(loaded: Page) -> None:
    async def story() -> None:
        left = await loaded.ask("plan", **run_fields(**FULL, rank_schedule="adaptive"))
        assert left["settings"]["rank_schedule"] == "fixed"
        small = run_fields(**FULL, device_memory_gb=1e-3)
        assert (await loaded.ask("plan", **small))["modes"][1]["feasible"] is False
        sentence = await loaded.refused("train", **small, confirm_full=True)
        assert "cannot fit: the run needs" in sentence
        assert loaded.events("step") == []

    run(story())


def test_a_run_is_accompanied_and_its_model_judged(loaded: Page) -> None:
    async def story() -> None:
        edits = {"eval_every": 2, "sample_every": 4, "eval_fraction": 0.3, "steps": 4}
        await train_full(loaded, **edits)
        assert [item["step"] for item in loaded.events("evaluation")] == [0, 2, 4]
        assert [item["step"] for item in loaded.events("sample")] == [0, 4]
        assert loaded.events("run-warning") == []
        fields = run_fields(**FULL, **edits)
        judged = await loaded.ask("evaluate", **fields, use_tuned=True)
        read = loaded.events("evaluation")
        assert judged["source"] == "held-out"
        assert judged["base"]["loss"] == pytest.approx(read[0]["loss"], rel=1e-5)
        assert judged["lora"]["loss"] == pytest.approx(read[-1]["loss"], rel=1e-5)
        assert judged["judgement"]["gain"] > 0
        assert (await loaded.ask("evaluate", **fields))["lora"] is None

    run(story())


def test_an_early_stop_goes_back_to_its_best_where_there_is_room(
    loaded: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = {"eval_every": 1, "early_stop_patience": 2, "eval_fraction": 0.3, "steps": 60}

    async def story() -> None:
        result = await train_full(loaded, **edits, learning_rate=0.02)
        assert result["stopped_early"]
        read = loaded.events("evaluation")
        best = min(read[1:], key=lambda item: item["loss"])
        assert loaded.events("tuned")[-1]["tuned"]["steps"] == best["step"]
        monkeypatch.setattr("app.studio.full_settings.MAX_BEST_BYTES", 1000)
        sentence = await loaded.refused("plan", **run_fields(**FULL, **edits))
        assert sentence.startswith("Early stop after is 2: to go back to its best")

    run(story())


def test_a_stopped_run_keeps_what_was_learned(loaded: Page) -> None:
    async def story() -> None:
        def stop(message: Message) -> None:
            if message.get("type") == "step" and message["step"] == 3:
                loaded.session.place.training.stop()

        loaded.listen(stop)
        result = await train_full(loaded, steps=1000)
        assert result["stopped"]
        assert 3 <= result["steps"] < 10
        assert loaded.events("tuned")[-1]["tuned"]["steps"] == result["steps"]

    run(story())
