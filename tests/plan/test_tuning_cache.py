"""Tunings are kept, found again, and dropped where anything they depend on has changed."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.errors import DeviceLostError, GpuError
from app.gpu.device import Device
from app.gpu.tuning import default_tuning
from app.models.loader import Model
from app.models.random import random_model
from app.plan import tuning_cache, tuning_policy
from app.plan.tuning_cache import FileStore, cache_key, user_cache_dir
from app.plan.tuning_policy import settle_tuning
from app.plan.tuning_report import OperationReport, TuningReport
from app.plan.tuning_space import Operation, operations_of
from app.plan.tuning_work import Work
from tests.conftest import run
from tests.plan.shapes import TINY


@pytest.fixture
def model(device: Device) -> Iterator[Model]:
    model = random_model(device, TINY)
    kept = device.tuning
    yield model
    device.tuning = kept
    model.destroy()


def operations(model: Model) -> list[Operation]:
    return operations_of(Work(model), default_tuning(model.device.info))


def measured(model: Model, pick: int = 1) -> TuningReport:
    """A report that picks the second candidate of every class."""
    reports = []
    for operation in operations(model):
        labels = [candidate.label for candidate in operation.candidates]
        picked = labels[min(pick, len(labels) - 1)]
        times = {picked: 0.01, labels[0]: 0.02}
        reports.append(OperationReport(operation.name, picked, labels[0], times, {}, (), 0.1))
    return TuningReport(tuple(reports), 1.0)


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> list[Model]:
    """What `tune` was called with; it measures nothing here."""
    calls: list[Model] = []

    async def tune(model: Model, **_: Any) -> TuningReport:
        calls.append(model)
        return measured(model)

    monkeypatch.setattr(tuning_policy, "tune", tune)
    return calls


def as_hardware(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "info", replace(device.info, is_software=False))


def test_files_are_written_whole_and_read_back(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "new" / "folder")
    assert run(store.load("key")) is None
    for text in ("one", "two"):
        run(store.save("key", text))
        assert run(store.load("key")) == text
    assert [file.name for file in store.folder.iterdir()] == ["key.json"]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = FileStore(tmp_path / "file" / "folder")
    run(store.save("key", "text"))
    assert run(store.load("key")) is None


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "{told}"),
        ("linux", "", "{home}/.cache"),
        ("darwin", "", "{home}/Library/Caches"),
        ("win32", "LOCALAPPDATA", "{told}"),
        ("win32", "", "{home}/AppData/Local"),
    ],
)
def test_the_folder_is_the_platforms_own(
    platform: str, variable: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "told"))
    told, home = tmp_path / "told", tmp_path / "home"
    assert user_cache_dir().as_posix() == expected.format(told=told, home=home)


@pytest.mark.gpu
def test_the_key_follows_what_a_tuning_depends_on(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, classes = model.device, operations(model)
    keys = [cache_key(model, classes)]
    assert cache_key(model, operations(model)) == keys[0]
    assert cache_key(replace(model, config=replace(TINY, name="other")), classes) == keys[0]
    keys.append(cache_key(replace(model, config=replace(TINY, vocab_size=328)), classes))
    keys.append(cache_key(model, classes[:-1]))
    changes: tuple[tuple[str, Any], ...] = (
        ("info", replace(device.info, version="newer")),
        ("limits", replace(device.limits, max_invocations=64)),
        ("features", device.features | {"another"}),
    )
    for name, value in changes:
        with monkeypatch.context() as patch:
            patch.setattr(device, name, value)
            keys.append(cache_key(model, classes))
    monkeypatch.setattr(tuning_cache, "kernels_hash", lambda: "other shaders")
    keys.append(cache_key(model, classes))
    assert len(set(keys)) == len(keys)


def test_the_hash_of_the_kernels_follows_names_and_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning_cache, "WGSL_DIR", tmp_path)
    hash_now = tuning_cache.kernels_hash.__wrapped__
    (tmp_path / "lib").mkdir()
    (tmp_path / "a.wgsl").write_text("one")
    hashes = [hash_now()]
    (tmp_path / "lib" / "b.wgsl").write_text("two")
    hashes.append(hash_now())
    (tmp_path / "a.wgsl").write_text("1")
    hashes.append(hash_now())
    (tmp_path / "a.wgsl").rename(tmp_path / "c.wgsl")
    hashes.append(hash_now())
    assert len(set(hashes)) == 4


@pytest.mark.gpu
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"version": 0}',
        '{"version": 1, "operations": [], "seconds": 0, "was_stopped": false}',
        '{"version": 1, "operations": [1], "seconds": 0, "was_stopped": false}',
        '{"version": 1, "operations": [], "seconds": "long", "was_stopped": false}',
    ],
)
def test_a_broken_file_counts_as_none(model: Model, tmp_path: Path, text: str) -> None:
    store = FileStore(tmp_path)
    run(store.save(cache_key(model, operations(model)), text))
    settled = run(settle_tuning(model, store))
    assert settled.source == "priors"
    assert model.device.tuning == default_tuning(model.device.info)


def test_a_report_survives_the_round_trip_and_refuses_times_that_are_none() -> None:
    found = OperationReport("norm", "b", "a", {"b": 0.5, "a": 1.0}, {"c": "wrong"}, ("d",), 2.0)
    report = TuningReport((found,), 3.0)
    assert TuningReport.from_json(report.to_json()) == report
    values = json.loads(report.to_json())
    for seconds in (-1.0, math.nan):
        values["seconds"] = seconds
        with pytest.raises(ValueError, match="no time"):
            TuningReport.from_json(json.dumps(values))


@pytest.mark.gpu
def test_hardware_is_tuned_once(
    model: Model, tmp_path: Path, tuned: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_hardware(model.device, monkeypatch)
    store = FileStore(tmp_path)
    assert run(settle_tuning(model, store, may_measure=False)).source == "priors"
    assert run(settle_tuning(model, store, "never")).source == "priors"
    assert not tuned
    first = run(settle_tuning(model, store))
    tuning = model.device.tuning
    assert first.source == "measured"
    assert tuning != default_tuning(model.device.info)
    model.device.tuning = default_tuning(model.device.info)
    again = run(settle_tuning(model, store, may_measure=False))
    assert again.source == "cache"
    assert again.report == first.report
    assert model.device.tuning == tuning
    assert len(tuned) == 1
    run(settle_tuning(model, store, "always"))
    assert len(tuned) == 2


@pytest.mark.gpu
def test_a_software_adapter_is_tuned_on_demand_only(
    model: Model, tmp_path: Path, tuned: list[Model]
) -> None:
    store = FileStore(tmp_path)
    assert run(settle_tuning(model, store)).source == "priors"
    assert not tuned
    assert run(settle_tuning(model, store, "always")).source == "measured"
    assert run(settle_tuning(model, store)).source == "cache"
    assert run(settle_tuning(model, store, "never")).source == "priors"
    assert model.device.tuning == default_tuning(model.device.info)


@pytest.mark.gpu
def test_what_was_measured_with_other_kernels_is_not_used(
    model: Model, tmp_path: Path, tuned: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path)
    run(settle_tuning(model, store, "always"))
    monkeypatch.setattr(tuning_cache, "kernels_hash", lambda: "other shaders")
    assert run(settle_tuning(model, store)).source == "priors"


@pytest.mark.gpu
def test_a_stopped_or_failed_tuning_leaves_the_priors_and_nothing_behind(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped(model: Model, **_: Any) -> TuningReport:
        return replace(measured(model), was_stopped=True)

    async def failed(model: Model, **_: Any) -> TuningReport:
        raise GpuError("the GPU is out of memory")

    store = FileStore(tmp_path)
    for tune in (stopped, failed):
        monkeypatch.setattr(tuning_policy, "tune", tune)
        assert run(settle_tuning(model, store, "always")).source == "priors"
        assert model.device.tuning == default_tuning(model.device.info)
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
def test_a_device_that_was_lost_is_not_risked_again(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(model: Model, **_: Any) -> TuningReport:
        raise DeviceLostError("the GPU device was lost")

    as_hardware(model.device, monkeypatch)
    monkeypatch.setattr(tuning_policy, "tune", lost)
    store = FileStore(tmp_path)
    with pytest.raises(DeviceLostError):
        run(settle_tuning(model, store))
    settled = run(settle_tuning(model, store))
    assert settled.source == "cache"
    assert model.device.tuning == default_tuning(model.device.info)
    assert settled.report is not None
    reasons = {reason for found in settled.report.operations for reason in found.excluded.values()}
    assert reasons == {"the device was lost"}
