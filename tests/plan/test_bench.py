"""The benchmark's lines: names, fields, and shares that are rates over peaks."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import numpy as np
import pytest

from app.errors import ConfigError
from app.gpu.device import Device
from app.io.source import MemorySource
from app.models.random import NAMED_SHAPES, named_shape, random_model
from app.nn.adapter import AdapterLayout
from app.plan import bench
from app.plan.bench import BenchStoppedError, run_bench, training_shape
from app.plan.bench_curves import AXES
from app.plan.bench_model import LORA
from app.plan.bench_table import report_of, row_of
from app.plan.timing import HostClock
from app.train.control import RunControl
from tests.conftest import run
from tests.tiny_model import make_tiny_gguf

Figure = dict[str, Any]

TINY = NAMED_SHAPES["tiny"]

RATES = {
    "int4_matmul_forward",
    "int4_matmul_backward",
    "int8_matmul_forward",
    "int8_matmul_backward",
    "attention_forward",
    "attention_backward",
    "train_step",
}
BANDWIDTHS = {
    "rms_norm_forward",
    "rms_norm_backward",
    "rope",
    "swiglu_forward",
    "swiglu_backward",
    "embedding",
    "cross_entropy",
    "lora_hidden",
    "lora_hidden_backward",
    "lora_gradient",
    "adamw",
}
DEVICE = {"device", "fma_peak", "copy"}
ANSWERS = {"decode", "prefill", "adapter_switch", "adapter_swap"}
ALL = RATES | BANDWIDTHS | DEVICE | ANSWERS


async def lines(device: Device, **what: Any) -> list[Figure]:
    found: list[Figure] = []
    await run_bench(device, lambda figure: found.append(json.loads(json.dumps(figure))), **what)
    return found


@pytest.fixture(scope="module")
def figures(device: Device) -> list[Figure]:
    before = device.allocated_bytes
    source = MemorySource(make_tiny_gguf(context=128))
    stages: list[tuple[str, float]] = []
    found = run(
        lines(
            device,
            source=source,
            profile=True,
            curves=True,
            on_stage=lambda text, fraction: stages.append((text, fraction)),
        )
    )
    assert device.allocated_bytes == before
    fractions = [fraction for _, fraction in stages]
    assert all(text for text, _ in stages)
    assert 0 <= min(fractions) <= max(fractions) <= 1
    return found


def of(figures: list[Figure], name: str) -> list[Figure]:
    return [figure for figure in figures if figure["bench"] == name]


@pytest.mark.gpu
def test_every_figure_is_there(figures: list[Figure]) -> None:
    assert {figure["bench"] for figure in figures} == ALL | {"model_load", "profile", "curve"}
    assert figures[0]["bench"] == "device"
    assert {"name", "backend", "is_software", "features", "limits"} <= set(figures[0])
    names = {line["model"] for line in figures if line["bench"] not in DEVICE}
    assert len(names) == 1


@pytest.mark.gpu
def test_shares_are_rates_over_the_peak_of_the_run(figures: list[Figure]) -> None:
    rates = [figure for figure in figures if figure["bench"] in RATES]
    for figure in rates:
        # both are rounded in the line
        rounding = 1e-3 / figure["peak_gflops"] + 1e-4
        expected = figure["gflops"] / figure["peak_gflops"]
        assert figure["share"] == pytest.approx(expected, abs=rounding)
        assert 0 <= figure["share"] <= 1


@pytest.mark.gpu
def test_bandwidths_are_compared_with_a_copy_of_as_many_bytes(figures: list[Figure]) -> None:
    for figure in (line for line in figures if line["bench"] in BANDWIDTHS):
        rate, peak = figure["gbytes_per_second"], figure["copy_gbytes_per_second"]
        assert figure["share"] == pytest.approx(rate / peak, rel=2e-2, abs=1e-3)
        low, high = figure["gbytes_per_second_low"], figure["gbytes_per_second_high"]
        assert low <= rate <= high
        rounding = 0.5e-4 / figure["ms"] + 1e-3 / rate
        assert rate == pytest.approx(figure["bytes"] / figure["ms"] / 1e6, rel=rounding + 1e-3)


@pytest.mark.gpu
def test_bytes_are_those_that_cannot_be_avoided(figures: list[Figure]) -> None:
    tokens = of(figures, "train_step")[0]["num_tokens"]
    sizes = {line["bench"]: line["bytes"] for line in figures if line["bench"] in BANDWIDTHS}
    assert sizes["rms_norm_forward"] == 4 * 2 * tokens * 64  # x read, y written
    assert sizes["rms_norm_backward"] == 4 * 4 * tokens * 64  # dy, x, skip read; dx written
    assert sizes["swiglu_forward"] == 4 * 3 * tokens * 128
    adapter = of(figures, "adamw")[0]["shape"][0]
    assert sizes["adamw"] == 4 * 10 * adapter


@pytest.mark.gpu
def test_curves_change_one_setting_at_a_time(figures: list[Figure]) -> None:
    points = of(figures, "curve")
    assert {point["axis"] for point in points} == set(AXES)
    for axis in AXES:
        own = [point for point in points if point["axis"] == axis]
        assert len(own) >= 2
        assert [point["value"] for point in own] == sorted({point["value"] for point in own})
        for point in own:
            assert 0 < point["ms_low"] <= point["ms"] <= point["ms_high"]
            windows, seq_len = point["shape"]
            measured = {
                "tokens": windows * seq_len,
                "window": seq_len,
                "rank": point["rank"],
                "layers": point["layers"],
            }
            assert measured[axis] == point["value"]
        if axis == "window":
            assert len({point["shape"][0] * point["shape"][1] for point in own}) == 1
        else:
            assert len({point["shape"][1] for point in own}) == 1


@pytest.mark.gpu
def test_products_have_the_shapes_of_the_model(figures: list[Figure]) -> None:
    tokens = of(figures, "train_step")[0]["num_tokens"]
    for direction in ("forward", "backward"):
        products = of(figures, f"int4_matmul_{direction}")
        assert [line["shape"] for line in products] == [
            [tokens, 128, 64],
            [tokens, 64, 64],
            [tokens, 256, 64],
            [tokens, 64, 128],
        ]
        assert [line["part"] for line in products] == ["qkv", "o", "gate_up", "down"]
        head = of(figures, f"int8_matmul_{direction}")
        assert [line["shape"][1:] for line in head] == [[320, 64]]
        for line in products + head:
            assert line["gflops_low"] <= line["gflops"] <= line["gflops_high"]


@pytest.mark.gpu
def test_a_training_step_says_what_it_is(figures: list[Figure]) -> None:
    (step,) = of(figures, "train_step")
    windows, seq_len = step["shape"]
    assert step["num_tokens"] == windows * seq_len
    assert step["dispatches"] > 50
    # the plan, and what was given out: weights and adapter are in both
    assert step["bytes"] == step["allocated_bytes"] > 1_000_000
    assert step["first_step_ms"] > 0
    assert step["prepare_ms"] > 0
    assert 0 <= step["host_share"] <= 1.5  # clocks of thread and wall differ in resolution
    low, high = step["tokens_per_second_low"], step["tokens_per_second_high"]
    assert 0 < low <= step["tokens_per_second"] <= high


@pytest.mark.gpu
def test_generation(figures: list[Figure]) -> None:
    for name in ("decode", "prefill"):
        assert [line["lora"] for line in of(figures, name)] == [False, True]
    for line in of(figures, "decode") + of(figures, "prefill"):
        assert line["tokens_per_second"] > 0
    for name in ("adapter_switch", "adapter_swap", "model_load"):
        (line,) = of(figures, name)
        assert line["ms"] > 0


@pytest.mark.gpu
def test_profile_accounts_for_every_dispatch(figures: list[Figure]) -> None:
    rows = of(figures, "profile")
    (step,) = of(figures, "train_step")
    assert sum(row["dispatches"] for row in rows) == step["dispatches"]
    assert sum(row["share_of_step"] for row in rows) == pytest.approx(1.0, abs=1e-2)
    kernels = {row["kernel"].split("(")[0] for row in rows}
    assert {"adamw", "cross_entropy"} <= kernels
    for name, count in (("linear", 2), ("linear_backward", 1), ("attention", 3)):
        assert len([kernel for kernel in kernels if kernel.startswith(name)]) >= count


@pytest.mark.gpu
def test_shapes_need_no_file(device: Device) -> None:
    before = device.allocated_bytes
    found = run(lines(device, shapes=["tiny"]))
    assert {line["bench"] for line in found} == ALL
    assert {line["model"] for line in found if line["bench"] not in DEVICE} == {"tiny"}
    assert device.allocated_bytes == before


@pytest.mark.gpu
def test_of_a_model_too_large_the_operations_are_measured(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "MAX_SOFTWARE_PARAMETERS", 0)
    if not device.info.is_software:
        pytest.skip("a GPU measures all of it")
    found = run(lines(device, shapes=["tiny"], curves=True))
    whole = {"train_step", *ANSWERS}
    assert {line["bench"] for line in found} == (ALL - whole) | {"skipped"}
    assert set(found[-1]["what"]) == whole | {"curve"}
    assert "software" in found[-1]["reason"]
    # the update is that of the whole model's adapter, although one layer was made
    assert of(found, "adamw")[0]["shape"] == [AdapterLayout(TINY, LORA).size]


@pytest.mark.gpu
@pytest.mark.parametrize("last", ["fma_peak", "attention_forward", "train_step", "decode"])
def test_stopping_frees_everything(device: Device, last: str) -> None:
    before = device.allocated_bytes
    control = RunControl()
    found: list[str] = []

    def take(figure: Figure) -> None:
        found.append(figure["bench"])
        if found[-1] == last:
            control.stop()

    with pytest.raises(BenchStoppedError):
        run(run_bench(device, take, shapes=["tiny"], control=control))
    assert found[-1] == last
    assert device.allocated_bytes == before


@pytest.mark.gpu
def test_a_training_step_can_be_stopped_in_its_middle(device: Device) -> None:
    before = device.allocated_bytes
    control = RunControl()
    found: list[str] = []

    def on_stage(text: str, fraction: float) -> None:
        if "training steps" in text:
            asyncio.get_running_loop().call_soon(control.stop)

    with pytest.raises(BenchStoppedError):
        run(
            run_bench(
                device,
                lambda figure: found.append(figure["bench"]),
                shapes=["tiny"],
                control=control,
                on_stage=on_stage,
            )
        )
    assert "train_step" not in found
    assert device.allocated_bytes == before


@pytest.mark.gpu
def test_every_line_has_a_row(figures: list[Figure]) -> None:
    for figure in figures:
        row = row_of(figure)
        assert row.section
        assert row.what
        if figure["bench"] != "device":
            assert row.value
        if row.share is not None:  # of which peak: it varies from figure to figure
            assert "share of" in row.note
    text = report_of(figures)
    assert text.count("\n") >= len(figures)
    step = next(line for line in text.splitlines() if "training step" in line and "disp" in line)
    assert "tokens/s" in step
    assert "MB allocated" in step


def test_the_host_clock_leaves_waiting_out() -> None:
    clock = HostClock()

    async def work() -> str:
        end = time.perf_counter() + 0.02
        while time.perf_counter() < end:
            pass
        await asyncio.sleep(0.05)
        middle.append(clock.seconds)
        return "done"

    middle: list[float] = []
    assert run(clock.run(work())) == "done"
    assert 0 < middle[0] <= clock.seconds < 0.045


def test_the_host_clock_passes_errors_on() -> None:
    async def work() -> None:
        try:
            await fails()
        except ValueError as error:
            raise KeyError("seen") from error

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError

    with pytest.raises(KeyError, match="seen"):
        run(HostClock().run(work()))


@pytest.mark.gpu
def test_random_weights_are_seeded_and_of_unit_gain(device: Device) -> None:
    first, second = random_model(device, TINY, seed=3), random_model(device, TINY, seed=3)
    other = random_model(device, TINY, seed=4)
    try:
        words = [
            run(device.read(m.weights.layers[0].projections["qkv"].words.storage.buffer, 0, 4096))
            for m in (first, second, other)
        ]
        assert words[0] == words[1] != words[2]
        scales = first.weights.layers[0].projections["qkv"].scales
        data = run(device.read(scales.storage.buffer, 0, 4))
        scale, minimum = np.frombuffer(data, np.float16).astype(np.float64)
        values = scale * np.arange(16) + minimum
        assert values.mean() == pytest.approx(0, abs=1e-3)
        assert values.std() * 64**0.5 == pytest.approx(1, rel=2e-2)
        assert first.tokenizer.encode("é") == [0xC3, 0xA9]
        assert first.tokenizer.decode([0xC3, 0xA9, 300]) == "é"
    finally:
        for model in (first, second, other):
            model.destroy()


def test_unknown_shapes_are_named() -> None:
    with pytest.raises(
        ConfigError, match=r"'gpt-5'.*tiny, smollm2-135m, smollm2-360m, tinyllama-1.1b"
    ):
        named_shape("gpt-5")


@pytest.mark.parametrize(
    ("name", "millions"),
    [("smollm2-135m", 134.5), ("smollm2-360m", 361.8), ("tinyllama-1.1b", 1100)],
)
def test_named_shapes_have_the_size_they_are_named_for(name: str, millions: float) -> None:
    config = named_shape(name)
    untied = 0 if config.tie_word_embeddings else config.vocab_size * config.hidden_size
    count = config.num_matmul_parameters + untied
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.gpu
def test_a_step_on_a_software_adapter_follows_its_speed(device: Device) -> None:
    model = random_model(device, TINY)
    try:
        if device.info.is_software:
            assert training_shape(model, 1e-3) == (1, 16)
            assert training_shape(model, 1e3) == (1, 128)  # the context
        else:
            assert training_shape(model, 1.0) == (4, 128)
    finally:
        model.destroy()
