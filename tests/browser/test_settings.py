"""Settings last from visit to visit and travel in a link; the text stays where it was put."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import Site, Watched, new_context, watch
from tests.browser.studio import Studio, wait_until

TEXT = "Ostrimere keeps the light. " * 3

KEPT = """async () => {
  try {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('corpus');
    const { names } = JSON.parse(await (await (await folder.getFileHandle('index.json')).getFile()).text());
    return await (await (await folder.getFileHandle(names[0])).getFile()).text();
  } catch { return null; }
}"""  # noqa: E501


@pytest.fixture
def visits(browser: Browser, site: Site) -> Iterator[Watched]:
    """A browser context: what it keeps, it keeps from page to page."""
    watched = watch(new_context(browser))
    yield watched
    watched.context.close()
    watched.assert_clean(site)


def visit(context: BrowserContext, site: Site, fragment: str = "") -> Studio:
    """Open the page without a model, wait for Python and open the plan."""
    studio = Studio(context.new_page())
    studio.open(site.url, model=f"none{fragment}")
    studio.page.locator("#setting-rank").wait_for(state="attached")
    return studio


def setting(page: Page, name: str) -> str:
    return page.locator(f"#setting-{name}").input_value()


def kept_text(page: Page) -> str | None:
    text: str | None = page.evaluate(KEPT)
    return text


def test_settings_last_and_the_text_only_if_asked(visits: Watched, site: Site) -> None:
    first = visit(visits.context, site)
    first.paste(TEXT)
    first.get("plan-open").click()
    first.page.locator("#preset-thorough").check(force=True)
    first.page.locator("#plan-dialog").get_by_role("button", name="Done").click()
    first.change_settings(rank=7, packing="dual", learning_rate="0.002")
    first.page.wait_for_timeout(1000)
    assert kept_text(first.page) is None
    first.page.close()

    second = visit(visits.context, site)
    assert [setting(second.page, name) for name in ("rank", "packing")] == ["7", "dual"]
    assert second.page.locator("#preset-thorough").is_checked()
    assert second.get("corpus-text").input_value() == ""
    second.get("remember-text").check()
    second.paste(TEXT)
    wait_until(lambda: kept_text(second.page) == TEXT, 60, second.page, "the text is kept")
    second.page.close()

    third = visit(visits.context, site)
    expect(third.get("corpus-text")).to_have_value(TEXT)
    third.get("plan-open").click()
    third.page.locator("#plan-reset").click()
    expect(third.page.locator("#setting-rank")).to_have_value("4")
    third.page.locator("#plan-dialog").get_by_role("button", name="Done").click()
    third.get("remember-text").uncheck()
    wait_until(lambda: kept_text(third.page) is None, 60, third.page, "the text is forgotten")
    assert third.get("corpus-text").input_value() == TEXT  # forgotten, not taken away
    third.page.close()

    fourth = visit(visits.context, site)
    assert fourth.get("corpus-text").input_value() == ""
    assert setting(fourth.page, "rank") == "4"
    assert fourth.page.locator("#preset-balanced").is_checked()


def test_a_link_carries_settings_and_no_text(
    visits: Watched, browser: Browser, site: Site, tiny_gguf: bytes
) -> None:
    sender = visit(visits.context, site)
    sender.load_model(tiny_gguf)
    sender.paste(TEXT)
    sender.change_settings(rank=7, packing="dual", epochs=2)
    planned = sender.page.locator("#plan-steps")  # the device is measured before the first plan
    expect(planned).to_have_attribute("data-value", re.compile(r"\d"))
    sender.get("plan-open").click()
    sender.get("plan-share").click()
    link = sender.get("share-link").input_value()
    assert link.startswith(f"{site.url}#settings=rank:7,alpha:")
    for part in ("packing:dual", "epochs:2", "steps:", "seed:0", "optimizer:adamw"):
        assert part in link.split("=")[1].split(",")
    assert "Ostrimere" not in link
    expect(sender.page.locator("#share-note")).to_contain_text("no text")

    receiving = watch(new_context(browser))
    site.requests.clear()
    receiver = visit(receiving.context, site)
    receiver.change_settings(rank=2)
    receiver.page.evaluate("hash => { location.hash = hash; }", link.split("#")[1])
    expect(receiver.get("link-note")).to_be_visible()
    for name, value in (("rank", "7"), ("packing", "dual")):
        expect(receiver.page.locator(f"#setting-{name}")).to_have_value(value)
    assert "settings" not in receiver.page.url
    assert not [request for request in site.requests if "rank" in request]
    receiver.page.locator("#link-undo").click()
    expect(receiver.page.locator("#setting-rank")).to_have_value("2")
    receiver.page.close()  # one tab works at a time

    for fragment, reason in (
        ("rank:0,seed:-1", "Rank is 0: give a whole number from 1 to 256"),
        ("rank:8,colour:blue", "“colour:blue” is no setting"),
    ):
        opened = visit(receiving.context, site, f"&settings={fragment}")
        expect(opened.get("error")).to_contain_text(
            f"The settings in this link are not used: {reason}."
        )
        assert setting(opened.page, "rank") == "2"
        opened.page.close()
    receiving.context.close()
    receiving.assert_clean(site)
