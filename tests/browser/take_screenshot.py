"""Take the README's screenshot from a real run: `python -m tests.browser.take_screenshot`.

Trains two invented facts on the real model in Chromium (some minutes on a software adapter),
asks the base about one and the adapter about the other, and saves docs/screens/finished.png.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from build import DIST, make_server
from tests.browser.conftest import GPU_FLAGS, PLAIN_FLAGS
from tests.browser.recorder import RECORDER
from tests.browser.studio import Studio
from tests.train.facts import FACTS, write_facts
from tools.checks import find_browser

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {"max_seq_len": 48, "micro_batch_size": 1, "steps": 30, "learning_rate": 0.003}
HOUR_MS = 3_600_000


def main() -> None:
    """Train, ask, save."""
    server = make_server(DIST, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("LORA_LAB_CHROMIUM") or find_browser(),
            args=[*PLAIN_FLAGS, *GPU_FLAGS],
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(RECORDER)
        studio = Studio(page)
        for visit in ("first", "second"):
            started = time.monotonic()
            studio.open(f"http://localhost:{server.server_address[1]}/")
            booted = time.monotonic()
            studio.wait_status("ready", HOUR_MS)
            ready = time.monotonic()
            print(
                f"{visit} visit: GPU open {booted - started:.1f} s, model {ready - started:.1f} s"
            )
        studio.change_settings(**SETTINGS)
        studio.paste(write_facts(FACTS[:2], 1500))
        studio.wait_counted()
        started = time.monotonic()
        studio.train()
        studio.wait_steps(1, 600)
        print(f"first loss after {time.monotonic() - started:.1f} s")
        studio.wait_status("ready", HOUR_MS)
        steps = studio.events("step")
        rates = sorted(step["tokens_per_second"] for step in steps)
        print(f"{len(steps)} steps, median {rates[len(rates) // 2]:.2f} tokens/s")
        print(f"loss {steps[0]['loss']:.3f} to {steps[-1]['loss']:.3f}")
        # Two questions: an answer that already stands in the conversation would be repeated.
        for use_lora, fact in ((False, FACTS[1]), (True, FACTS[0])):
            studio.use_lora(use_lora)
            started = time.monotonic()
            answer = studio.ask_model(fact.question, HOUR_MS)
            print(f"{answer} ({time.monotonic() - started:.1f} s)")
        folder = ROOT / "docs/screens"
        folder.mkdir(exist_ok=True)
        page.screenshot(path=folder / "finished.png")
        browser.close()
    server.shutdown()


if __name__ == "__main__":
    main()
