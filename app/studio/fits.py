"""Answers which models of a catalogue suit the device."""

from __future__ import annotations

import asyncio

from app.gpu.budget import MemoryBudget
from app.gpu.device import Device
from app.plan.fit import fit_of
from app.plan.speed import Speed
from app.studio.protocol import FitRequest, Message, to_message
from app.studio.settings import quantization_of


async def fits_of(device: Device, request: FitRequest, speed: Speed | None = None) -> Message:
    """Return how each model of a catalogue fits, and what is known of the device's memory.

    Raises:
        ConfigError: a quantization that there is not.
    """
    quantize, memory_gb = quantization_of(request), request.get("device_memory_gb")
    fits = []
    for entry in request["models"]:
        fits.append(to_message(fit_of(device, entry, quantize, memory_gb, speed)))
        await asyncio.sleep(0)  # a run may be on
    budget = MemoryBudget.of(device, memory_gb)
    return {
        "fits": fits,
        "budget_bytes": budget.memory_bytes,
        "is_assumed": budget.is_assumed,
        "source": budget.source,
        "is_software": device.info.is_software,
    }
