"""Open what a command works with: the device, the model, an adapter."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.cli.output import Output
from app.gpu.device import Device
from app.io.adapter import read_adapter_dir
from app.io.folder import open_model_path
from app.models.loader import Model, load_model
from app.nn.adapter import Adapter
from app.plan.tuning_cache import FileStore
from app.plan.tuning_policy import settle_tuning


async def open_device() -> Device:
    """Return the native device; raises NoAdapterError where there is none."""
    from app.gpu.native import open_native_device

    return await open_native_device()


async def open_model(
    options: argparse.Namespace, output: Output, *, may_measure: bool = False
) -> Model:
    """Load the model and tune its device; `--tune auto` measures where `may_measure`."""
    device = await open_device()
    output.progress(f"{device.info.name}: loading {options.model.name}")
    model = await load_model(
        device,
        open_model_path(options.model),
        lambda done, total: None,
        options.quantize,
        options.quantize_bits,
    )
    if options.quantize != "none":
        output.progress(_quantized(model))
    settled = await settle_tuning(
        model,
        FileStore(),
        options.tune,
        may_measure=may_measure,
        on_progress=lambda name, share: output.progress(f"{share:4.0%} tuning {name}"),
    )
    if settled.source == "measured" and settled.report is not None:
        output.progress(f"tuned in {settled.report.seconds:.1f} s; kept for the next run")
    return model


def _quantized(model: Model) -> str:
    """Say what quantizing on load came to."""
    if model.quantization == "none":
        return "the file's weights are quantized already: they are loaded as they are"
    size = f"{model.weights_bytes / 2**20:.1f} MiB on the GPU"
    if model.bits is not None:
        total = sum(model.bits.values())
        shares = ", ".join(f"{n / total:.1%} in {bits}" for bits, n in model.bits.items())
        average = sum(bits * n for bits, n in model.bits.items()) / total
        size = (
            f"{average:.2f} bits a weight ({shares}) and half a bit of scales; this experiment "
            f"keeps them in INT4's layout, {size}"
        )
    return f"quantized to {model.quantization} while loading: {size}"


def open_adapter(model: Model, path: Path) -> Adapter:
    """Return the adapter of a PEFT directory; StudioError where it does not fit the model."""
    tensors, lora = read_adapter_dir(path, model.config)
    adapter = Adapter(model.config, model.device, lora)
    adapter.load(tensors)
    return adapter
