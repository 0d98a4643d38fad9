"""Chromium with WebGPU, the built page on a local server, and a log of what happened in it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

if not os.environ.get("LORA_LAB_CI"):  # there a missing part is a failure
    pytest.importorskip("playwright", reason="pip install playwright, or run `build.py test`")

from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    ViewportSize,
    expect,
    sync_playwright,
)
from playwright.sync_api import Error as PlaywrightError

from build import DIST, make_server
from tests.browser.plain_host import PlainHost
from tests.browser.recorder import RECORDER
from tests.browser.studio import PATIENCE_MS, Studio
from tests.tiny_model import make_tiny_gguf
from tools.checks import find_browser

expect.set_options(timeout=PATIENCE_MS)

ROOT = Path(__file__).resolve().parents[2]

PLAIN_FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
BLOCKED = "Service Worker registration blocked by Playwright"
GPU_FLAGS = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here as one of the browser."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


def newest_change(folders: tuple[str, ...]) -> float:
    """Return when a file below some folders was last changed."""
    files = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return max(path.stat().st_mtime for path in files if "__pycache__" not in path.parts)


# Package scope, not session: Playwright's event loop must be gone before other tests use asyncio.
@pytest.fixture(scope="package")
def dist() -> Path:
    """The assembled page, built anew where it is missing or older than the sources."""
    manifest = DIST / "manifest.json"
    sources = ("app", "static", "tools", "wgsl")
    if not manifest.exists() or manifest.stat().st_mtime < newest_change(sources):
        subprocess.run([sys.executable, "build.py"], cwd=ROOT, check=True)
    return DIST


@dataclass
class Site:
    """The server of the page.

    Attributes:
        url: Address of the page.
        requests: Method and path of what was asked for, in order.
        extra: More files to serve, by path below the root.
    """

    url: str
    requests: list[str] = field(default_factory=list)
    extra: dict[str, Path] = field(default_factory=dict)


@pytest.fixture(scope="package")
def site(dist: Path) -> Iterator[Site]:
    """Serve the page as `build.py serve` does, and log what is asked for."""
    server = make_server(dist, port=0)
    site = Site(f"http://localhost:{server.server_address[1]}/")
    plain: Any = server.RequestHandlerClass

    class Recording(plain):  # type: ignore[misc] # a class that make_server makes
        def send_head(self) -> Any:
            site.requests.append(f"{self.command} {self.path.split('?')[0]}")
            return super().send_head()

        def translate_path(self, path: str) -> str:
            extra = site.extra.get(path.split("?")[0])
            return str(extra) if extra else str(super().translate_path(path))

    server.RequestHandlerClass = Recording
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """Playwright, until the last test here is over."""
    with sync_playwright() as playwright:
        yield playwright


def launch(playwright: Playwright, flags: tuple[str, ...]) -> Browser:
    """Start Chromium; without one the test fails in CI and is skipped elsewhere."""
    path = os.environ.get("LORA_LAB_CHROMIUM") or find_browser()
    try:
        return playwright.chromium.launch(executable_path=path, args=list(flags))
    except PlaywrightError as error:
        message = f"Chromium could not be started ({path or 'Playwright’s own'}): {error}"
        if os.environ.get("LORA_LAB_CI"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium with WebGPU on a software adapter."""
    browser = launch(playwright, (*PLAIN_FLAGS, *GPU_FLAGS))
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def browser_without_gpu(playwright: Playwright) -> Iterator[Browser]:
    """Chromium as it is on a machine without a GPU."""
    browser = launch(playwright, PLAIN_FLAGS)
    yield browser
    browser.close()


def new_context(browser: Browser) -> BrowserContext:
    """A context with nothing stored, which keeps no copy of the page: test_offline.py does."""
    size: ViewportSize = {"width": 1280, "height": 900}
    return browser.new_context(viewport=size, service_workers="block")


@dataclass
class Watched:
    """A browser context, and whatever in it should not have happened."""

    context: BrowserContext
    faults: list[str] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)

    def assert_clean(self, site: Site) -> None:
        """Fail on any console error, page error, CSP report or request to another origin."""
        faults, self.faults = self.faults, []
        assert not faults, "\n".join(faults)
        assert self.origins <= {site.url.rstrip("/")}


def watch(context: BrowserContext) -> Watched:
    """Note console errors (CSP reports are such), page errors and where requests go."""
    watched = Watched(context)
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(RECORDER)

    def on_console(message: Any) -> None:
        if message.type in ("error", "warning") and BLOCKED not in message.text:
            watched.faults.append(f"console {message.type}: {message.text}")

    def on_request(request: Any) -> None:
        if request.url.startswith(("http:", "https:", "ws:", "wss:")):
            watched.origins.add("/".join(request.url.split("/")[:3]))

    context.on("console", on_console)
    context.on("weberror", lambda error: watched.faults.append(f"page error: {error.error}"))
    context.on("request", on_request)
    return watched


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page of a new context: nothing stored; it must stay free of errors of its own."""
    context = new_context(browser)
    watched = watch(context)
    yield context.new_page()
    context.close()
    watched.assert_clean(site)


@pytest.fixture(scope="package")
def tiny_gguf() -> bytes:
    """A random model of 2 layers that every device runs in no time."""
    return make_tiny_gguf()


@pytest.fixture
def open_tiny(page: Page, site: Site, tiny_gguf: bytes) -> Callable[[], Studio]:
    """Return what opens the page with the tiny model; again after a reload too."""

    def open_page() -> Studio:
        studio = Studio(page)
        studio.open(site.url, model="none")
        studio.load_model(tiny_gguf)
        return studio

    return open_page


@pytest.fixture(scope="module")
def shared(browser: Browser, site: Site, tiny_gguf: bytes) -> Iterator[tuple[Studio, Watched]]:
    """One page with the tiny model for all tests of a module that leave it as it was."""
    context = new_context(browser)
    watched = watch(context)
    studio = Studio(context.new_page())
    studio.open(site.url, model="none")
    studio.load_model(tiny_gguf)
    yield studio, watched
    context.close()


@pytest.fixture
def tiny(shared: tuple[Studio, Watched], site: Site) -> Iterator[Studio]:
    """The shared page; each test has to leave it free of errors."""
    studio, watched = shared
    yield studio
    watched.assert_clean(site)


@pytest.fixture
def host(dist: Path, tmp_path: Path, tiny_gguf: bytes) -> Iterator[PlainHost]:
    host = PlainHost(dist, tmp_path, tiny_gguf)
    yield host
    host.stop()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """A context in which the page may keep itself."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield watch(context)
    context.close()
