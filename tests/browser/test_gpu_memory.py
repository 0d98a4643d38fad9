"""A GPU that has no room: buffers that are none, as Chrome gives them, in a German page."""

from __future__ import annotations

from playwright.sync_api import Browser, Worker, expect

from tests.browser.conftest import Site, watch
from tests.browser.studio import Studio

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40

# An error scope answers that there was no room, and the buffer is invalid in all that uses it.
FULL = """() => {
  const { createBuffer, popErrorScope } = GPUDevice.prototype;
  const full = globalThis.full = { above: Infinity, times: 0 };
  let isRefused = false;
  GPUDevice.prototype.createBuffer = function (about) {
    if (about.size < full.above || full.times < 1) return createBuffer.call(this, about);
    full.times -= 1;
    isRefused = true;
    this.pushErrorScope('validation');
    const none = createBuffer.call(this, { ...about, usage: 0 });
    popErrorScope.call(this).catch(() => {});
    return none;
  };
  GPUDevice.prototype.popErrorScope = function () {
    const answer = popErrorScope.call(this);
    if (!isRefused) return answer;
    isRefused = false;
    return answer.then(() => new GPUOutOfMemoryError('no room'));
  };
}"""


def refuse(worker: Worker, above: int, times: int) -> None:
    """Let the next buffers of at least so many bytes find no room."""
    worker.evaluate("([above, times]) => Object.assign(full, { above, times })", [above, times])


def test_a_full_gpu_is_told_and_takes_nothing_along(
    browser: Browser, site: Site, tiny_gguf: bytes
) -> None:
    context = browser.new_context(locale="de-DE", service_workers="block")
    watched = watch(context)
    studio = Studio(context.new_page())
    studio.open(site.url, model="none")
    studio.load_model(tiny_gguf)
    (worker,) = [each for each in studio.page.workers if each.url.endswith("/worker.js")]
    worker.evaluate(FULL)
    studio.page.locator("#chat-settings-open").click()
    studio.page.locator("#chat-max_new_tokens").fill("8")
    studio.page.locator("#chat-temperature").fill("0")
    studio.page.keyboard.press("Escape")
    studio.change_settings(steps=3, max_seq_len=64, micro_batch_size=4)
    studio.paste(TEXT)
    studio.wait_counted()
    studio.train_to_end()
    adapter = studio.download_adapter()
    answer = studio.ask_model("the cat")

    refuse(worker, 20_000, 100)
    studio.train()
    studio.wait_error("Speicher der GPU ist voll", "Plan und Einstellungen", "Teilstapel")
    studio.wait_status("ready")
    refuse(worker, 0, 0)
    expect(studio.get("corpus-text")).to_have_value(TEXT)
    assert studio.download_adapter() == adapter
    assert studio.ask_model("the cat") == answer
    assert len(studio.train_to_end()) == 3

    # There is no room for a second model: the first goes, and it is tried once more.
    refuse(worker, 8_000, 1)
    studio.load_model(tiny_gguf, "second.gguf")
    expect(studio.get("notice-made-room")).to_contain_text("kein Platz")
    assert studio.events("model")[-1]["made_room"] is True
    expect(studio.get("error")).to_be_hidden()
    studio.use_lora(False)
    assert studio.ask_model("the cat") == answer
    watched.assert_clean(site)
    context.close()
