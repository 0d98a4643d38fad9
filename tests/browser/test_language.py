"""The page in German: all of it, in every view; English by a choice that loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Site, Watched, watch
from tests.browser.screens import keep_screen
from tests.browser.studio import Studio
from tests.browser.test_accessibility import serious

GERMAN: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[2] / "static" / "messages" / "de.json").read_text("utf-8")
)
TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40
WORDS = """() => {
  const apart = '[translate=no], script, style, code, noscript, textarea';
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node instanceof Text ? node.parentElement : node;
    if (element.closest(apart)) continue;
    if (node instanceof Text) found.add(node.data.trim().replace(/\\s+/gu, ' '));
    else for (const name of ['placeholder', 'aria-label', 'title']) found.add(node.getAttribute(name) ?? '');
  }
  return [...found];
}"""  # noqa: E501
TOO_WIDE = """() => [document.documentElement, ...document.querySelectorAll('dialog[open]')]
  .map((place) => place.scrollWidth - place.clientWidth)"""
CUT = """() => [...document.querySelectorAll('button, .button, h2, dt, summary')].filter((node) => {
  if (!node.checkVisibility() || !node.clientWidth || node.closest('.sr')) return false;
  const place = (node.closest('dialog, .card, .panel') ?? document.documentElement).getBoundingClientRect();
  return node.getBoundingClientRect().right > place.right
    || (getComputedStyle(node).overflowX !== 'visible' && node.scrollWidth > node.clientWidth + 1);
}).map((node) => node.textContent)"""  # noqa: E501


def english_words(studio: Studio) -> list[str]:
    """Return what stands in the document in English although there is German for it."""
    words = set(studio.page.evaluate(WORDS))
    return sorted(word for word in words & GERMAN.keys() if GERMAN[word] != word)


@pytest.fixture(scope="module")
def german(browser: Browser, site: Site, tiny_gguf: bytes) -> Iterator[tuple[Studio, Watched]]:
    """One page in a German browser, after a run, an evaluation and an answer."""
    context = browser.new_context(
        locale="de-DE", viewport={"width": 1280, "height": 900}, service_workers="block"
    )
    watched = watch(context)
    studio = Studio(context.new_page())
    studio.open(site.url, model="none")
    studio.load_model(tiny_gguf)
    studio.change_settings(steps=6, max_seq_len=64, micro_batch_size=4, eval_fraction=0.2)
    studio.paste(TEXT)
    studio.wait_counted()
    studio.train_to_end()
    expect(studio.page.locator("#finish")).to_be_visible()
    studio.get("evaluate").click()
    expect(studio.get("verdict")).to_be_visible(timeout=90_000)
    studio.get("chat-input").fill("Hallo")
    studio.get("chat-send").click()
    expect(studio.page.locator("article.assistant .msg-actions button")).to_be_visible(
        timeout=90_000
    )
    studio.wait_status("ready")
    yield studio, watched
    context.close()


def test_all_of_the_page_is_german(german: tuple[Studio, Watched], site: Site) -> None:
    studio, watched = german
    page = studio.page
    assert page.evaluate("document.documentElement.lang") == "de"
    paints = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    words = page.evaluate("performance.getEntriesByName('words')[0].startTime")
    assert paints is None or paints >= words, "English was painted first"
    assert english_words(studio) == []
    expect(studio.get("train")).to_have_text("Trainieren")
    expect(page.locator("#finish-title")).to_have_text("Fertig.")
    expect(studio.get("status")).to_have_text("bereit")
    keep_screen(page, "german")
    assert "," in studio.text("loss")
    problems = {"main view": serious(studio)}
    for opener, words_there in (
        ("#plan-open", "Ausgewogen"),
        ("#chat-settings-open", "Temperatur"),
        ("#shelf-open", "Stärke"),
        ("#storage-open", "Einstellungen"),
        ("#preview-open", "Token"),
    ):
        page.locator(opener).click()
        dialog = page.locator("dialog[open]")
        expect(dialog).to_contain_text(words_there)
        for drawer in dialog.locator("details").all():
            drawer.evaluate("drawer => { drawer.open = true; }")
        assert english_words(studio) == [], opener
        problems[opener] = serious(studio)
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
    assert not any(problems.values()), problems
    watched.assert_clean(site)


@pytest.mark.parametrize("width", [360, 400, 1400])
def test_german_fits_the_screen(german: tuple[Studio, Watched], width: int) -> None:
    page = german[0].page
    usual = page.viewport_size
    assert usual
    german[0].resize(width, 780)
    for opener in (None, "#plan-open", "#chat-settings-open", "#shelf-open", "#storage-open"):
        if opener:
            page.locator(opener).click()
            expect(page.locator("dialog[open]")).to_be_visible()
        assert all(extra <= 0 for extra in page.evaluate(TOO_WIDE)), opener
        assert page.evaluate(CUT) == [], opener
        page.keyboard.press("Escape")
    page.set_viewport_size(usual)


def test_a_refusal_is_german(german: tuple[Studio, Watched]) -> None:
    studio = german[0]
    studio.change_settings(rank=0)
    expect(studio.page.locator("#train-hint")).to_have_text(
        "Rang ist 0: eine ganze Zahl von 1 bis 256 angeben."
    )
    studio.change_settings(rank="")
    expect(studio.page.locator("#train-hint")).to_have_text("")


def test_english_is_a_choice_away_and_nothing_is_lost(
    german: tuple[Studio, Watched], site: Site
) -> None:
    studio, watched = german
    page = studio.page
    answer = page.locator("article.assistant .msg-body").inner_text()
    studio.get("language").select_option("en")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(studio.get("train")).to_have_text("Train")
    expect(studio.get("status")).to_have_text("ready")
    expect(page.locator("#finish-title")).to_have_text("Finished.")
    expect(studio.get("loss")).not_to_contain_text(",")
    studio.settle()
    assert page.locator("article.assistant .msg-body").inner_text() == answer
    german_only = {text for text in GERMAN.values() if isinstance(text, str)} - GERMAN.keys()
    assert sorted(set(page.evaluate(WORDS)) & german_only) == []
    watched.assert_clean(site)
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(studio.get("train")).to_have_text("Train")


def test_english_fetches_no_catalogue(browser: Browser, site: Site) -> None:
    site.requests.clear()
    context = browser.new_context(locale="en-GB", service_workers="block")
    page = context.new_page()
    page.goto(f"{site.url}#model=none")
    expect(page.get_by_test_id("train")).to_have_text("Train")
    assert page.evaluate("document.documentElement.lang") == "en"
    context.close()
    assert not [line for line in site.requests if line.endswith("de.json")]
