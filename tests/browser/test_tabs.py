"""One tab at a time, and a run that nobody may put to sleep."""

from __future__ import annotations

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
LOCKS = """async () => {
  const { held, pending } = await navigator.locks.query();
  return [held, pending].map((locks) => locks.filter(({ name }) => name.endsWith(' training')).length);
}"""  # noqa: E501


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
