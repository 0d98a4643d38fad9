"""Time visits of the built page with the real model: `python -m tests.browser.measure_visits`.

The first visit finds nothing stored; each later one is a new browser process with the profile of
the one before, opened by the service worker from its copy, or with --no-service-worker from the
browser's cache. Prints milliseconds since the navigation, the median of the later visits first.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
from typing import Any

from playwright.sync_api import BrowserContext, Playwright, sync_playwright

from build import DIST, make_server
from tests.browser.conftest import GPU_FLAGS, PLAIN_FLAGS
from tests.browser.recorder import RECORDER
from tests.browser.studio import wait_kept
from tools.checks import find_browser

READY = """() => globalThis.lab?.events.some(
  (event) => event.type === 'status' && ['ready', 'error'].includes(event.status))"""
MARKS = """() => performance.getEntriesByType('mark').map(
  ({ name, startTime }) => [name, performance.timeOrigin + startTime])"""

STEPS = {
    "boot": "worker runs",
    "snapshot unpacked": "snapshot fetched and unpacked",
    "python": "Python is up, package and numpy imported",
    "gpu": "GPU device open",
    "loading": "ready to type: status leaves booting",
    "first slice": "header read, first slice of the model on the GPU",
    "last slice": "last slice on its way",
    "ready": "model ready",
}
"""What is timed, in order: a mark of the worker or an event, and what it means."""


def visit(context: BrowserContext, url: str) -> dict[str, float]:
    """Open the page, wait until the model is ready, and return when each step was done."""
    page = context.pages[0]
    page.wait_for_timeout(1500)  # the browser's own start
    page.goto(url, wait_until="commit")
    page.wait_for_function(READY, polling=50, timeout=120_000)
    times: dict[str, float] = {}
    for event in page.evaluate("() => lab.events.map((event) => ({ ...event }))"):
        name = event.get("status") or event.get("type")
        if name == "model-progress" and event["stage"] == "gpu":
            times.setdefault("first slice", event["at"])
            times["last slice"] = event["at"]
        times.setdefault(str(name), event["at"])
    origin = page.evaluate("() => performance.timeOrigin")
    worker = next(worker for worker in page.workers if worker.url.endswith("/worker.js"))
    times |= {name: at - origin for name, at in worker.evaluate(MARKS)}
    return {name: times[name] for name in STEPS if name in times}


def measure(playwright: Playwright, num_visits: int, *, keeps: bool) -> list[dict[str, float]]:
    """Return the times of a first visit and of some more; `keeps`: with a service worker."""
    server = make_server(DIST, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    visits = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for _ in range(1 + num_visits):
            context = playwright.chromium.launch_persistent_context(
                profile,
                executable_path=os.environ.get("LORA_LAB_CHROMIUM") or find_browser(),
                args=[*PLAIN_FLAGS, *GPU_FLAGS],
                service_workers="allow" if keeps else "block",
            )
            context.add_init_script(RECORDER)
            visits.append(visit(context, f"http://localhost:{server.server_address[1]}/"))
            if keeps:
                wait_kept(context.pages[0])
            context.close()
    server.shutdown()
    server.server_close()
    return visits


def main(arguments: list[str]) -> None:
    """Measure and print a table."""
    with sync_playwright() as playwright:
        numbers = [int(argument) for argument in arguments if argument.isdigit()]
        keeps = "--no-service-worker" not in arguments
        first, *later = measure(playwright, numbers[0] if numbers else 3, keeps=keeps)
    print(f"{'ms since the navigation':<52} {'first':>6} {'later':>6}")
    for name, meaning in STEPS.items():
        found: list[Any] = [times[name] for times in later if name in times]
        middle = f"{statistics.median(found):6.0f}" if found else "     –"
        each = " ".join(f"{value:.0f}" for value in found)
        print(f"{meaning:<52} {first.get(name, float('nan')):6.0f} {middle}  ({each})")


if __name__ == "__main__":
    main(sys.argv[1:])
