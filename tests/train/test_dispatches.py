"""How many launches a training step takes: each costs the host and the GPU some microseconds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.config import LoraConfig
from app.gpu.adapter import Limits
from app.gpu.device import Device
from app.gpu.tuning import GPU, SOFTWARE, Tuning
from app.models.loader import Model
from app.models.random import named_shape, random_model
from app.nn.adapter import Adapter
from app.train.step import TrainingGraphs, record_training

GIB = 1 << 30
MAX_DISPATCHES = 900
MAX_DISPATCHES_OF_A_LAYER = 24


class BlankDevice:
    """Enough of a device to record for: its buffers are names."""

    info = SimpleNamespace(is_software=False, name="blank", subgroup_size=0)
    limits = Limits(4 * GIB, 4 * GIB, 8, 16384, 256, 65535)

    def __init__(self, tuning: Tuning) -> None:
        self.tuning = tuning

    def create_buffer(self, size_bytes: int, label: str) -> Any:
        return label

    def destroy_buffer(self, buffer: Any) -> None:
        return None

    def write(self, buffer: Any, offset_bytes: int, data: Any) -> None:
        return None


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(cast("Device", BlankDevice(GPU)), named_shape("smollm2-135m"))


def record(model: Model, tuning: Tuning, batch: int, length: int, rank: int) -> TrainingGraphs:
    cast("BlankDevice", model.device).tuning = tuning
    adapter = Adapter(model.config, model.device, LoraConfig(rank=rank))
    return record_training(
        model, adapter, micro_batch_size=batch, seq_len=length, budget_bytes=16 * GIB
    )


@pytest.mark.parametrize(
    ("tuning", "batch", "length"),
    [(SOFTWARE, 1, 256), (SOFTWARE, 4, 256), (GPU, 1, 256), (GPU, 4, 256)],
)
@pytest.mark.parametrize("rank", [4, 16])
def test_a_step_of_thirty_layers(
    model: Model, tuning: Tuning, batch: int, length: int, rank: int
) -> None:
    graphs = record(model, tuning, batch, length, rank)
    assert not graphs.is_checkpointing
    assert len(graphs.micro_batch.nodes) + len(graphs.update.nodes) <= MAX_DISPATCHES


def test_a_layer_and_a_chunk_of_the_head(model: Model) -> None:
    """The head takes three launches a chunk of rows; one more sums the losses up."""
    one, two = (len(record(model, GPU, 1, rows, 4).micro_batch.nodes) for rows in (128, 256))
    assert two - one == 3
    # Not of a layer: embedding, last norm and its gradient, and the sum of the losses.
    of_layers = one - 3 - 4
    assert of_layers <= MAX_DISPATCHES_OF_A_LAYER * model.config.num_hidden_layers
