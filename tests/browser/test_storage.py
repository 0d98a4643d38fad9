"""What the page keeps on the device, and how it is deleted."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Watched
from tests.browser.plain_host import GO_ON, PlainHost
from tests.browser.screens import keep_screen
from tests.browser.studio import Studio, wait_kept


def test_what_is_stored_is_listed_and_deleted(watched: Watched, host: PlainHost) -> None:
    GO_ON.clear()
    studio = Studio(watched.context.new_page())
    page = studio.page
    studio.open(host.url, model="models/slow.gguf")

    # A download is cancelled, and loaded again.
    expect(page.locator("#model-text")).to_contain_text("Fetching")
    studio.get("model-cancel").click()
    expect(studio.get("notice-cancelled")).to_contain_text("goes on from there")
    expect(studio.get("model-cancel")).to_be_hidden()
    GO_ON.set()
    page.locator("#model-retry").click()
    studio.wait_status("ready")

    wait_kept(page)
    opener, dialog = studio.get("storage-open"), studio.get("storage-dialog")
    opener.focus()
    page.keyboard.press("Enter")
    row = dialog.get_by_role("row", name=re.compile("slow.gguf"))
    expect(row).to_contain_text("Model")
    expect(row).to_contain_text(re.compile(r"\d [kM]B"))
    expect(dialog.locator("#storage-facts")).to_contain_text(re.compile("promised"))
    expect(dialog.get_by_role("row", name=re.compile("This page"))).to_have_count(1)
    keep_screen(page, "storage")
    row.get_by_role("button").click()
    expect(row.get_by_role("button")).to_have_text("Delete for good?")
    row.get_by_role("button").click()
    expect(row).to_have_count(0)
    expect(page.locator("#storage-close")).to_be_focused()
    everything = dialog.locator("#storage-all").get_by_role("button")
    everything.click()
    everything.click()
    facts = dialog.locator("#storage-facts")
    expect(facts).to_contain_text("Nothing is stored")
    expect(facts).to_contain_text("needs the network to open")
    expect(facts).not_to_contain_text("opens without a network")
    left = """async () => {
      const root = await navigator.storage.getDirectory();
      const files = [];
      for await (const folder of root.values()) {
        for await (const name of folder.keys()) files.push(name);
      }
      const kept = await caches.match(new URL('worker.js', document.baseURI));
      return [files, Boolean(kept), localStorage.length];
    }"""
    assert page.evaluate(left) == [[], False, 0]
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()
