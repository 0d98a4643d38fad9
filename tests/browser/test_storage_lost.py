"""Storage that is full or taken away in the middle of a run: it goes on, and is told once."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.studio import TRAIN_MS, Studio, wait_until
from tests.browser.test_accessibility import serious

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40
RECORD = """async () => {
  const root = await navigator.storage.getDirectory();
  const history = await root.getDirectoryHandle('history').catch(() => null);
  if (!history) return [];
  const found = [];
  for await (const [key, folder] of history.entries()) {
    const names = [];
    let steps = '';
    // What is being replaced or deleted just now is not there.
    const read = async () => {
      for await (const [name, handle] of folder.entries()) {
        names.push(name);
        if (name.startsWith('steps-')) steps += await (await handle.getFile()).text();
      }
    };
    if (!(await read().then(() => true, () => false))) continue;
    const first = JSON.parse(steps.split('\\n')[0] || '[]');
    found.push({ key, isDescribed: names.includes('run.json'), first: first[1] ?? 0 });
  }
  return found;
}"""


def begin(studio: Studio) -> None:
    studio.paste(TEXT)
    studio.wait_counted()
    studio.change_settings(
        steps=100_000, max_seq_len=64, micro_batch_size=2, checkpoint_every=4, eval_every=0
    )
    studio.train()
    studio.wait_for_event("checkpoint", TRAIN_MS / 1e3)


def wait_recorded(studio: Studio) -> None:
    """Wait until the run lies among those of the history, whole."""

    def is_recorded() -> bool:
        found = studio.page.evaluate(RECORD)
        return len(found) == 1 and found[0]["isDescribed"] and found[0]["first"] == 1

    wait_until(is_recorded, 60, studio.page, "the run is in the history")


def end(studio: Studio) -> None:
    """The run goes on as if nothing had been, and stops."""
    told = len(studio.events("step"))
    studio.wait_steps(told + 8)
    expect(studio.get("error")).to_be_hidden()
    studio.get("stop").click()
    expect(studio.page.locator("#finish-title")).to_have_text("Stopped.", timeout=TRAIN_MS)
    studio.wait_status("ready", TRAIN_MS)


def test_a_disk_that_fills_while_history_is_written(open_tiny: Callable[[], Studio]) -> None:
    studio = open_tiny()
    page = studio.page
    begin(studio)
    wait_recorded(studio)
    quota = page.context.new_cdp_session(page)
    origin = page.evaluate("location.origin")
    quota.send("Storage.overrideQuotaForOrigin", {"origin": origin, "quotaSize": 1000})
    notice = studio.get("notice-history")
    expect(notice).to_contain_text("its charts cannot be kept", timeout=TRAIN_MS)
    expect(studio.get("run-warning")).to_contain_text("could not be kept", timeout=TRAIN_MS)
    assert not serious(studio)
    notice.get_by_role("button").click()
    end(studio)
    expect(notice).to_have_count(0)  # told once
    assert len(studio.events("run-warning")) == 1


def test_the_data_of_the_site_is_deleted_in_the_middle_of_a_run(
    open_tiny: Callable[[], Studio],
) -> None:
    studio = open_tiny()
    page = studio.page
    begin(studio)
    wait_recorded(studio)
    session = page.context.new_cdp_session(page)
    origin = page.evaluate("location.origin")
    session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
    notice = studio.get("notice-deleted")
    expect(notice).to_contain_text("was deleted while it is open", timeout=TRAIN_MS)
    assert not serious(studio)
    notice.get_by_role("button").click()
    kept = len(studio.events("checkpoint"))
    studio.wait_events("checkpoint", kept + 1)
    end(studio)
    expect(notice).to_have_count(0)  # told once
    wait_recorded(studio)
    expect(studio.get("resume-offer")).to_be_visible()
