"""All weights of the tiny model: asked, trained, talked to, handed out, loaded again."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from playwright.sync_api import expect

from app.io.safetensors import read_safetensors
from tests.browser.screens import keep_screen
from tests.browser.studio import Studio
from tests.browser.test_accessibility import serious

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40
STEPS = 12
SETTINGS = {"steps": STEPS, "max_seq_len": 64, "micro_batch_size": 4, "learning_rate": 0.005}


def begin(studio: Studio, steps: int = STEPS) -> None:
    """Press Train and confirm what it takes."""
    studio.train()
    dialog = studio.get("full-confirm")
    expect(dialog).to_contain_text(re.compile(r"Training all [\d,]+ weights takes .* and about"))
    expect(dialog).to_contain_text(f"for {steps} steps")
    expect(dialog).to_contain_text("GFLOP/s")
    keep_screen(dialog.page, "full-confirm")
    dialog.get_by_role("button", name="Train all weights").click()


def download(studio: Studio) -> zipfile.ZipFile:
    with studio.page.expect_download() as found:
        studio.get("tuned-download").click()
    assert found.value.suggested_filename.endswith("-tuned.zip")
    data = Path(found.value.path()).read_bytes()
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    return archive


def weights_in(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    return dict(read_safetensors(archive.read("model.safetensors"))[0])


def test_the_whole_way(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    studio.paste(TEXT)
    studio.wait_counted()
    studio.choose_mode("full")
    studio.change_settings(**SETTINGS)
    studio.change_chat(length=12, raw=True)
    base = studio.ask_model("the cat sat")

    # What is not confirmed is not begun.
    studio.train()
    studio.get("full-confirm").get_by_role("button", name="Cancel").click()
    expect(studio.get("full-confirm")).to_have_count(0)
    assert studio.events("step") == []

    with studio.training():
        begin(studio)
    steps = studio.events("step")
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.5
    expect(studio.get("tuned-status")).to_contain_text("trained 12 steps")
    expect(studio.get("tuned-status")).to_contain_text("kept in this browser until")

    # Both answer, and the base as it did before.
    expect(studio.page.locator("#switch-lora")).to_have_text("Tuned")
    tuned = studio.ask_model("the cat sat")
    assert tuned != base
    studio.use_lora(False)
    assert studio.ask_model("the cat sat") == base

    studio.get("evaluate").click()
    expect(studio.page.locator("#ppl-who")).to_have_text("Tuned")
    keep_screen(studio.page, "full-tuned")
    expect(studio.get("verdict")).to_contain_text("Learned", timeout=90_000)
    assert studio.number("ppl-lora") < studio.number("ppl-base")

    # Another model lets it go only where the person says so.
    select = studio.page.locator("#model-quantize")
    select.select_option("int4")
    guard = studio.get("unsaved-model")
    expect(guard).to_contain_text("12 steps")
    assert not serious(studio)
    guard.get_by_role("button", name="Cancel").click()
    expect(select).to_have_value("none")
    expect(studio.get("tuned-bar")).to_be_visible()

    archive = download(studio)
    expect(studio.get("tuned-status")).to_contain_text(", downloaded")
    trained = weights_in(archive)
    assert {"config.json", "tokenizer.json", "run.json"} <= set(archive.namelist())

    # The folder in it is a model that this page loads, and it answers as the trained one did.
    folder = [(name, archive.read(name)) for name in archive.namelist() if name != "run.json"]
    with studio.loading():
        studio.get("model-file").locator("xpath=.").set_input_files(
            [
                {"name": name, "mimeType": "application/octet-stream", "buffer": data}
                for name, data in folder
            ]
        )
    expect(studio.get("tuned-bar")).to_be_hidden()
    assert studio.ask_model("the cat sat") == tuned

    # An update later its weights are others.
    studio.change_settings(steps=2)
    with studio.training():
        begin(studio, steps=2)
    expect(studio.get("tuned-bar")).to_be_visible()
    later = weights_in(download(studio))
    assert later.keys() == trained.keys()
    assert any((later[name] != trained[name]).any() for name in trained)
