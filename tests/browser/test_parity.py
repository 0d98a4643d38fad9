"""The browser and the native host train alike: the same session, the same losses and adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from app.io.adapter import adapter_from_bytes
from app.io.gguf_model import model_config_from_gguf
from app.io.source import ByteSource, MemorySource
from app.studio.session import Session
from tests.browser.studio import Studio
from tests.tiny_model import parse_gguf

LOSS_ATOL = 1e-3
"""DESIGN §5: per step. Measured: 5e-7, from the last bits that the compilers round apart."""

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 12
SETTINGS: dict[str, Any] = {
    "rank": 4,
    "max_seq_len": 32,
    "micro_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "steps": 5,
    "learning_rate": 0.01,
    "eval_fraction": 0,
    "seed": 7,
}


async def train_natively(gguf: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """Do in this process what the page does, and return the steps and the adapter's file."""
    from app.gpu.native import open_native_device

    messages: list[dict[str, Any]] = []

    async def open_source(source: bytes) -> ByteSource:
        return MemorySource(source, "tiny.gguf")

    session = Session(messages.append, open_native_device, open_source)
    await session.start()
    run: dict[str, Any] = {"corpus": {"text": TEXT}, "edits": SETTINGS, "keep_adapter": False}
    for number, request in enumerate(
        (
            {"type": "load-model", "source": gguf},
            {"type": "train", **run},
            {"type": "export-adapter"},
        )
    ):
        await session.handle({"id": number, **request})
        assert "error" not in messages[-1], messages[-1]
    steps = [message for message in messages if message.get("type") == "step"]
    return steps, messages[-1]["result"]["bytes"]


def test_browser_trains_as_the_native_host_does(
    open_tiny: Callable[[], Studio], tiny_gguf: bytes
) -> None:
    # Playwright's event loop lives in this thread: the native one gets a thread of its own.
    with ThreadPoolExecutor(1) as pool:
        native_steps, native_file = pool.submit(
            lambda: asyncio.run(train_natively(tiny_gguf))
        ).result()
    studio = open_tiny()
    studio.change_settings(**SETTINGS)
    studio.paste(TEXT)
    studio.wait_counted()
    steps = studio.train_to_end()

    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5]
    for name in ("num_tokens", "learning_rate", "skipped"):
        assert [step[name] for step in steps] == [step[name] for step in native_steps], name
    losses = np.array([step["loss"] for step in steps])
    native_losses = np.array([step["loss"] for step in native_steps])
    np.testing.assert_allclose(losses, native_losses, rtol=0, atol=LOSS_ATOL)
    assert losses[-1] < losses[0]

    config = model_config_from_gguf(parse_gguf(tiny_gguf))
    tensors, lora = adapter_from_bytes(studio.download_adapter(), None, config)
    native_tensors, native_lora = adapter_from_bytes(native_file, None, config)
    assert lora == native_lora
    assert tensors.keys() == native_tensors.keys()
    for key, (a, b) in tensors.items():
        native_a, native_b = native_tensors[key]
        # AdamW's first steps move each weight by about the learning rate, whatever its gradient:
        # an element whose gradient is rounding noise may go either way, but not many do.
        for ours, theirs in ((a, native_a), (b, native_b)):
            assert np.isfinite(ours).all()
            assert np.mean(np.abs(ours - theirs) > 1e-3) < 0.01, key
