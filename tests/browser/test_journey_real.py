"""The whole story on the real model, with few steps and a short window."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Site
from tests.browser.studio import Studio

TEXT = (
    "Ollamir is a village of 312 people on the river Tesk. Its mayor is Hanne Vildgaard. "
    "The bridge of Ollamir was built in 1911 and painted green in 1962. "
) * 3
QUESTION = "Where is Ollamir?"
BUNDLED = "GET /models/smollm2-135m-instruct-q4_1.gguf"
STEP_MS = 90_000
"""0.6 GFLOP a token × 32 tokens at about 2 GFLOP/s, and as long again for compiling."""


@pytest.mark.slow
def test_train_chat_download_reload_and_drop_back(page: Page, site: Site) -> None:
    studio = Studio(page)
    studio.open(site.url)
    studio.wait_status("ready", 120_000)
    assert "swiftshader" in studio.text("gpu-status").lower()
    assert site.requests.count(BUNDLED) == 1

    # Text in, a plan out.
    studio.paste(TEXT)
    num_tokens = studio.wait_counted()
    assert 100 < num_tokens < 200
    studio.change_settings(steps=2, max_seq_len=32, micro_batch_size=1, eval_fraction=0)

    # A whole run: figures move as steps come in.
    steps = studio.train_to_end(2 * STEP_MS)
    assert [step["step"] for step in steps] == [1, 2]
    assert studio.number("step") == 2
    assert studio.number("tokens") == steps[-1]["num_tokens"] == 64
    assert studio.number("loss") == pytest.approx(steps[-1]["loss"])
    assert 1.0 < steps[0]["loss"] < 8.0  # the real model on real text: chance would be 10.8
    assert studio.number("throughput") > 0
    studio.wait_adapter("2 steps")

    # A run that is stopped in the middle of a step keeps what was learnt, within a second.
    studio.change_settings(steps=50)
    before = len(studio.events("step"))
    studio.train()
    studio.wait_steps(before + 1, STEP_MS / 1e3)
    page.wait_for_timeout(500)
    clicked = time.monotonic()
    studio.get("stop").click()
    studio.wait_status("ready")
    assert time.monotonic() - clicked < 1.0
    assert len(studio.events("step")) < before + 5

    # Base and LoRA in one conversation; the base's answer is not touched by the adapter.
    studio.change_chat(length=4)
    studio.use_lora(False)
    base = studio.ask_model(QUESTION, STEP_MS)
    studio.page.locator("#chat-clear").click()
    studio.use_lora(True)
    lora = studio.ask_model(QUESTION, STEP_MS)
    studio.page.locator("#chat-clear").click()
    studio.use_lora(False)
    assert studio.ask_model(QUESTION, STEP_MS) == base
    adapter = studio.download_adapter()

    # Another visit: the model comes from this browser's own store, the adapter from the disk.
    site.requests.clear()
    studio.open(site.url)
    studio.wait_status("ready", 60_000)
    assert not [request for request in site.requests if "/models/" in request]
    studio.drop(("adapter_model.safetensors", adapter))
    studio.wait_adapter("Loaded adapter_model.safetensors")
    studio.change_chat(length=4)
    assert studio.ask_model(QUESTION, STEP_MS) == lora
