"""Pictures of the page's journeys, made by the tests that go through them.

`python -m tests.browser.screens` runs the browser tests and keeps docs/screens/; a plain run of
the tests keeps nothing. `finished.png` is of the real model: `tests.browser.take_screenshot`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page

FOLDER = Path(__file__).resolve().parents[2] / "docs/screens"
WANTED = "LORA_LAB_SCREENS"
"""Set in the environment where pictures are to be kept."""


def keep_screen(page: Page, name: str, size: tuple[int, int] = (1440, 900)) -> None:
    """Save what a person sees now as docs/screens/NAME.png, where pictures are wanted."""
    if not os.environ.get(WANTED):
        return
    before = page.viewport_size
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.wait_for_timeout(300)  # charts are drawn anew, toasts and transitions are over
    FOLDER.mkdir(exist_ok=True)
    page.screenshot(path=FOLDER / f"{name}.png")
    if before:
        page.set_viewport_size(before)


if __name__ == "__main__":
    command = [sys.executable, "-m", "pytest", "-q", str(Path(__file__).parent), *sys.argv[1:]]
    sys.exit(subprocess.run(command, env=os.environ | {WANTED: "1"}, check=False).returncode)
