"""Whether models of a catalogue fit a device, and that the catalogue says nothing impossible."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest

from app.config import LoraConfig, ModelConfig, Quantization, TrainConfig
from app.gpu.device import Device
from app.io.gguf_types import TENSOR_TYPES
from app.io.source import MemorySource
from app.models.loader import load_model
from app.plan.fit import ModelShape, _cut, _some_text, fit_of
from app.plan.modes import AdapterMode, RunSettings
from app.plan.planner import Planner
from app.plan.speed import Speed
from tests.plan.limited import LimitedDevice
from tests.tiny_folder import as_folder, make_tiny_folder
from tests.tiny_model import make_tiny_gguf

CATALOGUE: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "static/catalogue.json").read_text(encoding="utf-8")
)
MIB = 1 << 20
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)


def entry_of(config: ModelConfig, **changes: Any) -> dict[str, Any]:
    """Return a catalogue's entry of this shape."""
    keys = (
        "hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads "
        "head_dim vocab_size max_position_embeddings rms_norm_eps rope_theta tie_word_embeddings"
    )
    values = {key: getattr(config, key) for key in keys.split()}
    entry = {"name": "tiny", "weights": "Q4_1", "config": {"model_type": "llama", **values}}
    return entry | changes


@pytest.mark.parametrize("tables", ["Q8_0", "F16"])
def test_bytes_are_those_of_the_model_once_it_is_loaded(device: Device, tables: str) -> None:
    gguf = make_tiny_gguf(types={"embedding": tables})
    model = asyncio.run(load_model(device, MemorySource(gguf, "tiny"), lambda *_: None))
    try:
        found = fit_of(device, entry_of(model.config, **types_of(model)))
        window = min(256, model.config.max_position_embeddings)
        wanted = RunSettings(LoraConfig(), TrainConfig(max_seq_len=window, steps=1))
        speed = Speed(0.0, is_software=True)
        cut = partial(_cut, _some_text())
        plan = Planner(AdapterMode(model), device, cut, speed).plan(wanted)
        assert found.verdict == "fits"
        assert found.weights_bytes == model.weights_bytes
        assert found.total_bytes == plan.total_bytes
    finally:
        model.destroy()


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_a_folder_takes_what_was_said_however_it_is_quantized(
    device: Device, quantization: Quantization
) -> None:
    """The catalogue's entries that are folders are of BF16: what it says must then be so."""
    plain = {"projection": "F16", "embedding": "F16"}
    files = make_tiny_folder(make_tiny_gguf(types=plain), dtype="BF16")
    folder = as_folder(files)
    model = asyncio.run(load_model(device, folder, lambda *_: None, quantization))
    try:
        entry = {"name": "tiny", "weights": "BF16", "config": json.loads(files["config.json"])}
        found = fit_of(device, entry, quantization)
        assert found.verdict == "fits"
        assert found.weights_bytes == model.weights_bytes
    finally:
        model.destroy()


def types_of(model: Any) -> dict[str, str]:
    names = {"int4": "Q4_1", "int8": "Q8_0", "f16": "F16", "f32": "F32"}
    weights, tables = model.weights.layers[0].projections["o"], model.weights.embedding
    return {"weights": names[weights.format], "tables": names[tables.format]}


def test_a_smaller_device_is_tight_then_too_small(device: Device) -> None:
    entry = next(entry for entry in CATALOGUE if entry["weights"] == "Q4_1")
    roomy = fit_of(device, entry, device_memory_gb=8.0)
    assert roomy.verdict == "fits"
    weights = roomy.weights_bytes / 1e9
    tight = fit_of(device, entry, device_memory_gb=roomy.total_bytes / 1e9 * 0.9)
    assert tight.verdict == "tight"
    assert tight.total_bytes < roomy.total_bytes
    none = fit_of(device, entry, device_memory_gb=weights * 1.01)
    assert none.verdict == "none"
    assert not none.is_refused  # what a person said of the device may be wrong
    assert "GPU memory" in none.reason
    small: Any = LimitedDevice(device, 8 << 30, 8 * MIB, is_told=False)
    refused = fit_of(small, entry)
    assert (refused.verdict, refused.is_refused) == ("none", True)
    assert "choose a smaller model" in refused.reason


