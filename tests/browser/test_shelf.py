"""Several adapters in the page: weighed, compared, packed up, kept through a reload, deleted."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.screens import keep_screen
from tests.browser.studio import Studio, wait_until

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40


def rows(studio: Studio) -> Locator:
    return studio.get("shelf-dialog").locator(".shelf-row")


def close(studio: Studio) -> None:
    studio.get("shelf-dialog").get_by_role("button", name="Done").click()


def weigh(row: Locator, strength: float) -> None:
    slider = row.get_by_test_id("strength")
    slider.fill(str(strength))
    slider.dispatch_event("change")


# What is said of the adapters that lie in this browser.
KEPT = """async () => {
  const found = [];
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('adapters');
  for await (const [name, handle] of folder.entries()) {
    const read = async () => found.push(JSON.parse(await (await handle.getFile()).text()));
    if (name.endsWith('.json')) await read().catch(() => {}); // written or deleted just now
  }
  return found;
}"""


def wait_kept(studio: Studio, *wanted: tuple[str, float]) -> None:
    """Wait until adapters lie in this browser, each by its name and its strength."""
    wait_until(
        lambda: (
            sorted((it["name"], it["strength"]) for it in studio.page.evaluate(KEPT))
            == sorted(wanted)
        ),
        60,
        studio.page,
        f"{wanted} are kept",
    )


def asked_anew(studio: Studio) -> str:
    clear = studio.page.locator("#chat-clear")
    if clear.is_enabled():
        clear.click()
    return studio.ask_model("the cat sat")


def test_adapters_are_weighed_compared_kept_and_deleted(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    studio.paste(TEXT)
    for rate in (0.02, 0.05):
        studio.change_settings(steps=8, max_seq_len=64, micro_batch_size=4, learning_rate=rate)
        studio.wait_counted()
        studio.train_to_end()
    studio.change_chat(length=10, raw=True)
    expect(studio.get("shelf-open")).to_have_text("Adapters (2)")
    second = asked_anew(studio)
    studio.use_lora(False)
    base = asked_anew(studio)
    studio.get("voice-adapter").select_option(label="Run 1")
    expect(studio.get("use-lora")).to_be_checked()
    first = asked_anew(studio)
    assert len({base, first, second}) == 3

    # At strength 0 it is the base; the page says so, and the voice carries its strength.
    studio.get("shelf-open").click()
    weigh(rows(studio).first, 0)
    expect(rows(studio).first.locator("output")).to_have_text("0.00 × (as Base)")
    rows(studio).first.get_by_label("Name of Run 1").fill("Cats")
    rows(studio).first.get_by_label("Name of Run 1").press("Enter")
    expect(rows(studio).nth(0).get_by_label("Name of Cats")).to_be_visible()
    close(studio)
    assert asked_anew(studio) == base
    expect(studio.get("chat-log").locator(".by")).to_have_text("Cats × 0")

    # Two adapters side by side.
    studio.get("shelf-open").click()
    weigh(rows(studio).first, 1)
    expect(rows(studio).first.locator("output")).to_have_text("1.00 ×")
    keep_screen(studio.page, "adapter-shelf")
    close(studio)
    studio.page.locator("#chat-clear").click()
    studio.get("chat-compare").click()
    studio.get("voice-left").select_option(label="Cats")
    studio.get("voice-right").select_option(label="Run 2")
    studio.get("chat-input").fill("the cat sat")
    studio.get("chat-send").click()
    expect(studio.page.locator(".compared")).to_be_visible()
    bodies = studio.get("chat-log").locator("[data-role=assistant] .msg-body")
    assert bodies.all_inner_texts() == [first, second]

    # As a folder, and dropped back.
    studio.get("shelf-open").click()
    with studio.page.expect_download() as download:
        rows(studio).first.get_by_test_id("shelf-folder").click()
    assert download.value.suggested_filename == "Cats.zip"
    packed = Path(download.value.path()).read_bytes()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert "| learning_rate | 0.02 |" in archive.read("README.md").decode()
    rows(studio).first.get_by_test_id("shelf-keep").check()
    expect(studio.page.locator("#announce")).to_contain_text("kept in this browser")
    weigh(rows(studio).first, 0.5)
    expect(rows(studio).first.locator("output")).to_have_text("0.50 ×")
    close(studio)
    studio.drop(("Cats.zip", packed))
    expect(studio.get("shelf-open")).to_have_text("Adapters (3)")
    studio.wait_adapter("Loaded Cats.zip")

    # Another visit: only what was to be kept is there, as it was.
    wait_kept(studio, ("Cats", 0.5), ("Run 2", 1))
    studio.page.reload()
    studio = open_tiny()
    studio.wait_adapter("Trained 8 steps")
    expect(studio.get("notice-unsaved")).to_contain_text("Run 2 of your last visit")
    studio.get("shelf-open").click()
    expect(rows(studio)).to_have_count(1)
    with studio.page.expect_download() as download:
        rows(studio).first.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "Cats.safetensors"
    expect(rows(studio).first.locator("output")).to_have_text("0.50 ×")
    expect(rows(studio).first.get_by_test_id("shelf-keep")).to_be_checked()
    weigh(rows(studio).first, 1)
    close(studio)
    studio.change_chat(length=10, raw=True)
    studio.use_lora(True)
    assert studio.ask_model("the cat sat") == first

    studio.get("shelf-open").click()
    rows(studio).first.get_by_role("button", name="Delete").click()
    rows(studio).first.get_by_role("button", name="Really delete?").click()
    expect(rows(studio)).to_have_count(0)
    close(studio)
    expect(studio.get("adapter-status")).to_have_text("No adapter yet")
    expect(studio.get("use-lora")).to_be_disabled()
    wait_kept(studio, ("Run 2", 1))
    studio.page.reload()
    studio = open_tiny()
    expect(studio.get("notice-unsaved")).to_be_visible()  # what is kept was read back
    expect(studio.get("adapter-status")).to_have_text("No adapter yet")
