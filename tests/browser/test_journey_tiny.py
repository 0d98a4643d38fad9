"""Long journeys on a tiny random model: stop, pause, reload, closing, what the page may not do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Dialog, Page, expect

from tests.browser.conftest import Site, new_context, watch
from tests.browser.studio import Studio, wait_until
from tests.tiny_model import make_tiny_gguf

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40
MAX_BLOCKED_MS = 50
"""PerformanceObserver calls a task long from 50 ms on."""
MOST_STEPS_ON_THE_WAY = 5
"""Of some dozen a second, that were made when Stop was pressed or until the worker heard of it."""
TASKS = ["devtools.timeline", "disabled-by-default-devtools.timeline"]


def start_long_run(studio: Studio) -> None:
    studio.change_settings(steps=100_000, max_seq_len=64, micro_batch_size=4)
    studio.paste(TEXT)
    studio.wait_counted()
    before = len(studio.events("step"))
    studio.train()
    studio.wait_steps(before + 3)


def test_pause_chat_resume_stop(tiny: Studio) -> None:
    start_long_run(tiny)
    tiny.get("pause").click()
    tiny.wait_status("paused")
    for part in ("model-select", "model-url", "model-file", "model-folder", "model-quantize"):
        expect(tiny.get(part)).to_be_disabled()  # the model of a run stays
    paused_at = len(tiny.events("step"))
    tiny.page.wait_for_timeout(700)
    assert len(tiny.events("step")) == paused_at
    tiny.change_chat(length=4)
    tiny.ask_model("the cat")  # talking is possible meanwhile
    tiny.wait_status("paused")

    # Another text is for the next run, and said to be.
    notice = tiny.page.get_by_test_id("notice-run-text")
    expect(notice).to_have_count(0)
    tiny.paste(f"{TEXT} and more of it")
    expect(notice).to_contain_text("goes on with the text that it began with")

    tiny.get("pause").click()
    tiny.wait_status("training")
    tiny.wait_steps(paused_at + 3)

    tiny.press_when("step", 1, "stop")
    tiny.wait_answer("train", 0)
    tiny.wait_status("ready")
    made, told = tiny.events("step"), tiny.events_before_press("step")
    assert len(made) <= len(told) + MOST_STEPS_ON_THE_WAY
    last = tiny.events("step")[-1]["step"]
    tiny.wait_adapter(f"{last} steps")
    assert tiny.number("step") == last
    expect(tiny.get("model-select")).to_be_enabled()
    expect(notice).to_have_count(0)
    assert tiny.download_adapter()[8:9] == b"{"


def test_stop_while_paused(tiny: Studio) -> None:
    start_long_run(tiny)
    tiny.get("pause").click()
    tiny.wait_status("paused")
    tiny.stop()
    tiny.wait_adapter("steps")


def test_trained_adapter_answers_alike_after_reload(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    studio.change_settings(steps=12, max_seq_len=64, micro_batch_size=4, learning_rate=0.02)
    studio.paste(TEXT)
    studio.wait_counted()
    steps = studio.train_to_end()
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.5
    studio.change_chat(length=12, raw=True)
    trained = studio.ask_model("the cat sat")
    studio.use_lora(False)
    base = studio.ask_model("the cat sat")
    assert base != trained
    adapter = studio.download_adapter()

    studio.page.reload()
    studio = open_tiny()
    expect(studio.get("use-lora")).to_be_disabled()
    studio.drop(("adapter_model.safetensors", adapter))
    studio.wait_adapter("Loaded adapter_model.safetensors")
    studio.change_chat(length=12, raw=True)
    assert studio.ask_model("the cat sat") == trained
    studio.use_lora(False)
    assert studio.ask_model("the cat sat") == base
    assert studio.download_adapter() == adapter  # not one bit is lost on the way


def test_same_seed_gives_the_same_losses_to_the_last_bit(tiny: Studio) -> None:
    tiny.change_settings(steps=6, max_seq_len=64, micro_batch_size=2)
    tiny.paste(TEXT)
    tiny.wait_counted()
    first, second = ([step["loss"] for step in tiny.train_to_end()] for _ in range(2))
    assert first == second


def would_ask(page: Page) -> bool:
    """Whether the page wants a person asked before it goes."""
    return bool(page.evaluate("!dispatchEvent(new Event('beforeunload', { cancelable: true }))"))


def test_closing_the_tab_in_mid_run_asks_first(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    start_long_run(studio)
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    studio.page.on("dialog", stay)
    studio.page.close(run_before_unload=True)
    wait_until(lambda: bool(asked), 60, studio.page, "the page asks")
    assert asked == ["beforeunload"]
    count = len(studio.events("step"))
    studio.wait_steps(count + 2)  # and the run goes on
    studio.stop()
    # Once what was learnt is held in the browser, nobody asks any more.
    wait_until(lambda: not would_ask(studio.page), 60, studio.page, "the adapter is held")
    with studio.page.expect_event("close"):
        studio.page.close(run_before_unload=True)
    assert asked == ["beforeunload"]


def longest_task_ms(trace: bytes) -> float:
    """Return the longest task of the page's main thread, in its own processor time.

    By the clock a task also lasts while another process has the core; that is not the page's doing.
    """
    events = json.loads(trace)["traceEvents"]
    started = next(event for event in events if event["name"] == "TracingStartedInBrowser")
    page = next(frame for frame in started["args"]["data"]["frames"] if "parent" not in frame)
    main = next(
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name"
        and event["args"]["name"] == "CrRendererMain"
        and event["pid"] == page["processId"]
    )
    tasks = [
        event.get("tdur", 0) / 1e3
        for event in events
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) == main
    ]
    assert len(tasks) > 24, len(tasks)  # each step is told in one
    return float(max(tasks))


def test_main_thread_stays_free_while_training(tiny: Studio, browser: Browser) -> None:
    start_long_run(tiny)
    tiny.settle()
    browser.start_tracing(page=tiny.page, categories=TASKS)
    tiny.wait_steps(len(tiny.events("step")) + 24)
    trace = browser.stop_tracing()
    tiny.stop()
    assert longest_task_ms(trace) < MAX_BLOCKED_MS


def test_second_visit_does_not_fetch_the_model_again(
    page: Page, site: Site, tiny_gguf: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf)
    site.extra["/models/test-tiny.gguf"] = path
    fetched = "GET /models/test-tiny.gguf"
    site.requests.clear()
    studio = Studio(page)
    studio.open(site.url, model="models/test-tiny.gguf")
    studio.wait_status("ready")
    assert site.requests.count(fetched) == 1
    page.goto("about:blank")
    studio.open(site.url, model="models/test-tiny.gguf")
    studio.wait_status("ready")
    expect(page.locator("#model-text")).to_contain_text("parameters")
    assert site.requests.count(fetched) == 1  # a HEAD asks whether the file has changed

    changed = make_tiny_gguf(layers=1)
    path.write_bytes(changed)
    page.goto("about:blank")
    studio.open(site.url, model="models/test-tiny.gguf")
    studio.wait_status("ready")
    expect(page.locator("#model-text")).to_contain_text("1 layers")
    assert site.requests.count(fetched) == 2


def test_page_without_webgpu_says_so_and_stays_readable(
    browser_without_gpu: Browser, site: Site
) -> None:
    context = new_context(browser_without_gpu)
    watched = watch(context)
    studio = Studio(context.new_page())
    studio.page.goto(site.url)
    studio.wait_status("error")
    studio.wait_error("WebGPU", "adapter")
    expect(studio.page.locator("#webgpu-help")).to_be_visible()
    assert studio.page.locator("#help-steps li").count() > 0
    studio.paste("I can still write here.")
    assert studio.get("corpus-text").input_value() == "I can still write here."
    studio.get("plan-open").click()
    studio.page.locator("#plan-dialog").get_by_role("button", name="Done").click()
    expect(studio.get("train")).to_be_disabled()
    expect(studio.get("chat-send")).to_be_disabled()
    context.close()
    assert watched.faults == ["console warning: No available adapters."]  # Chromium's own words
    assert watched.origins == {site.url.rstrip("/")}
