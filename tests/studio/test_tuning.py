"""Kernels are chosen for a GPU before it is used, and never keep anybody from using it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.errors import DeviceLostError, GpuError
from app.gpu.device import Device
from app.gpu.tuning import default_tuning
from app.models.loader import Model
from app.plan.tuning_policy import Settled
from app.studio import tuning as studio_tuning
from app.studio.session import Session
from tests.conftest import run
from tests.studio.conftest import Message, Page
from tests.tiny_model import make_tiny_gguf

pytestmark = pytest.mark.gpu

Settle = Callable[..., Any]


class NoStore:
    async def load(self, key: str) -> str | None:
        return None

    async def save(self, key: str, text: str) -> None:
        pass


@pytest.fixture
def gpu(device: Device, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """The device, which says that it is hardware."""
    monkeypatch.setattr(device, "info", replace(device.info, is_software=False))
    kept = device.tuning
    yield device
    device.tuning = kept


def opened(device: Device, monkeypatch: pytest.MonkeyPatch, settle: Settle) -> Page:
    monkeypatch.setattr(studio_tuning, "settle_tuning", settle)
    page = Page(device)
    page.sources["tiny"] = make_tiny_gguf(context=128)
    page.session = Session(page._hear, page._open_device, page._open_source, NoStore())
    run(page.session.start())
    return page


async def pick_four_slices(model: Model, *_: Any, on_progress: Any, **__: Any) -> Settled:
    on_progress("forward", 0.5)
    model.device.tuning = replace(model.device.tuning, hidden_slices=4)
    return Settled("measured")


def events(page: Page, kind: str) -> list[Message]:
    return [message for message in page.heard if message.get("type") == kind]


def test_a_gpu_is_tuned_while_the_model_is_opened(
    gpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(gpu, monkeypatch, pick_four_slices)
    run(page.ask("load-model", source="tiny"))
    page.session.close()
    progress = [event for event in events(page, "model-progress") if event["stage"] == "tuning"]
    assert [(event["loaded_bytes"], event["total_bytes"]) for event in progress] == [(50, 100)]
    before, after = (event["variants"] for event in events(page, "gpu"))
    assert before == default_tuning(replace(gpu.info, is_software=True)).describe()
    assert after == before | {"hidden_slices": "4"}


def test_a_software_adapter_is_not(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unwanted(*_: Any, **__: Any) -> Settled:
        raise AssertionError("nobody asked for it")

    page = opened(device, monkeypatch, unwanted)
    run(page.ask("load-model", source="tiny"))
    page.session.close()


@pytest.mark.parametrize("error", [GpuError("no"), KeyError("a mistake of ours")])
def test_a_failure_leaves_the_model_usable(
    gpu: Device, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fails(model: Model, *_: Any, **__: Any) -> Settled:
        model.device.tuning = replace(model.device.tuning, hidden_slices=4)
        raise error

    tuning = gpu.tuning
    page = opened(gpu, monkeypatch, fails)
    run(page.ask("load-model", source="tiny"))
    page.session.close()
    assert gpu.tuning == tuning


def test_a_lost_device_is_told_and_nothing_stays(
    gpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def loses(*_: Any, **__: Any) -> Settled:
        raise DeviceLostError("the GPU device was lost")

    before = gpu.allocated_bytes
    page = opened(gpu, monkeypatch, loses)
    sentence = run(page.refused("load-model", source="tiny"))
    assert "lost" in sentence
    assert gpu.allocated_bytes == before


def test_another_model_stops_it(gpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []

    async def settle(model: Model, *_: Any, should_stop: Any, **__: Any) -> Settled:
        if not turns:
            turns.append("first")
            while not should_stop():
                await asyncio.sleep(0)
            turns.append("stopped")
        return Settled("priors")

    before = gpu.allocated_bytes
    page = opened(gpu, monkeypatch, settle)

    async def choose_twice() -> tuple[Message, Message]:
        first = asyncio.ensure_future(page.send("load-model", source="tiny"))
        while not turns:
            await asyncio.sleep(0)
        return await page.send("load-model", source="tiny"), await first

    second, first = run(choose_twice())
    assert turns == ["first", "stopped"]
    assert "nother model" in first["error"]
    assert "error" not in second
    page.session.close()
    assert gpu.allocated_bytes == before
