"""Run bench.html in Chromium and keep what it measured: `python -m tests.browser.run_bench_page`.

Needs dist/ (build it first). The lines are those of `python -m app bench --json`.
"""

from __future__ import annotations

import argparse
import os
import threading
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from build import DIST, make_server
from tests.browser.conftest import GPU_FLAGS, PLAIN_FLAGS
from tools.checks import find_browser

HOUR_MS = 3_600_000


def main() -> None:
    """Open the page, run it, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="an option of the page's list")
    parser.add_argument("--curves", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--gpu", action="store_true", help="the machine's GPU, not SwiftShader")
    parser.add_argument("--dark", action="store_true", help="as it looks at night")
    parser.add_argument("--jsonl", type=Path, help="where the figures go")
    parser.add_argument("--screenshot", type=Path, help="where the picture goes")
    options = parser.parse_args()
    server = make_server(DIST, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    flags = (*PLAIN_FLAGS, "--enable-unsafe-webgpu") if options.gpu else (*PLAIN_FLAGS, *GPU_FLAGS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("LORA_LAB_CHROMIUM") or find_browser(), args=[*flags]
        )
        page = browser.new_page(
            viewport={"width": 1280, "height": 900},
            color_scheme="dark" if options.dark else "light",
        )
        page.goto(f"http://localhost:{server.server_address[1]}/bench.html#{options.model}")
        status = page.get_by_test_id("status")
        expect(status).to_have_text("ready", timeout=HOUR_MS)
        for name in ("curves", "profile"):
            if getattr(options, name):
                page.get_by_test_id(f"bench-{name}").check()
        page.get_by_test_id("bench-run").click()
        expect(status).to_have_text("measuring")
        expect(status).not_to_have_text("measuring", timeout=HOUR_MS)
        print(page.get_by_test_id("bench-stage").inner_text())
        error = page.get_by_test_id("error")
        if error.is_visible():
            print(error.inner_text())
        if options.jsonl:
            with page.expect_download() as download:
                page.get_by_test_id("bench-save").click()
            options.jsonl.parent.mkdir(parents=True, exist_ok=True)
            options.jsonl.write_bytes(Path(download.value.path()).read_bytes())
        if options.screenshot:
            page.screenshot(path=options.screenshot, full_page=True)
        browser.close()
    server.shutdown()


if __name__ == "__main__":
    main()