def test_the_time_follows_from_the_speed_of_the_device(device: Device) -> None:
    small, large = (
        next(one for one in CATALOGUE if one["name"] == f"SmolLM2-{size}-Instruct")
        for size in ("135M", "360M")
    )
    assert fit_of(device, small, device_memory_gb=16.0).seconds is None
    slow, fast = Speed(2.0, is_software=True), Speed(2000.0, is_software=False)
    times = [
        fit_of(device, entry, device_memory_gb=16.0, speed=speed).seconds or 0.0
        for entry, speed in ((small, slow), (large, slow), (small, fast))
    ]
    assert times[1] > 2 * times[0]
    assert times[0] == pytest.approx(1000 * times[2])


def test_quantizing_makes_room(device: Device) -> None:
    entry = next(entry for entry in CATALOGUE if entry["weights"] == "BF16")
    plain, int4 = fit_of(device, entry), fit_of(device, entry, "int4")
    assert int4.weights_bytes < 0.45 * plain.weights_bytes
    assert int4.total_bytes < plain.total_bytes


def test_what_does_not_load_is_said_before_it_is_fetched(device: Device) -> None:
    plain = entry_of(ModelShape.of(CATALOGUE[0]).config)
    qwen = plain | {"config": plain["config"] | {"model_type": "qwen2"}}
    for entry, word in (
        (qwen, "qwen2"),
        (plain | {"weights": "Q4_K"}, "Q4_K"),
        (plain | {"config": plain["config"] | {"rope_scaling": {"type": "linear"}}}, "rope"),
    ):
        found = fit_of(device, entry)
        assert (found.verdict, found.is_refused) == ("unsupported", True)
        assert word in found.reason
    assert fit_of(device, plain, "nf4").verdict == "unsupported"


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: str(entry["id"]))
def test_a_files_size_is_that_of_its_weights_and_a_header(entry: dict[str, Any]) -> None:
    shape = ModelShape.of(entry)
    config = shape.config
    norms = (2 * config.num_hidden_layers + 1) * config.hidden_size
    tables = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    is_gguf = entry["file"].endswith(".gguf")
    size = norms * (4 if is_gguf else 2)
    per_weight = {layout.name: layout.block_bytes / layout.block_weights for layout in LAYOUTS}
    head_rows = config.vocab_size * config.hidden_size
    projections = config.num_matmul_parameters - head_rows
    size += projections * per_weight[shape.weights] + tables * per_weight[shape.tables]
    parts = {part["name"]: part["size"] for part in entry["source"].get("files", ())}
    of_weights = parts.get(entry["file"], entry["bytes"])
    assert 0 < of_weights - size < (4 * MIB if is_gguf else MIB)


LAYOUTS = list(TENSOR_TYPES.values())


def test_the_catalogue_is_whole() -> None:
    assert len({entry["id"] for entry in CATALOGUE}) == len(CATALOGUE)
    for entry in CATALOGUE:
        assert entry["licence"] == "Apache-2.0"
        assert entry["page"].startswith("https://")
        source = entry["source"]
        if source["kind"] == "url":
            assert re.fullmatch(r"https://\S+/resolve/[0-9a-f]{40}/" + entry["file"], source["url"])
            assert re.fullmatch(r"[0-9a-f]{64}", source["sha256"])
        elif source["kind"] == "url-folder":
            assert re.fullmatch(r"https://\S+/resolve/[0-9a-f]{40}/", source["url"])
            files = {part["name"]: part for part in source["files"]}
            assert {"config.json", "tokenizer.json", entry["file"]} <= set(files)
            assert entry["bytes"] == sum(part["size"] for part in files.values())
            for part in files.values():
                assert re.fullmatch(r"[0-9a-f]{64}", part["sha256"])
        else:
            assert source == {"kind": "bundled"}
    config = ModelShape.of(CATALOGUE[0]).config
    assert replace(config, name="").vocab_size == 49152
