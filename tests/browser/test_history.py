"""The history of runs: after a reload, gone on with, compared, damaged, deleted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Dialog, Locator, Page, expect

from tests.browser.conftest import Site
from tests.browser.screens import keep_screen
from tests.browser.studio import Studio, wait_until
from tests.browser.test_accessibility import serious
from tests.browser.test_console import (
    INK_OF,
    assert_same_numbers,
    cells,
    close_dialog,
    rows_of,
    saved,
)

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40
PROMPT = "the door"
SETTINGS = {
    "steps": 8,
    "max_seq_len": 64,
    "micro_batch_size": 2,
    "eval_fraction": 0.1,
    "eval_every": 4,
    "sample_every": 4,
    "sample_prompt": PROMPT,
    "checkpoint_every": 4,
    "learning_rate": 0.01,
}

# Everything that lies in the folder of the history: path and text.
FILES = """async () => {
  const found = [];
  const read = async (folder, path) => {
    for await (const [name, handle] of folder.entries()) {
      if (handle.kind === 'directory') await read(handle, `${path}${name}/`);
      // What is being replaced or deleted just now is not there.
      else await handle.getFile().then((file) => file.text()).then((text) => found.push([path + name, text]), () => {});
    }
  };
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle('history').catch(() => null);
  if (folder) await read(folder, '');
  return found;
}"""  # noqa: E501

PUT = """async (files) => {
  const history = await (await navigator.storage.getDirectory()).getDirectoryHandle('history', { create: true });
  for (const [key, name, text] of files) {
    const folder = await history.getDirectoryHandle(key, { create: true });
    const stream = await (await folder.getFileHandle(name, { create: true })).createWritable();
    await stream.write(text);
    await stream.close();
  }
}"""  # noqa: E501


def files_of(page: Page) -> dict[str, str]:
    return dict(page.evaluate(FILES))


def runs(studio: Studio) -> Locator:
    """The rows of the list, the newest first."""
    return studio.page.locator("#run-table tr[data-run]")


def open_tools(row: Locator) -> Locator:
    """Open a run's row; return what is then below it."""
    press = row.locator(".run-open")
    if press.get_attribute("aria-expanded") != "true":
        press.click()
    return row.page.locator(f"#run-more-{row.get_attribute('data-run')}")


def points(studio: Studio, count: int) -> None:
    expect(studio.get("loss-chart")).to_have_attribute("data-points", str(count))


