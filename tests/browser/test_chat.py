"""The conversation in the page: again, edited, side by side; what a model writes is only text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from app.io.gguf_model import model_config_from_gguf
from tests.browser.screens import keep_screen
from tests.browser.studio import Studio
from tests.browser.test_bad_input import make_adapter
from tests.tiny_model import parse_gguf

# Keeps what the page asks the worker for and, given texts, answers `chat` in the worker's stead.
BETWEEN = """texts => {
  lab.chats = [];
  const real = Object.getPrototypeOf(lab.worker).postMessage;
  const hear = (data) => lab.worker.dispatchEvent(new MessageEvent('message', { data }));
  lab.worker.postMessage = (message) => {
    if (message.type !== 'chat') return real.call(lab.worker, message);
    lab.chats.push(message);
    if (!texts) return real.call(lab.worker, message);
    const text = texts[(lab.chats.length - 1) % texts.length];
    setTimeout(() => {
      for (const part of text.match(/[^]{1,7}/gu) ?? []) hear({ type: 'token', request: message.id, text: part });
      hear({ id: message.id, result: {
        text, stop_reason: 'stop', num_tokens: 7, num_prompt_tokens: 30, max_context: 2048,
        tokens_per_second: 9, prefill_seconds: 0.1, num_dropped: 0,
      } });
    }, 20);
  };
}"""  # noqa: E501


def listen(studio: Studio, *texts: str) -> None:
    studio.page.evaluate(BETWEEN, list(texts) or None)


def asked(studio: Studio) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = studio.page.evaluate("lab.chats")
    return found


def words(chat: dict[str, Any]) -> list[str]:
    return [message["content"] for message in chat["messages"]]


def bodies(studio: Studio) -> Locator:
    return studio.get("chat-log").locator("[data-role=assistant]:not([data-busy]) .msg-body")


@pytest.fixture
def chat(tiny: Studio, tiny_gguf: bytes) -> Studio:
    """The shared page with an empty conversation and short greedy answers, an adapter loaded."""
    if tiny.get("use-lora").is_disabled():
        config = model_config_from_gguf(parse_gguf(tiny_gguf))
        tiny.load_adapter("mine.safetensors", make_adapter(config, scale=0.3))
    clear = tiny.page.locator("#chat-clear")
    if clear.is_enabled():
        clear.click()
    tiny.change_chat(length=8, temperature=0, top_k=0, raw=False, system="")
    tiny.settle()
    if tiny.get("chat-compare").get_attribute("aria-pressed") == "true":
        tiny.get("chat-compare").click()
    expect(tiny.get("use-lora")).to_be_enabled()
    tiny.use_lora(False)
    return tiny


def test_answer_again_moves_the_seed_on_and_edit_goes_on_from_there(chat: Studio) -> None:
    listen(chat)
    chat.change_chat(temperature=2, seed=5, top_k=50, system="Be brief.")
    first = chat.ask_model("the cat")
    chat.ask_model("and then?")
    chat.get("chat-again").click()
    expect(chat.get("chat-again")).to_be_visible()
    expect(bodies(chat)).to_have_count(2)
    expect(chat.get("chat-again")).to_be_focused()
    again = asked(chat)[-1]
    assert again["settings"] == {"temperature": 2, "seed": 6, "top_k": 50, "max_new_tokens": 8}
    assert words(again) == words(asked(chat)[1]) == ["Be brief.", "the cat", first, "and then?"]

    chat.page.get_by_role("button", name="Edit this message").first.click()
    box = chat.page.get_by_label("Edit your message")
    expect(box).to_be_focused()
    box.fill("the dog")
    box.press("Enter")
    expect(bodies(chat)).to_have_count(1)
    expect(chat.get("chat-again")).to_be_visible()
    assert words(asked(chat)[-1]) == ["Be brief.", "the dog"]

    # What the edit took away comes back, and goes again; so does what Clear took.
    user = chat.get("chat-log").locator("[data-role=user]")
    back = chat.get("chat-aside").get_by_role("button")
    expect(back).to_have_text("Bring back the message as it was and the 2 after it")
    back.click()
    expect(user).to_contain_text(["the cat", "and then?"])
    expect(bodies(chat).first).to_have_text(first)
    expect(back).to_have_text("Bring back 2 messages")
    back.click()
    expect(user).to_contain_text(["the dog"])
    chat.page.locator("#chat-clear").click()
    expect(user).to_have_count(0)
    back.click()
    expect(user).to_contain_text(["the dog"])
    expect(back).to_have_count(0)
    shown = chat.get("chat-context")
    expect(shown).to_have_text(re.compile(r"Prompt \d+ \+ answer \d+ = \d+ of [\d,]+ tokens"))

    # Refused: what was there before comes back, the sentence names the setting.
    chat.change_chat(top_p=7)
    chat.get("chat-again").click()
    chat.wait_error("Top-p is 7")
    expect(bodies(chat)).to_have_count(1)
    expect(chat.get("chat-log").locator("[data-role=user]")).to_contain_text("the dog")
    chat.change_chat(top_p=0.95)
    chat.page.locator("#error-dismiss").click()


def test_a_message_that_is_too_long_says_so_before_it_is_sent(chat: Studio) -> None:
    context, box = chat.get("chat-context"), chat.get("chat-input")
    chat.ask_model("the cat")
    box.fill("the dog")
    expect(context).to_have_text(re.compile(r"Prompt \d+ \+ answer up to 8 of \d+ tokens"))
    box.fill("\n".join(["the cat sat on the mat."] * 400))
    expect(context).to_contain_text("Too long")
    chat.get("chat-send").click()
    chat.wait_error("shorten it")
    expect(box).to_have_value(re.compile("^the cat"))  # it has come back
    expect(context).to_contain_text("Too long")
    # With a message above and a long text, nothing of the composer is cut off.
    panel, send, line = (
        chat.page.locator(part).bounding_box() for part in ("#chat", "#chat-send", "#chat-context")
    )
    assert panel
    assert send
    assert line
    assert send["y"] + send["height"] <= line["y"]
    assert line["y"] + line["height"] <= panel["y"] + panel["height"]
    chat.page.locator("#chat-clear").click()
    expect(chat.get("error")).to_be_hidden()
    expect(context).to_contain_text("Too long")  # still: it is about what stands there
    box.fill("")
    expect(context).to_be_hidden()


def test_side_by_side_each_voice_goes_on_with_its_own_words(chat: Studio) -> None:
    base = chat.ask_model("the cat sat")
    chat.page.locator("#chat-clear").click()
    chat.use_lora(True)
    lora = chat.ask_model("the cat sat")
    assert base != lora
    chat.page.locator("#chat-clear").click()

    listen(chat)
    chat.get("chat-compare").click()
    expect(chat.get("use-lora")).to_be_disabled()
    chat.get("chat-input").fill("the cat sat")
    chat.get("chat-send").click()
    expect(chat.page.locator(".compared")).to_be_visible()
    assert bodies(chat).all_inner_texts() == [base, lora]
    assert chat.page.locator("mark").count() > 0
    keep_screen(chat.page, "chat-side-by-side")
    left, right = (bodies(chat).nth(side).bounding_box() for side in (0, 1))
    assert left
    assert right
    assert left["x"] + left["width"] <= right["x"]
    one, other = asked(chat)
    assert (one["use_lora"], other["use_lora"]) == (False, True)
    assert one["settings"] == other["settings"]
    assert one["messages"] == other["messages"]

    chat.get("chat-compare").click()
    expect(chat.get("use-lora")).to_be_enabled()
    chat.use_lora(False)
    chat.ask_model("go on")
    assert words(asked(chat)[-1]) == ["the cat sat", base, "go on"]
    chat.use_lora(True)
    chat.ask_model("and you?")
    assert words(asked(chat)[-1]) == ["the cat sat", lora, "and you?"]
    expect(chat.page.locator(".msg-note")).to_contain_text("has not seen an earlier turn")


HOSTILE = (
    "<script>globalThis.hacked = 1</script> <img src=x onerror=\"globalThis.hacked = 2\"> "
    "**bold <b>not</b>** [x](javascript:globalThis.hacked=3) ![p](https://example.org/p.png) "
    "[paper](https://example.org/a?b=1)\n\n```html\n<svg onload=alert(1)>\n```\n\n"
    "| <i>a</i> |\n|---|\n| <iframe srcdoc='<script>hacked=4</script>'> |\n"
)  # fmt: skip


def test_an_answer_without_a_word_says_what_it_is(chat: Studio) -> None:
    listen(chat, " \n ", "words")
    chat.get("chat-compare").click()
    chat.get("chat-input").fill("well?")
    chat.get("chat-send").click()
    expect(chat.page.locator(".compared")).to_contain_text("nothing to compare")
    expect(bodies(chat)).to_have_text(["(Only blank space: no word among its tokens.)", "words"])
    assert chat.page.locator("mark").count() == 0
    chat.get("chat-compare").click()


def test_what_a_model_writes_is_only_ever_text(chat: Studio) -> None:
    listen(chat, HOSTILE)
    chat.get("chat-input").fill("<b>mine</b> **too**")
    chat.get("chat-send").click()
    body = bodies(chat)
    expect(body).to_have_count(1)
    text = body.inner_text()
    for part in ("<script>globalThis.hacked = 1</script>", "onerror=", "<svg onload=alert(1)>"):
        assert part in text
    for part in ("[x](javascript:globalThis.hacked=3)", "<i>a</i>", "srcdoc="):
        assert part in text
    log = chat.get("chat-log")
    assert log.locator("script, img, iframe, svg, object, b, i, [onerror], [onload]").count() == 0
    assert body.locator("strong").inner_text() == "bold <b>not</b>"
    expect(log.locator("[data-role=user] .msg-body")).to_have_text("<b>mine</b> **too**")
    links = body.locator("a")
    assert links.all_inner_texts() == ["p", "paper"]
    for link in links.all():
        assert "noopener" in (link.get_attribute("rel") or "")
        assert link.get_attribute("target") == "_blank"
    assert "(https://example.org/a?b=1)" in text
    assert chat.page.evaluate("globalThis.hacked") is None
    expect(body.get_by_role("button", name="Copy")).to_be_visible()

    # Side by side, the marks are put around words, not into markup.
    listen(chat, "one <b>two</b> `three` four", "one <i>two</i> `three` five")
    chat.get("chat-compare").click()
    chat.get("chat-input").fill("again")
    chat.get("chat-send").click()
    expect(chat.page.locator(".compared")).to_contain_text(
        "2 of 4 on the left, 2 of 4 on the right"
    )
    marked = chat.page.locator(".answers.two mark").all_inner_texts()
    assert marked == ["<b>two</b>", "four", "<i>two</i>", "five"]
    assert log.locator("b, i").count() == 0
