"""What the golden script and the golden tests share: the files, and all seeded arrays.

Arrays that a seed can give are not stored. They come from numpy's RandomState, whose streams
are frozen for good, in the order of `module_paths`: each layer's q, k, v, o, gate, up, down.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from app.config import TARGET_MODULES, LoraConfig, ModelConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

DIRECTORY = Path(__file__).parent / "smollm2"
TEXT_FILE = DIRECTORY / "text.txt"
VALUES_FILE = DIRECTORY / "golden.json"
LOGITS_FILE = DIRECTORY / "logits.npz"
GRADIENTS_FILE = DIRECTORY / "gradients.npz"
ADAPTER_DIRECTORY = DIRECTORY / "peft_adapter"

SEEDED_LORA = LoraConfig(rank=4, alpha=8)
"""Of the adapter that `seeded_adapter` gives: golden logits, losses and gradients."""

TRAINED_LORA = LoraConfig(rank=2, alpha=4)
"""Of the adapter in ADAPTER_DIRECTORY, from which the golden training runs start."""

SEEDED_ADAPTER_SEED = 20261121
PROJECTION_SEED = 7
NUM_PROJECTIONS = 4
NUM_FIRST_ELEMENTS = 8
B_BOUND = 0.1
"""Bound of the seeded B: an update about as large as a trained adapter's."""

FULL_GRADIENTS = (
    ("model.layers.0.self_attn.q_proj", 0),
    ("model.layers.0.self_attn.k_proj", 1),
    ("model.layers.17.mlp.down_proj", 0),
    ("model.layers.29.self_attn.q_proj", 1),
)
"""Tensors stored whole in GRADIENTS_FILE under `full_key`: module path and 0 for A, 1 for B.
The B of q and k show the row order; layer 0 has gone through the whole backward."""

LOGITS_STRIDE = 97
"""Golden logits are kept for the token ids 0, 97, 194, … beside the 32 largest."""

Float32Array = npt.NDArray[np.float32]
AdapterTensors = dict[str, tuple[Float32Array, Float32Array]]


def load_values() -> dict[str, Any]:
    """Return golden.json: token ids, losses, the greedy continuation, figures of the model."""
    values: dict[str, Any] = json.loads(VALUES_FILE.read_text())
    return values


def full_key(path: str, part: int) -> str:
    """Return the name in GRADIENTS_FILE of the whole gradient of A (part 0) or B (part 1)."""
    return f"{path}.lora_{'AB'[part]}"


def module_paths(config: ModelConfig) -> dict[str, str]:
    """Return HuggingFace path → projection name for every projection of every layer."""
    paths = {}
    for layer in range(config.num_hidden_layers):
        for module in TARGET_MODULES:
            part = "self_attn" if module in ("q_proj", "k_proj", "v_proj", "o_proj") else "mlp"
            paths[f"model.layers.{layer}.{part}.{module}"] = module
    return paths


def seeded_adapter(config: ModelConfig, lora: LoraConfig = SEEDED_LORA) -> AdapterTensors:
    """Adapter on all projections, A as PEFT draws it (in law, not in value), B not zero.

    A ~ U(-1/√in, 1/√in): Kaiming-uniform with a = √5.  B ~ U(-B_BOUND, B_BOUND).

    Returns:
        Module path → A (rank, in) and B (out, rank), float32, HuggingFace row order.
    """
    random = np.random.RandomState(SEEDED_ADAPTER_SEED)
    adapter = {}
    for path, module in module_paths(config).items():
        out_features, in_features = config.projection_shape(module)
        bound = 1 / np.sqrt(in_features)
        lora_a = random.uniform(-bound, bound, size=(lora.rank, in_features))
        lora_b = random.uniform(-B_BOUND, B_BOUND, size=(out_features, lora.rank))
        adapter[path] = lora_a.astype(np.float32), lora_b.astype(np.float32)
    return adapter


def summarize(gradients: Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> Float32Array:
    """Reduce each tensor to what tells it from any other at 13 numbers a tensor.

    [norm, tensor · r₁, …, tensor · r₄, first 8 elements]  with rᵢ standard normal, drawn anew
    for each tensor: a projection of an error e has standard deviation ‖e‖, so four of them
    near zero leave no room for a large one.

    Args:
        gradients: Module path → (dA, dB), any float type.

    Returns:
        (2 · modules, 13) float32; rows dA, dB of each module in the mapping's order.
    """
    random = np.random.RandomState(PROJECTION_SEED)
    rows: list[Float32Array] = []
    for pair in gradients.values():
        for tensor in pair:
            flat = np.asarray(tensor, np.float64).reshape(-1)
            vectors = random.standard_normal((NUM_PROJECTIONS, flat.size))
            row = np.hstack([np.linalg.norm(flat), vectors @ flat, flat[:NUM_FIRST_ELEMENTS]])
            rows.append(row.astype(np.float32))
    return np.array(rows)


def windows(token_ids: list[int], max_seq_len: int) -> list[list[int]]:
    """Consecutive windows of max_seq_len tokens, the last one kept if it has at least two."""
    cut = [token_ids[i : i + max_seq_len] for i in range(0, len(token_ids), max_seq_len)]
    return [window for window in cut if len(window) >= 2]
