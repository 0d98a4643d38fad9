"""A finished adapter that nobody downloaded survives a reload, and is offered."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Dialog, Locator, expect

from tests.browser.screens import keep_screen
from tests.browser.studio import Studio, wait_until

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40


def offer(studio: Studio) -> Locator:
    return studio.get("notice-unsaved")


def trained(studio: Studio) -> Studio:
    studio.change_settings(
        steps=6, max_seq_len=64, micro_batch_size=2, checkpoint_every=2, learning_rate=0.02
    )
    studio.paste(TEXT)
    studio.wait_counted()
    studio.train_to_end()
    expect(studio.get("run-kept")).to_contain_text("The adapter is held in this browser")
    return studio


def test_what_was_trained_and_not_downloaded_is_there_after_a_reload(
    open_tiny: Callable[[], Studio],
) -> None:
    studio = open_tiny()
    # Nothing would be lost: nobody is asked. (A question that is not answered fails the reload.)
    asked: list[str] = []
    studio.page.on("dialog", lambda dialog: (asked.append(dialog.type), Dialog.accept(dialog)))
    trained(studio)
    studio.change_chat(length=10, raw=True)
    said = studio.ask_model("the cat sat")
    studio.page.reload()
    studio = open_tiny()
    expect(offer(studio)).to_contain_text("Run 1 of your last visit, trained 6 steps")
    expect(studio.get("resume-offer")).to_be_hidden()
    keep_screen(studio.page, "unsaved")
    expect(studio.get("adapter-status")).to_have_text("No adapter yet")
    offer(studio).get_by_role("button", name="Take it back").click()
    studio.wait_adapter("Trained 6 steps")
    expect(offer(studio)).to_have_count(0)
    expect(studio.get("chat-input")).to_be_focused()  # the pressed button is gone
    expect(studio.get("use-lora")).to_be_checked()
    expect(studio.get("adapter-record")).to_be_visible()
    studio.change_chat(length=10, raw=True)
    assert studio.ask_model("the cat sat") == said

    # Not downloaded yet, it is there once more; discarding asks twice.
    studio.page.reload()
    studio = open_tiny()
    expect(offer(studio)).to_be_visible()
    offer(studio).get_by_role("button", name="Discard").click()
    offer(studio).get_by_role("button", name="Really discard?").click()
    expect(offer(studio)).to_have_count(0)
    assert not asked


def test_it_is_let_go_once_the_person_has_it(open_tiny: Callable[[], Studio]) -> None:
    studio = trained(open_tiny())
    stored = """async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('adapters');
      const names = [];
      for await (const name of folder.keys()) names.push(name);
      return names.length;
    }"""
    assert studio.page.evaluate(stored) == 2
    studio.download_adapter()
    expect(studio.get("run-kept")).to_be_hidden()
    wait_until(lambda: studio.page.evaluate(stored) == 0, 60, studio.page, "it is let go")
    studio.page.reload()
    studio = trained(open_tiny())
    assert studio.page.evaluate(stored) == 2

    # What is deleted among what is stored is held no longer, and the page does not say so.
    studio.get("storage-open").click()
    row = studio.page.locator("#storage-list tr").filter(has_text="not downloaded yet")
    row.get_by_role("button").click()
    row.get_by_role("button", name="Delete Adapters for good?").click()
    expect(row).to_have_count(0)
    studio.page.locator("#storage-close").click()
    expect(studio.get("run-kept")).to_be_hidden()
    asked: list[str] = []
    studio.page.on("dialog", lambda dialog: (asked.append(dialog.type), Dialog.accept(dialog)))
    studio.page.reload()
    assert asked == ["beforeunload"]
    studio = open_tiny()
    studio.wait_for_event("resumable", 30)
    expect(offer(studio)).to_have_count(0)
