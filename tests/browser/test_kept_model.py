"""A model whose weights were all trained and that nobody downloaded survives a reload."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Dialog, Locator, expect

from tests.browser.screens import keep_screen
from tests.browser.studio import TRAIN_MS, Studio
from tests.browser.test_accessibility import serious

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40
KEPT = "kept in this browser until it is downloaded"
FILES = """async () => {
  const root = await navigator.storage.getDirectory();
  const names = [];
  for (const called of ['checkpoints', 'tuned']) {
    const folder = await root.getDirectoryHandle(called).catch(() => null);
    if (folder) for await (const name of folder.keys()) names.push(`${called}/${name}`);
  }
  return names.sort();
}"""


def offer(studio: Studio) -> Locator:
    return studio.get("notice-kept-model")


def begin(studio: Studio) -> None:
    studio.paste(TEXT)
    studio.wait_counted()
    studio.choose_mode("full")
    studio.change_settings(
        steps=6,
        max_seq_len=64,
        micro_batch_size=2,
        learning_rate=0.005,
        checkpoint_every=3,
        eval_fraction=0.1,
    )
    studio.train()


def trained(studio: Studio) -> Studio:
    begin(studio)
    studio.get("full-confirm").get_by_role("button", name="Train all weights").click()
    expect(studio.get("tuned-status")).to_contain_text("trained 6 steps", timeout=TRAIN_MS)
    expect(studio.get("tuned-status")).to_contain_text(KEPT, timeout=TRAIN_MS)
    expect(studio.page.locator("#finish-title")).to_have_text("Finished.", timeout=TRAIN_MS)
    studio.wait_status("ready")
    return studio


def asked_in(studio: Studio) -> list[str]:
    """Return a list that grows with each question of the browser's own."""
    asked: list[str] = []
    studio.page.on("dialog", lambda dialog: (asked.append(dialog.type), Dialog.accept(dialog)))
    return asked


def test_a_trained_model_is_there_after_a_reload(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    page = studio.page
    asked = asked_in(studio)
    trained(studio)
    assert [name.split("/")[0] for name in page.evaluate(FILES)] == ["tuned", "tuned"]
    studio.change_chat(length=10, raw=True)
    said = studio.ask_model("the cat sat")
    page.reload()
    studio = open_tiny()
    expect(offer(studio)).to_contain_text(
        "A trained model that was not downloaded is still here", timeout=60_000
    )
    expect(offer(studio)).to_contain_text(re.compile(r"6 steps of all weights, .*\([\d.]+ [kM]B\)"))
    expect(studio.get("resume-offer")).to_be_hidden()
    expect(studio.get("tuned-bar")).to_be_hidden()
    assert not serious(studio)
    keep_screen(page, "kept-model")
    offer(studio).get_by_role("button", name="Open").click()
    expect(studio.get("tuned-status")).to_contain_text("trained 6 steps", timeout=60_000)
    expect(studio.get("tuned-status")).to_contain_text(KEPT)
    expect(offer(studio)).to_have_count(0)
    expect(page.locator("#switch-lora")).to_have_text("Tuned")
    expect(studio.get("use-lora")).to_be_checked()
    studio.change_chat(length=10, raw=True)
    assert studio.ask_model("the cat sat") == said
    studio.paste(TEXT)
    studio.wait_counted()
    studio.get("evaluate").click()
    expect(studio.get("verdict")).to_contain_text("Learned", timeout=TRAIN_MS)
    with page.expect_download(timeout=60_000) as found:
        studio.get("tuned-download").click()
    assert found.value.suggested_filename.endswith("-tuned.zip")
    expect(studio.get("tuned-status")).to_contain_text(", downloaded")
    assert page.evaluate(FILES) == []
    assert not asked


def test_it_is_discarded_or_deleted_where_the_person_says_so(
    open_tiny: Callable[[], Studio],
) -> None:
    studio = trained(open_tiny())
    page = studio.page
    asked = asked_in(studio)
    page.reload()
    studio = open_tiny()
    expect(offer(studio)).to_be_visible(timeout=60_000)

    # Another run of all weights would take its place.
    begin(studio)
    studio.get("full-confirm").get_by_role("button", name="Train all weights").click()
    guard = studio.get("kept-model")
    expect(guard).to_contain_text("6 steps")
    assert not serious(studio)
    guard.get_by_role("button", name="Cancel").click()
    expect(guard).to_have_count(0)
    assert studio.events("step") == []

    offer(studio).get_by_role("button", name="Discard").click()
    offer(studio).get_by_role("button", name="Really discard?").click()
    expect(offer(studio)).to_have_count(0, timeout=60_000)
    assert page.evaluate(FILES) == []
    assert not asked

    # What is deleted among what is stored is held no longer, and the page says so.
    trained(studio)
    studio.get("storage-open").click()
    row = page.locator("#storage-list tr").filter(has_text="Trained model")
    expect(row).to_contain_text(re.compile(r"\d [kM]B"))
    expect(row).to_contain_text("not downloaded yet")
    row.get_by_role("button").click()
    row.get_by_role("button", name="Delete Trained model for good?").click()
    expect(row).to_have_count(0)
    page.locator("#storage-close").click()
    expect(studio.get("tuned-status")).to_contain_text("not downloaded yet", timeout=60_000)
    page.reload()
    assert asked == ["beforeunload"]
    studio = open_tiny()
    studio.wait_for_event("kept-model", 60)
    expect(offer(studio)).to_have_count(0)