def numbers_of(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """A file's rows without what a model wrote."""
    words = ("sample prompt", "sample text")
    kept = [{name: row[name] for name in row if name not in words} for row in rows]
    return [row for row in kept if any(value for name, value in row.items() if name != "step")]


def wait_written(studio: Studio, step: int) -> None:
    """Wait until a step lies on the device."""
    line = f'["s",{step},'
    wait_until(
        lambda: any(line in text for text in files_of(studio.page).values()),
        60,
        studio.page,
        f"step {step} is kept",
    )


def interrupt(studio: Studio) -> int:
    """Train past a checkpoint and past every step of the run before; return the last step."""
    studio.change_settings(steps=100_000, learning_rate=0.03)
    before = len(studio.events("checkpoint"))
    studio.train()
    studio.wait_events("checkpoint", before + 3)
    studio.get("pause").click()
    studio.wait_status("paused")
    last: int = studio.events("step")[-1]["step"]
    wait_written(studio, last)
    return last


def test_runs_outlive_a_reload_and_go_on(
    open_tiny: Callable[[], Studio], site: Site, tiny_gguf: bytes
) -> None:
    studio = open_tiny()
    page = studio.page
    page.on("dialog", Dialog.accept)
    studio.change_settings(**SETTINGS)
    studio.paste(TEXT)
    studio.wait_counted()
    first = studio.train_to_end()
    points(studio, 8)
    before = numbers_of(rows_of(saved(studio, "csv")[1]))
    last = interrupt(studio)
    interrupted = studio.events("step")[len(first) :]
    samples = [json.dumps(event["text"])[1:-1] for event in studio.events("sample")]
    page.reload()

    # Both are there before a model is: the newest first, with how it ended, and on the charts.
    studio.open(site.url, model="none")
    expect(runs(studio)).to_have_count(2)
    expect(runs(studio).nth(0)).to_contain_text(f"interrupted at step {last}")
    expect(runs(studio).nth(1)).to_contain_text("finished")
    expect(studio.get("resume-offer")).to_contain_text("To go on, choose that model.")
    expect(studio.get("shown-run")).to_contain_text("Run 2")
    points(studio, last)
    assert_same_numbers(rows_of(saved(studio, "csv")[1]), interrupted)
    runs(studio).nth(1).get_by_role("radio").check()
    points(studio, 8)
    assert numbers_of(rows_of(saved(studio, "csv")[1])) == before
    assert saved(studio, "png")[1][:4] == b"\x89PNG"

    # Neither text nor what the model wrote of it: nobody asked that it is kept.
    kept = files_of(page)
    assert len([name for name in kept if name.endswith("run.json")]) == 2
    for words in ("the cat", PROMPT, "sample_prompt"):
        assert not [name for name, text in kept.items() if words in text]
    assert samples
    assert not [name for name, text in kept.items() if any(sample in text for sample in samples)]

    # Gone on with, it is the same run, and no step is there twice.
    studio.load_model(tiny_gguf)
    studio.paste(TEXT)
    studio.wait_counted()
    studio.get("resume-run").click()
    studio.wait_for_event("run-history", 60)
    (history,) = studio.events("run-history")
    studio.wait_steps(last - len(history["steps"]) + 3)
    studio.stop()
    whole = [*history["steps"], *studio.events("step")]
    numbers = [step["step"] for step in whole]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > last
    points(studio, len(numbers))
    assert_same_numbers(rows_of(saved(studio, "csv")[1]), whole)
    expect(runs(studio)).to_have_count(2)
    expect(runs(studio).nth(0)).to_contain_text(f"stopped at step {len(numbers)}")
    expect(studio.get("resume-offer")).to_contain_text(f"was stopped after step {len(numbers)} of")
    after = numbers_of(rows_of(saved(studio, "csv")[1]))
    name = open_tools(runs(studio).nth(0)).get_by_test_id("run-name")
    name.fill("Warmer")
    name.press("Enter")
    expect(runs(studio).nth(0)).to_contain_text("Warmer")
    wait_until(
        lambda: any('"name":"Warmer"' in text for text in files_of(page).values()),
        60,
        page,
        "the name is kept",
    )
    page.reload()
    studio.open(site.url, model="none")
    expect(runs(studio)).to_have_count(2)
    expect(runs(studio).nth(0)).to_contain_text("Warmer")
    expect(runs(studio).nth(0)).to_contain_text(f"stopped at step {len(numbers)}")
    points(studio, len(numbers))
    assert numbers_of(rows_of(saved(studio, "csv")[1])) == after
    compare(studio, first)
    delete(studio, site)


def compare(studio: Studio, first: list[dict[str, Any]]) -> None:
    """Lay an earlier run over the one that is shown."""
    page = studio.page
    canvas = page.locator("#loss-chart canvas")
    expect(studio.get("key-compared")).to_be_hidden()
    alone = canvas.evaluate(INK_OF)
    studio.get("compare-run").select_option("1")
    expect(studio.get("key-compared")).to_have_text(re.compile("Run 1, smoothed.*Run 1, held-out"))
    page.wait_for_function(
        f"([canvas, ink]) => ({INK_OF})(canvas) > ink", arg=[canvas.element_handle(), alone]
    )
    loss_chart = studio.get("loss-chart")
    loss_chart.focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#loss-chart .readout")).to_contain_text(
        re.compile(r"Step 4: loss .*held-out .*Run 1: smoothed \d\.\d+, held-out \d\.\d+")
    )
    page.locator("#table-open").click()
    expect(page.locator("#table-title")).to_have_text("Steps of Warmer")
    heads = page.locator("#step-table thead th").all_inner_texts()
    told = dict(zip(heads, cells(page.locator("#step-table"))[-5], strict=True))
    assert told["Step"] == "4"
    assert told["Run 1: Loss"] == f"{first[3]['loss']:.3f}"
    assert re.fullmatch(r"\d\.\d{3}", told["Run 1: Held-out loss"])
    close_dialog(studio)
    keep_screen(page, "history", size=(1440, 1400))
    assert serious(studio) == []
    usual = page.viewport_size
    assert usual
    open_tools(runs(studio).nth(0))
    studio.resize(360, 780)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size(usual)


def delete(studio: Studio, site: Site) -> None:
    """Delete one run, and then all; neither comes back."""
    page = studio.page
    row = runs(studio).nth(1)
    press = open_tools(row).get_by_role("button", name=re.compile("^Delete"))
    press.click()
    expect(press).to_have_text("Delete for good?")
    press.click()
    expect(runs(studio)).to_have_count(1)
    expect(page.locator("#runs-sum")).to_be_focused()
    expect(studio.get("key-compared")).to_be_hidden()
    page.reload()
    studio.open(site.url, model="none")
    expect(runs(studio)).to_have_count(1)
    expect(runs(studio).nth(0)).to_contain_text("Warmer")
    everything = page.locator("#runs-foot").get_by_role("button")
    everything.click()
    everything.click()
    expect(studio.get("runs")).to_be_hidden()
    expect(page.locator("#chart-empty")).to_be_visible()
    assert not [name for name in files_of(page) if name.endswith("run.json")]


