"""The benchmark's lines: names, fields, and shares that are rates over peaks."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from app.config import ModelConfig
from app.errors import ConfigError
from app.gpu.device import Device
from app.io.source import MemorySource
from app.models.random import NAMED_SHAPES, named_shape, random_model
from app.plan import bench
from app.plan.bench import run_bench, training_shape
from tests.conftest import run
from tests.tiny_model import make_tiny_gguf

Figure = dict[str, Any]

TINY = ModelConfig(
    architecture="llama",
    hidden_size=64,
    intermediate_size=160,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    vocab_size=320,
    max_position_embeddings=128,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    tie_word_embeddings=False,
    name="tiny",
)

RATES = {
    "int4_matmul_forward",
    "int4_matmul_backward",
    "int8_matmul_forward",
    "int8_matmul_backward",
    "attention_forward",
    "attention_backward",
    "train_step",
}
REST = {"fma_peak", "copy", "decode", "prefill", "adapter_switch", "adapter_swap"}


async def lines(device: Device, **what: Any) -> list[Figure]:
    return [json.loads(json.dumps(figure)) async for figure in run_bench(device, **what)]


@pytest.fixture(scope="module")
def figures(device: Device) -> list[Figure]:
    before = device.allocated_bytes
    source = MemorySource(make_tiny_gguf(context=128))
    found = run(lines(device, source=source, profile=True))
    assert device.allocated_bytes == before
    return found


def of(figures: list[Figure], name: str) -> list[Figure]:
    return [figure for figure in figures if figure["bench"] == name]


@pytest.mark.gpu
def test_every_figure_is_there(figures: list[Figure]) -> None:
    assert {figure["bench"] for figure in figures} == RATES | REST | {"model_load", "profile"}


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
    assert step["bytes"] > 1_000_000
    assert 0 <= step["host_share"] <= 1.5  # clocks of thread and wall differ in resolution
    low, high = step["tokens_per_second_low"], step["tokens_per_second_high"]
    assert 0 < low <= step["tokens_per_second"] <= high


@pytest.mark.gpu
def test_generation(figures: list[Figure]) -> None:
    assert [line["lora"] for line in of(figures, "decode")] == [False, True]
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
    assert {"linear", "linear_backward", "adamw", "cross_entropy"} <= kernels
    assert len([kernel for kernel in kernels if kernel.startswith("attention")]) == 3


@pytest.mark.gpu
def test_shapes_need_no_file(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NAMED_SHAPES, "tiny", TINY)
    monkeypatch.setattr(bench, "PROMPT_TOKENS", {True: 8, False: 8})
    before = device.allocated_bytes
    names = {line["bench"] for line in run(lines(device, shapes="tiny"))}
    assert names == RATES | REST
    assert device.allocated_bytes == before


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
    with pytest.raises(ConfigError, match=r"'gpt-5'.*smollm2-135m, smollm2-360m, tinyllama-1.1b"):
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
            assert training_shape(model, 1e-3) == (1, 64)
            assert training_shape(model, 1e3) == (1, 128)  # the context
        else:
            assert training_shape(model, 1.0) == (4, 128)
    finally:
        model.destroy()
