"""The benchmark as the page asks for it; tests/plan and tests/browser run it for real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.gpu.device import Device
from app.plan.bench import BenchStoppedError
from tests.conftest import run
from tests.studio.conftest import Page

pytestmark = pytest.mark.gpu

PEAK = {"bench": "fma_peak", "gflops": 90.0, "gflops_low": 80.0}
SWITCH = {"bench": "adapter_swap", "model": "tiny", "ms": 2.0, "ms_low": 1.0, "ms_high": 3.0}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the benchmark was asked to measure; it gives one figure and waits for Stop."""
    found: list[dict[str, Any]] = []

    async def measure(device: Device, take: Callable[[Any], None], **what: Any) -> None:
        found.append(what)
        what["on_stage"]("multiply-adds", 0.25)
        take(PEAK)
        for _ in range(50):
            await asyncio.sleep(0.001)
            if what["control"].stopped:
                raise BenchStoppedError("stopped")
        take(SWITCH)

    monkeypatch.setattr("app.studio.bench.run_bench", measure)
    return found


def test_figures_are_events_with_their_words(page: Page, asked: list[dict[str, Any]]) -> None:
    async def story() -> None:
        await page.session.start()
        result = await page.ask("bench", shapes=["tiny"], curves=True)
        assert result["stopped"] is False
        assert "90 GFLOP/s" in result["report"]
        assert "replace the adapter" in result["report"]
        first, second = page.events("bench-figure")
        assert (first["figure"], second["figure"]) == (PEAK, SWITCH)
        assert first["cells"][2] == "90 GFLOP/s"
        assert second["section"] == "tiny: answers"
        told = {word["template"] for word in second["words"]}
        assert {"{model}: answers", "replace the adapter", "{number} {unit}"} <= told
        assert second["share"] is None
        assert page.events("bench-stage")[0]["fraction"] == 0.25

    run(story())
    (what,) = asked
    assert (what["shapes"], what["curves"], what["profile"]) == (["tiny"], True, False)
    assert what["source"] is None


def test_it_stops_and_runs_again(page: Page, asked: list[dict[str, Any]]) -> None:
    async def story() -> None:
        await page.session.start()
        running = asyncio.ensure_future(page.ask("bench", shapes=["tiny"]))
        while not page.events("bench-figure"):
            await asyncio.sleep(0.001)
        assert "wait" in await page.refused("bench", shapes=["tiny"])
        await page.ask("bench-stop")
        assert (await running)["stopped"] is True
        assert len(page.events("bench-figure")) == 1
        assert (await page.ask("bench", shapes=["tiny"]))["stopped"] is False

    run(story())
    assert len(asked) == 2


def test_a_file_is_opened_where_it_is_asked_for(page: Page, asked: list[dict[str, Any]]) -> None:
    async def story() -> None:
        await page.session.start()
        await page.ask("bench", source="tiny.gguf")
        await page.ask("load-model", source="tiny.gguf")

    run(story())
    assert asked[0]["source"].name == "tiny.gguf"
    assert page.statuses()[-1] == "ready"


def test_an_unknown_shape_is_refused(page: Page) -> None:
    async def story() -> None:
        await page.session.start()
        assert "no shape is named" in (await page.refused("bench", shapes=["gpt-5"])).lower()

    run(story())
