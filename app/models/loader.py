"""Bring a model from a file onto the GPU, in slices that never pass through Python's heap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.config import LOWRA_BITS, ModelConfig, Quantization
from app.errors import OutOfGpuMemoryError
from app.gpu.device import Device
from app.gpu.memory import padded
from app.io.folder import ModelSource
from app.messages import say
from app.models.checkpoint import Checkpoint, open_checkpoint
from app.models.llama import LoadPlan, plan_load
from app.models.lowra import check_budget, choose_channels, free_channels
from app.models.upload import upload
from app.nn.weights import DecoderWeights
from app.ops.rope import rope_table
from app.text.tokenizer import Tokenizer

END_OF_TURN = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>")


@dataclass(eq=False)
class Model:
    """A model on the GPU, with what is needed to talk to it.

    Attributes:
        quantization: What its projections became while they were loaded.
        bits: With lowra, how many of their weights have how many bits.
        version: Counts up whenever the weights change.
    """

    config: ModelConfig
    weights: DecoderWeights
    tokenizer: Tokenizer
    chat_template: str | None
    base_name: str
    device: Device
    quantization: Quantization = "none"
    bits: Mapping[int, int] | None = None
    version: int = 0

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer: end of text, and the ends of a turn that are in use."""
        ids = {self.tokenizer.eos_token_id}
        ids |= {self.tokenizer.token_id(text) for text in END_OF_TURN}
        return tuple(sorted(token for token in ids if token is not None))

    @property
    def weights_bytes(self) -> int:
        """Bytes the weights occupy on the GPU."""
        return sum(padded(storage.size_bytes) for storage in self.weights.storages())

    def destroy(self) -> None:
        """Free the weights."""
        free_weights(self.device, self.weights)


def free_weights(device: Device, weights: DecoderWeights) -> None:
    """Free the buffers that weights have so far."""
    for storage in weights.storages():
        if storage.buffer is not None:
            device.destroy_buffer(storage.buffer)
            storage.buffer = None


def free_own_weights(tuned: Model, base: Model) -> None:
    """Free the weights of a trained model that are not those of its base."""
    shared = set(base.weights.storages())
    for storage in tuned.weights.storages():
        if storage not in shared and storage.buffer is not None:
            tuned.device.destroy_buffer(storage.buffer)
            storage.buffer = None


async def load_model(
    device: Device,
    source: ModelSource,
    on_progress: Callable[[int, int], None],
    quantization: Quantization = "none",
    bits: float = LOWRA_BITS,
) -> Model:
    """Load a model from a GGUF file or from the files of a HuggingFace model.

    Args:
        device: Where the weights go.
        source: The file or files.
        on_progress: Called with (bytes uploaded, bytes in all).
        quantization: What F32, F16 and BF16 projections become; the embedding and the head then
            become INT8. What is in integers already stays as it is.
        bits: Average bits of a weight, with lowra.

    Raises:
        FormatError: a file is missing, truncated, corrupted, or of an architecture or type that
            is not supported; found out before anything is allocated. Its tokenizer is not known
            here; nothing stays allocated.
        ConfigError: fewer than 1 or more than 4 bits.
        OutOfGpuMemoryError: a weight is larger than the device allows; found out before
            anything is allocated.
    """
    check_budget(bits)
    checkpoint = await open_checkpoint(source)
    config = checkpoint.config
    plan = plan_load(checkpoint.table, config, quantization)
    check_weights_fit(device, plan.weights)
    counts = None
    try:
        for storage in plan.weights.storages():
            storage.buffer = device.create_buffer(padded(storage.size_bytes), storage.label)
        if quantization == "lowra":
            counts = await choose_channels(
                device, checkpoint.source, plan, bits, _half(on_progress, 0)
            )
            on_progress = _half(on_progress, 1)
        tokenizer = await _upload_and_tokenize(device, checkpoint, plan, on_progress)
        table = plan.weights.rope_table
        angles = rope_table(table.shape[0], config.head_dim, config.rope_theta)
        device.write(table.storage.buffer, 0, angles)
    except BaseException:
        free_weights(device, plan.weights)
        raise
    finally:
        free_channels(device, plan)
    name, template = checkpoint.base_name, checkpoint.chat_template
    kind = plan.quantization
    return Model(config, plan.weights, tokenizer, template, name, device, kind, counts)


def _half(on_progress: Callable[[int, int], None], passed: int) -> Callable[[int, int], None]:
    """Return what to call in the first (0) or second (1) of two passes over the file."""
    return lambda done, total: on_progress(passed * total + done, 2 * total)


async def _upload_and_tokenize(
    device: Device,
    checkpoint: Checkpoint,
    plan: LoadPlan,
    on_progress: Callable[[int, int], None],
) -> Tokenizer:
    """Fill the weights; build the tokenizer while the GPU has its first slice to repack."""
    begun = asyncio.Event()

    def progress(done: int, total: int) -> None:
        begun.set()
        on_progress(done, total)

    uploading = asyncio.ensure_future(upload(device, checkpoint.source, plan, progress))
    uploading.add_done_callback(lambda _: begun.set())
    try:
        await begun.wait()
        tokenizer = checkpoint.make_tokenizer()
        await uploading
    except BaseException:
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)
        raise
    return tokenizer


def check_weights_fit(device: Device, weights: DecoderWeights) -> None:
    """Refuse weights that the device cannot hold in one buffer or bind.

    Raises:
        OutOfGpuMemoryError: names the tensor, its size and the limit.
    """
    limit = min(device.limits.max_buffer_bytes, device.limits.max_binding_bytes)
    for storage in weights.storages():
        if padded(storage.size_bytes) > limit:
            raise OutOfGpuMemoryError(
                say(
                    "{label} needs {size_bytes} MiB in one buffer but {name} allows {limit} MiB: "
                    "choose a smaller model",
                    label=storage.label,
                    size_bytes=f"{storage.size_bytes / 2**20:.0f}",
                    name=device.info.name,
                    limit=f"{limit / 2**20:.0f}",
                )
            )
