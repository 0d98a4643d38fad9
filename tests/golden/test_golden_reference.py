"""The golden files are sound, and the float64 numpy decoder agrees with PyTorch on the real model.

PyTorch and PEFT computed the golden values; the numpy twins were written from the formulas.
Where both agree, the engine may be held against either.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from app.config import ModelConfig
from app.io.gguf import model_config_from_gguf
from app.reference.adamw import adamw
from app.reference.decoder import ReferenceDecoder
from tests.golden import golden_data as golden
from tests.tiny_model import dequantized_weights, parse_gguf
from tests.tolerances import (
    EXACT,
    REFERENCE_GRADIENT_NMSE,
    REFERENCE_GRADIENT_NORM_REL,
    REFERENCE_LOGITS,
    REFERENCE_LOSS_ABS,
    REFERENCE_STEP_LOSS_REL,
    assert_close,
    nmse,
)

pytestmark = pytest.mark.golden

MAX_BYTES = 3_000_000
NUM_MODULES = 30 * 7

NUM_STEPS = 5
"""Of the ten golden ones: float64 takes its time, and all ten were seen to agree."""


@pytest.fixture(scope="module")
def decoder(real_model: Path) -> ReferenceDecoder:
    data = real_model.read_bytes()
    assert hashlib.sha256(data).hexdigest() == golden.load_values()["model_sha256"]
    return ReferenceDecoder(model_config_from_gguf(parse_gguf(data)), dequantized_weights(data))


def test_files_are_small_and_agree_with_each_other() -> None:
    size = sum(file.stat().st_size for file in golden.DIRECTORY.rglob("*") if file.is_file())
    assert size <= MAX_BYTES
    values = golden.load_values()
    cut = golden.windows(values["token_ids"], values["eval_max_seq_len"])
    predicted = np.array([len(window) - 1 for window in cut])
    assert len(cut) == len(values["window_losses_base"]) >= 11
    assert predicted.sum() == values["eval_num_predicted"]
    mean = float(predicted @ values["window_losses_base"] / predicted.sum())
    assert values["eval_loss_base"] == pytest.approx(mean, rel=1e-9)
    # With B at zero the first step sees the base model.
    assert values["train_losses_128"][0] == pytest.approx(values["window_losses_base"][0], rel=1e-5)
    assert values["train_losses_32"][0] == pytest.approx(values["short_losses_base"][0], rel=1e-5)
    assert values["train_eval_loss_after_128"] < values["eval_loss_base"] - 0.1
    assert values["gradient_loss"] == pytest.approx(values["short_losses_adapter"][0], rel=1e-5)
    assert len(values["greedy_token_ids"]) == 24
    assert values["greedy_smallest_margin"] > 0.05


def test_gradient_summary_agrees_with_the_whole_gradients() -> None:
    with np.load(golden.GRADIENTS_FILE) as stored:
        summary = stored["summary"]
        assert summary.shape == (2 * NUM_MODULES, 13)
        assert np.isfinite(summary).all()
        assert summary[:, 0].min() > 0
        paths = [f"model.layers.{layer}" for layer in range(30)]
        for path, part in golden.FULL_GRADIENTS:
            order = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
            layer, module = path.rsplit(".", 2)[0], path.rsplit(".", 1)[1]
            row = summary[2 * (7 * paths.index(layer) + order.index(module)) + part]
            full = stored[golden.full_key(path, part)]
            assert row[0] == pytest.approx(np.linalg.norm(full), rel=1e-5)
            assert_close(row[5:], full.reshape(-1)[:8], EXACT, path)


def test_adapter_is_as_peft_starts_it() -> None:
    tensors = load_file(golden.ADAPTER_DIRECTORY / "adapter_model.safetensors")
    assert len(tensors) == 2 * NUM_MODULES
    for name, tensor in tensors.items():
        assert name.startswith("base_model.model.model.layers.")
        assert tensor.dtype == np.float16
        if name.endswith("lora_A.weight"):
            bound = 1 / np.sqrt(tensor.shape[1])
            assert 0.9 * bound < np.abs(tensor).max() <= 1.001 * bound
        else:
            assert not tensor.any()


@pytest.mark.parametrize("kind", ["base", "adapter"])
def test_logits_of_the_real_model(decoder: ReferenceDecoder, kind: str) -> None:
    adapter = golden.seeded_adapter(decoder.config) if kind == "adapter" else None
    with np.load(golden.LOGITS_FILE) as stored:
        kept = stored["positions"] < 32
        positions = stored["positions"][kept]
        tokens = np.array([golden.load_values()["token_ids"][: positions.max() + 1]])
        logits = decoder.forward(tokens, adapter, golden.SEEDED_LORA)[0, positions]
        assert positions.tolist() == [0, 1, 31]
        top_ids = stored[f"{kind}_top_ids"][kept]
        assert logits.argmax(axis=-1).tolist() == top_ids[:, 0].tolist()
        top = np.take_along_axis(logits, top_ids, axis=-1)
        assert_close(top, stored[f"{kind}_top_logits"][kept], REFERENCE_LOGITS, "top logits")
        part = logits[:, :: golden.LOGITS_STRIDE]
        assert_close(part, stored[f"{kind}_slice"][kept], REFERENCE_LOGITS, "logits")


def test_loss_and_gradients_of_the_real_model(decoder: ReferenceDecoder) -> None:
    values = golden.load_values()
    window = np.array([values["token_ids"][: values["short_max_seq_len"]]])
    targets = np.concatenate([window[:, 1:], [[-100]]], axis=1)
    base_loss, _ = decoder.loss_and_gradients(window, targets, {}, golden.SEEDED_LORA)
    assert abs(base_loss - values["short_losses_base"][0]) <= REFERENCE_LOSS_ABS
    adapter = golden.seeded_adapter(decoder.config)
    loss, found = decoder.loss_and_gradients(window, targets, adapter, golden.SEEDED_LORA)
    assert abs(loss - values["short_losses_adapter"][0]) <= REFERENCE_LOSS_ABS

    gradients = {path: found[path] for path in golden.module_paths(decoder.config)}
    assert len(gradients) == NUM_MODULES
    with np.load(golden.GRADIENTS_FILE) as stored:
        expected = stored["summary"]
        for row, expected_row in zip(golden.summarize(gradients), expected, strict=True):
            # The projections of an error as large as the gradient's norm times ε are about ε·norm.
            error = np.abs(row - expected_row).max() / expected_row[0]
            assert error**2 <= 16 * REFERENCE_GRADIENT_NMSE
        for path, part in golden.FULL_GRADIENTS:
            key = golden.full_key(path, part)
            assert nmse(gradients[path][part], stored[key]) <= REFERENCE_GRADIENT_NMSE, key


def test_training_steps_on_the_real_model(decoder: ReferenceDecoder) -> None:
    values = golden.load_values()
    stored = load_file(golden.ADAPTER_DIRECTORY / "adapter_model.safetensors")
    state = {}
    for path in golden.module_paths(decoder.config):
        pair = [stored[f"base_model.model.{path}.lora_{part}.weight"] for part in "AB"]
        state[path] = [(tensor, 0 * tensor, 0 * tensor) for tensor in pair]
    cut = golden.windows(values["token_ids"], 32)[:NUM_STEPS]
    for step, window in enumerate(cut, start=1):
        adapter = {path: (a[0], b[0]) for path, (a, b) in state.items()}
        tokens, targets = np.array([window]), np.array([[*window[1:], -100]])
        loss, gradients = decoder.loss_and_gradients(tokens, targets, adapter, golden.TRAINED_LORA)
        expected = values["train_losses_32"][step - 1], values["train_grad_norms_32"][step - 1]
        assert loss == pytest.approx(expected[0], rel=REFERENCE_STEP_LOSS_REL), step
        norm = np.sqrt(sum(float(np.sum(g**2)) for pair in gradients.values() for g in pair))
        assert norm == pytest.approx(expected[1], rel=REFERENCE_GRADIENT_NORM_REL), step
        for path, tensors in state.items():
            state[path] = [
                adamw(
                    *(tensor[0], gradient, tensor[1], tensor[2]),
                    step=step,
                    learning_rate=values["learning_rate"],
                    weight_decay=0.0,
                )
                for tensor, gradient in zip(tensors, gradients[path], strict=True)
            ]


def test_config_of_the_real_model(decoder: ReferenceDecoder) -> None:
    config: ModelConfig = decoder.config
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (9, 3, 64)
    assert (config.rope_theta, config.tie_word_embeddings) == (100000.0, True)
