"""What `bench` measures: a file, quantized where asked, or random weights of a shape."""

from __future__ import annotations

from typing import Any

import pytest

from app.cli.arguments import build_parser
from app.cli.measure import bench
from app.errors import ConfigError
from app.gpu.device import Device
from app.io.source import MemorySource
from app.plan.bench import BenchStoppedError, run_bench
from app.train.control import RunControl
from tests.conftest import run
from tests.tiny_model import make_tiny_gguf


def test_only_a_file_can_be_quantized() -> None:
    options = build_parser().parse_args(["bench", "--quantize", "nf4"])
    with pytest.raises(ConfigError, match="nf4 was given without a model to quantize: name its"):
        run(bench(options))


@pytest.mark.gpu
def test_products_are_those_of_the_quantized_file(device: Device) -> None:
    source = MemorySource(make_tiny_gguf(types={"projection": "F16", "embedding": "F16"}))
    control, figures = RunControl(), list[dict[str, Any]]()

    def take(figure: dict[str, Any]) -> None:
        figures.append(figure)
        if figure["bench"].startswith("nf4"):
            control.stop()

    before = device.allocated_bytes
    with pytest.raises(BenchStoppedError):
        run(run_bench(device, take, source=source, quantization="nf4", control=control))
    assert device.allocated_bytes == before
    load = next(figure for figure in figures if figure["bench"] == "model_load")
    assert load["quantization"] == "nf4"
    assert figures[-1]["bench"] == "nf4_matmul_forward"
