"""One tab at a time, and a run that nobody may put to sleep."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Watched
from tests.browser.plain_host import PlainHost, open_and_keep
from tests.browser.screens import keep_screen
from tests.browser.studio import Studio, wait_until

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 12

# A screen lock that is counted, and a computer that runs on battery.
STUBS = """
globalThis.screens = [];
const request = async () => {
  const lock = new EventTarget();
  lock.held = true;
  lock.release = async () => { lock.held = false; lock.dispatchEvent(new Event('release')); };
  screens.push(lock);
  return lock;
};
Object.defineProperty(navigator, 'wakeLock', { value: { request } });
const plain = globalThis.setInterval;
globalThis.setInterval = (act, wait) => plain(act, wait / 10); // nobody waits for 10 s to pass
navigator.getBattery = async () => ({ charging: false });
"""
KEPT_TEXT = """async (words) => {
  try {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('corpus');
    const read = async (name) => (await (await folder.getFileHandle(name)).getFile()).text();
    const { names } = JSON.parse(await read('index.json'));
    return (await read(names[0])).includes(words);
  } catch {
    return false; // what is being replaced just now is not there
  }
}"""
LOCKS = """async () => {
  const { held, pending } = await navigator.locks.query();
  return [held, pending].map((locks) => locks.filter(({ name }) => name.endsWith(' training')).length);
}"""  # noqa: E501


def wait_text(studio: Studio, words: str) -> None:
    """Wait until a text with these words lies on the device."""
    wait_until(
        lambda: bool(studio.page.evaluate(KEPT_TEXT, words)), 60, studio.page, f"{words} is kept"
    )


def test_a_tab_that_takes_over_has_what_the_other_one_changed(
    watched: Watched, host: PlainHost
) -> None:
    first = open_and_keep(watched.context, host)
    first.change_settings(steps=11, rank=2)
    first.get("remember-text").check()
    first.paste("what stood here at first. " * 12)
    settings = "JSON.parse(localStorage.getItem('lora-lab.settings'))"
    first.page.wait_for_function(f"{settings}?.rank === 2")
    wait_text(first, "what stood")

    second = Studio(watched.context.new_page())
    second.page.goto(f"{host.url}#model=models/tiny.gguf")
    expect(second.get("notice-tabs")).to_contain_text("already open")
    area = second.get("corpus-text")
    expect(area).to_have_value(re.compile("what stood here"))

    first.change_settings(steps=17)
    first.paste("another text by now. " * 12)
    first.page.wait_for_function(f"{settings}?.steps === 17")
    wait_text(first, "another text")
    first.page.locator("#language").select_option("de")
    expect(first.page.locator("html")).to_have_attribute("lang", "de")
    first.page.close(run_before_unload=False)
    second.get("notice-tabs").get_by_role("button", name="Work here").click()
    expect(area).to_have_value(re.compile("another text"))
    expect(second.page.locator("html")).to_have_attribute("lang", "de")
    second.wait_for_event("model", 60)
    second.page.locator("#plan-open").click()
    expect(second.page.locator("#setting-steps")).to_have_value("17")
    expect(second.page.locator("#setting-rank")).to_have_value("2")
    second.page.keyboard.press("Escape")
    assert second.page.evaluate(settings) == {"steps": 17, "rank": 2}
    wait_text(second, "another text")
    assert not watched.faults


def test_a_run_keeps_the_computer_awake(watched: Watched, host: PlainHost) -> None:
    watched.context.add_init_script(STUBS)
    studio = open_and_keep(watched.context, host)
    studio.paste(TEXT)
    studio.wait_counted()
    studio.change_settings(steps=100_000, max_seq_len=32, micro_batch_size=1)
    studio.train()
    studio.wait_steps(1)
    page = studio.page
    held = "screens.map((lock) => lock.held)"
    wait_until(lambda: page.evaluate(held) == [True], 60, page, "the screen stays on")
    expect(studio.get("notice-battery")).to_contain_text("Energy Saver")
    # The service worker waits for what the page holds: such a page is not frozen.
    wait_until(lambda: page.evaluate(LOCKS) == [1, 1], 60, page, "the service worker waits")
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 720_000; }")
    expect(studio.get("notice-gap")).to_contain_text("12 min")
    # The browser takes the screen back while a tab is hidden.
    page.evaluate("screens[0].release()")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert page.evaluate(held) == [False, True]
    studio.stop()
    expect(studio.get("notice-battery")).to_have_count(0)
    assert page.evaluate(held) == [False, False]
    wait_until(lambda: page.evaluate(LOCKS)[0] == 0, 60, page, "the lock is let go")
    assert not watched.faults

    # A page that is reloaded is no second tab.
    page.reload()
    studio.wait_status("ready")
    expect(studio.get("notice-tabs")).to_have_count(0)

    # A second tab waits, and takes over when the first is closed.
    second = Studio(watched.context.new_page())
    kept = page.evaluate("JSON.stringify(localStorage)")
    second.page.goto(f"{host.url}#model=models/tiny.gguf&settings=steps:7")
    expect(second.get("notice-tabs")).to_contain_text("already open")
    expect(second.get("train")).to_be_disabled()
    expect(second.get("runs")).to_be_hidden()
    expect(second.page.locator("#model-text")).to_have_text("Waits for the other tab.")
    expect(second.page.locator("#model-progress")).to_be_hidden()
    expect(second.get("status")).to_have_text("waiting")
    keep_screen(second.page, "second-tab")
    assert not second.page.workers
    # While it waits it stores nothing.
    second.get("remember-text").check()
    expect(second.get("notice-tabs")).to_contain_text("already open")
    assert page.evaluate("JSON.stringify(localStorage)") == kept
    page.close(run_before_unload=False)
    second.get("notice-tabs").get_by_role("button", name="Work here").click()
    second.wait_status("ready")
    expect(second.get("notice-tabs")).to_have_count(0)
    expect(second.get("runs")).to_contain_text("stopped at step")  # what the first one trained