def damaged_files() -> list[list[str]]:
    """Return a sound record with a torn line, a newer one, and two that tell nothing."""
    keys = [f"2026-11-{day}T12-30-05-250Z-0123abcd" for day in (17, 18, 19, 20)]
    about: dict[str, Any] = {"version": 1, "key": keys[0], "number": 7, "name": "", "model": "Tiny"}
    about |= {"startedAt": 1.79e12, "numSteps": 9, "plan": None, "done": None, "failed": False}
    steps = "".join(f'["s",{n},{5 - n / 4},1,0.01,{n * 9},90,0.1,0]\n' for n in range(1, 6))
    return [
        [keys[0], "run.json", json.dumps(about)],
        [keys[0], "steps-000001.jsonl", steps + '["s",6,3.25,1,0.0'],
        [keys[1], "run.json", json.dumps({"version": 2, "surprise": True})],
        [keys[2], "run.json", json.dumps(about)[:40]],
        [keys[3], "steps-000001.jsonl", steps],
    ]


def test_damaged_records_are_named_and_deleted(page: Page, site: Site) -> None:
    studio = Studio(page)
    studio.open(site.url, model="none")
    expect(studio.get("runs")).to_be_hidden()
    page.evaluate(PUT, damaged_files())
    page.reload()
    studio.open(site.url, model="none")
    expect(runs(studio)).to_have_count(1)
    points(studio, 5)
    expect(runs(studio).first).to_contain_text("interrupted at step 5")
    expect(open_tools(runs(studio).first)).to_contain_text("1 line of its record was damaged")
    damaged = studio.get("runs-damaged").locator("li")
    expect(damaged).to_have_count(3)
    expect(damaged.nth(0)).to_contain_text(re.compile("Nov 18, 2026.*newer version of this page"))
    expect(damaged.nth(1)).to_contain_text(re.compile("Nov 19, 2026.*damaged"))
    assert serious(studio) == []
    studio.get("language").select_option("de")
    expect(runs(studio).first).to_contain_text("unterbrochen bei Schritt 5")
    expect(damaged.nth(1)).to_contain_text("beschädigt und lässt sich nicht zeigen. Löschen")
    expect(studio.get("runs-kept")).to_contain_text("In diesem Browser behalten")
    studio.get("language").select_option("en")
    expect(damaged.nth(1)).to_contain_text("damaged")
    press = damaged.nth(1).get_by_role("button")
    press.click()
    expect(press).to_have_text("Delete for good?")
    press.click()
    expect(damaged).to_have_count(2)
    assert len({name.split("/")[0] for name in files_of(page)}) == 3

    # In what is stored it is one thing with its size, and goes as a whole.
    studio.get("storage-open").click()
    row = studio.get("storage-dialog").get_by_role("row", name=re.compile("History of runs"))
    expect(row).to_contain_text(re.compile(r"\d B|\d kB"))
    expect(row).to_contain_text("newest 100 runs")
    row.get_by_role("button").click()
    row.get_by_role("button").click()
    expect(row).to_have_count(0)
    close_dialog(studio)
    expect(studio.get("runs")).to_be_hidden()
    assert files_of(page) == {}


def test_without_storage_the_run_goes_on(
    page: Page, open_tiny: Callable[[], Studio], site: Site
) -> None:
    page.add_init_script(
        "navigator.storage.getDirectory = () => Promise.reject(new DOMException('off', 'SecurityError'))"  # noqa: E501
    )
    studio = open_tiny()
    studio.change_settings(**SETTINGS | {"steps": 2, "eval_every": 0, "sample_every": 0})
    studio.paste(TEXT)
    studio.wait_counted()
    assert len(studio.train_to_end()) == 2
    expect(studio.get("notice-history")).to_contain_text("The run goes on")
    studio.get("notice-history").get_by_role("button").click()
    studio.train_to_end()
    expect(runs(studio)).to_have_count(2)
    expect(studio.get("notice-history")).to_have_count(0)  # told once
    expect(studio.get("error")).to_be_hidden()


def test_what_the_model_wrote_is_kept_with_the_text(
    open_tiny: Callable[[], Studio], site: Site
) -> None:
    studio = open_tiny()
    page = studio.page
    studio.change_settings(**SETTINGS | {"steps": 4, "eval_every": 0})
    studio.paste(TEXT)
    studio.wait_counted()
    studio.get("remember-text").check()
    studio.train_to_end()
    before = rows_of(saved(studio, "csv")[1])
    assert [row["sample prompt"] for row in before if row["sample prompt"]] == [PROMPT] * 2
    wait_until(
        lambda: any('"done":{' in text for text in files_of(page).values()), 60, page, "it is kept"
    )
    page.reload()
    studio.open(site.url, model="none")
    points(studio, 4)
    assert rows_of(saved(studio, "csv")[1]) == before
    studio.get("remember-text").uncheck()
    wait_until(
        lambda: not any(PROMPT in text for text in files_of(page).values()), 60, page, "it is gone"
    )
