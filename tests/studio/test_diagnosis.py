"""What the device's dialog asks for; tests/ops runs the self-check, tests/browser the dialog."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.checks.cases import CASES, use_of
from app.checks.selfcheck import CheckProgress, CheckResult
from app.errors import DeviceLostError
from app.gpu.device import Device
from app.train.control import RunControl
from tests.conftest import run
from tests.studio.conftest import Page

pytestmark = pytest.mark.gpu

RIGHT = CheckResult("rope", "heads", True, "x of launch 1", 1e-7, 1e-6, "training", "", 0.1)
WRONG = CheckResult("swiglu", "steep", False, "y of launch 1", 0.5, 1e-6, "training", "", 0.1)


class Checking:
    """A self-check of two cases; the second waits for Stop."""

    def __init__(self) -> None:
        self.was_quick: list[bool] = []
        self.error: Exception | None = None

    async def __call__(
        self,
        _device: Device,
        tell: Callable[[CheckProgress], None],
        *,
        is_quick: bool,
        control: RunControl,
    ) -> list[CheckResult]:
        self.was_quick.append(is_quick)
        tell(CheckProgress(0, 3, "rope", "heads", None, None))
        tell(CheckProgress(1, 3, "swiglu", "steep", 2.5, RIGHT))
        if self.error is not None:
            raise self.error
        while not control.stopped:
            await asyncio.sleep(0.01)
        return [RIGHT, WRONG]


@pytest.fixture
def checking(monkeypatch: pytest.MonkeyPatch) -> Checking:
    checking = Checking()
    monkeypatch.setattr("app.studio.diagnosis.run_selfcheck", checking)
    return checking


def test_a_device_is_described_and_measured_before_there_is_a_model(page: Page) -> None:
    async def story() -> None:
        await page.session.start()
        found = await page.ask("diagnose")
        assert found["adapter"]["name"] == page.device.info.name
        assert found["limits"]["max_buffer_bytes"] == page.device.limits.max_buffer_bytes
        assert found["memory"]["budget_bytes"] > 0
        assert found["peaks"] is None
        assert page.statuses() == []  # nothing was asked of the GPU
        found = await page.ask("diagnose", measure=True)
        assert all(value > 0 for value in found["peaks"].values())
        assert page.statuses() == ["checking", "booting"]  # there is no model to be ready with
        assert (await page.ask("diagnose"))["peaks"] == found["peaks"]
        report = await page.ask("device-report", about={"browser": "a test"})
        assert "| browser" in report
        assert f"{found['peaks']['fma_gflops']:.1f} GFLOP/s" in report
        assert "Not run." in report

    run(story())


def test_a_check_tells_each_case_and_stops(page: Page, checking: Checking) -> None:
    async def story() -> None:
        await page.session.start()
        running = asyncio.ensure_future(page.ask("self-check", quick=True))
        while len(page.events("self-check-progress")) < 2:
            await asyncio.sleep(0.01)
        assert "wait" in await page.refused("diagnose", measure=True)
        await page.ask("diagnose")  # what is not measured can be had all the time
        assert "| rope" in await page.ask("device-report", about={})
        await page.ask("self-check-stop")
        answer = await running
        assert answer["stopped"] is True
        assert answer["num_cases"] == 3
        assert [result["op"] for result in answer["results"]] == ["rope", "swiglu"]
        assert "1 of 2 cases differ" in answer["summary"]
        first, second = page.events("self-check-progress")
        assert (first["num_done"], first["num_cases"], first["op"]) == (0, 3, "rope")
        assert first["seconds_left"] is first["last"] is None
        assert second["last"]["op"] == "rope"
        assert second["seconds_left"] == 2.5
        assert checking.was_quick == [True]
        assert page.statuses()[-1] == "booting"
        report: str = await page.ask("device-report", about={})
        assert "stopped before 1 more" in report
        assert report.index("| swiglu") < report.index("| rope")  # what is wrong comes first

    run(story())


def test_a_model_that_is_chosen_meanwhile_is_loaded(page: Page, checking: Checking) -> None:
    async def story() -> None:
        await page.session.start()
        running = asyncio.ensure_future(page.ask("self-check"))
        while not page.events("self-check-progress"):
            await asyncio.sleep(0.01)
        await page.ask("load-model", source="tiny.gguf")
        assert (await running)["stopped"] is True
        measuring = asyncio.ensure_future(page.ask("diagnose", measure=True))
        await asyncio.sleep(0)
        await page.ask("load-model", source="tiny.gguf")
        assert (await measuring)["peaks"]
        assert page.statuses()[-1] == "ready"
        assert checking.was_quick == [False]

    run(story())


def test_a_device_that_is_lost_is_told_and_asked_for_anew(page: Page, checking: Checking) -> None:
    async def story() -> None:
        await page.session.start()
        checking.error = DeviceLostError("the GPU device was lost (unknown): gone")
        sentence = await page.refused("self-check")
        assert "lost" in sentence
        assert page.events("model-lost")
        assert page.statuses()[-1] == "error"
        # What was found until then can still be reported.
        assert "| rope" in await page.ask("device-report", about={"problem": sentence})
        opened = len(page.events("gpu"))
        found: dict[str, Any] = await page.ask("diagnose")
        assert found["adapter"]["name"] == page.device.info.name
        assert len(page.events("gpu")) == opened + 1
        assert "Not run." in await page.ask("device-report", about={})

    run(story())


def test_the_page_has_words_for_what_operations_are_used_for() -> None:
    known = json.loads((Path(__file__).parent / "page" / "python.json").read_text())
    assert {use_of(op) for op in CASES} <= set(known)


def test_a_loaded_model_stays_ready(loaded: Page) -> None:
    run(loaded.ask("diagnose", measure=True))
    assert loaded.statuses()[-2:] == ["checking", "ready"]
