"""Have Lighthouse judge the built page: `python -m tests.browser.measure_lighthouse`.

Needs Node's npx, which fetches Lighthouse at the version below, and Chromium. Prints the scores of
0 to 100 and the first paint on a desktop's and on a throttled phone's terms, with what costs
points; the exit status is 1 where accessibility or best practices stay below 95.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from build import DIST, make_server
from tests.browser.conftest import GPU_FLAGS, PLAIN_FLAGS
from tools.checks import find_browser

LIGHTHOUSE = "lighthouse@12.8.2"
CATEGORIES = ("accessibility", "best-practices", "performance")
LEAST = {"accessibility": 95, "best-practices": 95}
"""Performance is told only: it is the machine's as much as the page's."""


def judge(url: str, folder: Path, preset: str) -> dict[str, Any]:
    """Return Lighthouse's report of a page, as its JSON has it."""
    report = folder / f"{preset}.json"
    command = [
        *("npx", "--yes", LIGHTHOUSE, url, "--quiet", "--output=json", f"--output-path={report}"),
        f"--only-categories={','.join(CATEGORIES)}",
        f"--chrome-flags={' '.join(('--headless=new', *PLAIN_FLAGS, *GPU_FLAGS))}",
    ]
    if preset == "desktop":
        command.append("--preset=desktop")
    browser = os.environ.get("LORA_LAB_CHROMIUM") or find_browser()
    environment = os.environ | ({"CHROME_PATH": browser} if browser else {})
    subprocess.run(command, check=True, env=environment, timeout=300)
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


def print_scores(report: dict[str, Any], preset: str) -> bool:
    """Print what a report says; return whether it is good enough."""
    is_good = True
    audits = report["audits"]
    print(f"{preset}: first paint after {audits['first-contentful-paint']['displayValue']}")
    for name, category in report["categories"].items():
        score = round(100 * category["score"])
        is_good = is_good and score >= LEAST.get(name, 0)
        print(f"  {name} {score}")
        for reference in category["auditRefs"]:
            audit = audits[reference["id"]]
            if reference["weight"] and audit["score"] is not None and audit["score"] < 1:
                print(f"    {audit['score']:.2f} {audit['title']} {audit.get('displayValue', '')}")
    return is_good


def main() -> int:
    """Judge twice and return the exit status."""
    server = make_server(DIST, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://localhost:{server.server_address[1]}/"
    with tempfile.TemporaryDirectory() as folder:
        good = [
            print_scores(judge(url, Path(folder), preset), preset)
            for preset in ("desktop", "mobile")
        ]
    server.shutdown()
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
