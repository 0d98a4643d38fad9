"""Runs of the page that go on after a reload: offered, refused, gone on with, let go."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.gpu.device import Device
from app.io.checkpoint_store import DirectoryStore
from tests.studio.conftest import TEXT, Message, Page, run_fields
from tests.studio.reopened import losses, opened, stop_at

pytestmark = pytest.mark.gpu

EDITS: Message = {
    "steps": 8,
    "checkpoint_every": 2,
    "eval_every": 4,
    "eval_fraction": 0.2,
    "sample_every": 4,
    "sample_prompt": "the sea",
    "schedule": "cosine",
}


def train(page: Page, **fields: Any) -> Message:
    result: Message = asyncio.run(page.ask("train", **run_fields(**EDITS) | fields))
    return result


def test_a_run_goes_on_after_a_reload_to_the_same_bits(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    with opened(device, tiny_gguf, DirectoryStore(tmp_path / "whole")) as page:
        assert page.events("resumable")[-1]["run"] is None
        train(page)
        whole, wanted = losses(page), asyncio.run(page.ask("export-adapter"))
        points = page.events("evaluation")
        assert [point["step"] for point in points] == [0, 4, 8]
        assert [sample["prompt"] for sample in page.events("sample")] == ["the sea"] * 3
        assert [event["step"] for event in page.events("checkpoint")] == [2, 4, 6, 8]
        assert page.events("resumable")[-1]["run"] is None  # a finished run is not offered
        assert not list((tmp_path / "whole").iterdir())
        record = json.loads(wanted["record"])
        assert record["history"]["loss"] == [loss for _, loss in whole]
        assert record["result"]["steps"] == 8
        assert "keeper" not in wanted["record"]

    with opened(device, tiny_gguf, DirectoryStore(tmp_path)) as page:
        stop_at(page, 5)
        assert train(page, run_name="Lauf 3")["stopped"]
        first = losses(page)
        assert page.events("adapter")[-1]["adapter"]["name"] == "Lauf 3"
    with opened(device, tiny_gguf, DirectoryStore(tmp_path)) as page:
        run = page.events("resumable")[-1]["run"]
        assert (run["step"], run["num_steps"], run["is_this_model"]) == (5, 8, True)
        assert run["num_characters"] == len(TEXT)
        other = {"edits": {"learning_rate": 1.0}, "resume": True}  # its own settings count
        done = train(page, **other)
        assert (done["steps"], done["stopped"]) == (8, False)
        assert done["first_loss"] == whole[0][1]
        (history,) = page.events("run-history")
        assert [(step["step"], step["loss"]) for step in history["steps"]] == first == whole[:5]
        assert [point["step"] for point in history["evaluations"]] == [0, 4]
        assert losses(page) == whole[5:]
        assert page.events("evaluation")[-1] == points[-1]
        found = asyncio.run(page.ask("export-adapter"))
        assert found["bytes"] == wanted["bytes"]
        assert json.loads(found["record"])["resumed_at"] == [5]
        adapter = page.events("adapter")[-1]["adapter"]
        assert (adapter["steps"], adapter["name"]) == (8, "Lauf 3")
        assert page.events("resumable")[-1]["run"] is None


def test_a_short_run_beside_it_leaves_the_offer(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    with opened(device, tiny_gguf, DirectoryStore(tmp_path)) as page:
        stop_at(page, 3)
        assert train(page)["stopped"]
        short = run_fields(**EDITS | {"steps": 2, "checkpoint_every": 100})
        assert not asyncio.run(page.ask("train", **short))["stopped"]
        assert page.events("resumable")[-1]["run"]["step"] == 3
    with opened(device, tiny_gguf, DirectoryStore(tmp_path)) as page:
        assert page.events("resumable")[-1]["run"]["step"] == 3
        train(page)  # keeps itself as it goes, and has ended
        assert page.events("resumable")[-1]["run"] is None


def test_another_text_is_refused_and_the_offer_stands(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    with opened(device, tiny_gguf, DirectoryStore(tmp_path)) as page:
        stop_at(page, 3)
        train(page)
    with opened(device, tiny_gguf, DirectoryStore(tmp_path)) as page:
        fields = run_fields("quite another text. " * 60) | {"resume": True}
        sentence = asyncio.run(page.refused("train", **fields))
        assert "the corpus is another one" in sentence
        assert page.events("resumable")[-1]["run"]["step"] == 3
        assert page.events("adapter")[-1]["adapter"] is None
        asyncio.run(page.ask("discard-checkpoint"))
        assert page.events("resumable")[-1]["run"] is None
        sentence = asyncio.run(page.refused("train", **run_fields() | {"resume": True}))
        assert "no checkpoint to go on from" in sentence


def test_without_a_store_a_run_is_made_all_the_same(loaded: Page) -> None:
    done = asyncio.run(loaded.ask("train", **run_fields(**EDITS)))
    assert done["steps"] == 8
    assert not loaded.events("checkpoint")
    assert loaded.events("resumable")[-1]["run"] is None


def test_evaluations_need_text_that_is_kept_aside(loaded: Page) -> None:
    fields = run_fields(eval_every=2, eval_fraction=0)
    assert "nothing is kept aside" in asyncio.run(loaded.refused("train", **fields))
    # The plan says so first, by the form's names, so that Train is not offered.
    told = asyncio.run(loaded.refused("plan", **fields))
    assert told.startswith("Evaluate every is 2 and nothing is kept aside to evaluate on: raise ")
    assert "raise Kept for evaluation (0)" in told
