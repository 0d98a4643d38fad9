"""The whole story on the real model, with few steps and a short window."""

from __future__ import annotations

import os
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.processes import processor_seconds
from tests.browser.studio import Studio

TEXT = (
    "Ollamir is a village of 312 people on the river Tesk. Its mayor is Hanne Vildgaard. "
    "The bridge of Ollamir was built in 1911 and painted green in 1962. "
) * 3
QUESTION = "Where is Ollamir?"
BUNDLED = "GET /models/smollm2-135m-instruct-q4_1.gguf"
STEP_MS = 90_000
"""0.6 GFLOP a token × 32 tokens at 1 GFLOP/s on a busy machine, three times over."""

FIRST_LOSS_SECONDS = 20.0
"""What the page promises, kernels still to be compiled, on any device that has its cores to itself:
what is counted is the time that they spend on it."""

STOP_AFTER_MS = 500
"""Into a step of some three seconds: who waited for its end would tell of it."""

# Notes the figures of each step as they are shown.
WATCH_FIGURES = """() => {
  lab.figures = [];
  const place = (name) => document.querySelector(`[data-testid=${name}]`);
  new MutationObserver(() => {
    const shown = ['step', 'tokens', 'loss', 'throughput'].map((name) => Number(place(name).dataset.value));
    if (shown.some(Number.isNaN) || shown[0] === lab.figures.at(-1)?.[0]) return;
    lab.figures.push(shown);
  }).observe(place('step'), { attributes: true, attributeFilter: ['data-value'] });
}"""  # noqa: E501


@pytest.mark.slow
def test_train_chat_download_reload_and_drop_back(page: Page, site: Site) -> None:
    studio = Studio(page)
    studio.open(site.url)
    studio.wait_status("ready", 120_000)
    assert "swiftshader" in studio.text("gpu-status").lower()
    assert site.requests.count(BUNDLED) == 1

    # Text in, a plan out, and with the settings that were suggested a loss soon after Train.
    studio.paste(TEXT)
    num_tokens = studio.wait_counted()
    assert 100 < num_tokens < 200
    expect(studio.get("plan-eta")).to_have_attribute("data-value", re.compile(r"\d"))
    assert studio.number("plan-memory") > 100e6
    studio.press_when("step", 1, "stop", after_ms=STOP_AFTER_MS)
    before = processor_seconds()
    studio.train()
    studio.wait_steps(1)
    assert processor_seconds() - before < FIRST_LOSS_SECONDS * (os.cpu_count() or 1)

    # Stopped in the middle of a step, that step is not waited for, and what was learnt is kept.
    studio.wait_answer("train", 0)
    studio.wait_status("ready")
    num_steps = len(studio.events("step"))
    assert num_steps == len(studio.events_before_press("step"))
    studio.wait_adapter(f"Trained {num_steps} step")

    # A whole run: the figures move as steps come in.
    studio.change_settings(steps=2, max_seq_len=32, micro_batch_size=1, eval_fraction=0)
    page.evaluate(WATCH_FIGURES)
    steps = studio.train_to_end(2 * STEP_MS)
    told = [
        [step[name] for name in ("step", "num_tokens", "loss", "tokens_per_second")]
        for step in steps
    ]
    assert page.evaluate("lab.figures") == told
    assert [step["num_tokens"] for step in steps] == [32, 64]
    assert all(1.0 < step["loss"] < 8.0 for step in steps)  # chance would be ln 49152 = 10.8
    assert steps[0]["loss"] != steps[1]["loss"]
    studio.wait_adapter("Trained 2 steps")

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
