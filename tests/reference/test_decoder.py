"""The whole tiny decoder: gradients by finite differences, logits against transformers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.errors import ShapeError
from app.reference.decoder import ReferenceDecoder
from tests.reference.gradcheck import numeric_gradient
from tests.reference.tiny_model import LORA, tiny_adapter, tiny_weights
from tests.tolerances import EXACT, FINITE_DIFFERENCE, TWIN_VS_TORCH, assert_close

TOKENS = np.array([[3, 16, 0, 7, 7], [1, 2, 3, 4, 5]])
TARGETS = np.array([[16, 0, 7, 7, -100], [2, -100, 4, 5, 6]])


def test_gradients_of_the_whole_decoder() -> None:
    config, weights = tiny_weights(0)
    adapter = tiny_adapter(config, LORA, 1)
    decoder = ReferenceDecoder(config, weights)

    def loss() -> float:
        return decoder.loss_and_gradients(TOKENS, TARGETS, adapter, LORA)[0]

    _, gradients = decoder.loss_and_gradients(TOKENS, TARGETS, adapter, LORA)
    assert gradients.keys() == adapter.keys()
    assert len(adapter) == 14
    for path, (lora_a, lora_b) in adapter.items():
        da, db = gradients[path]
        assert_close(da, numeric_gradient(loss, lora_a), FINITE_DIFFERENCE, f"dA of {path}")
        assert_close(db, numeric_gradient(loss, lora_b), FINITE_DIFFERENCE, f"dB of {path}")


def test_loss_is_the_mean_over_targets() -> None:
    config, weights = tiny_weights(0, tied=False)
    decoder = ReferenceDecoder(config, weights)
    logits = decoder.forward(TOKENS)
    log_softmax = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    kept = TARGETS != -100
    expected = -float(np.mean(log_softmax[kept, TARGETS[kept]]))
    assert decoder.loss_and_gradients(TOKENS, TARGETS, {}, LORA)[0] == pytest.approx(expected)
    halved, _ = decoder.loss_and_gradients(TOKENS, TARGETS, {}, LORA, normalizer=16)
    assert halved == pytest.approx(expected / 2)


def test_adapter_on_some_modules_only() -> None:
    config, weights = tiny_weights(0)
    lora = replace(LORA, target_modules=("v_proj",))
    some = tiny_adapter(config, lora, 1)
    all_modules = {
        path: some.get(path, (0 * lora_a, 0 * lora_b))
        for path, (lora_a, lora_b) in tiny_adapter(config, LORA, 1).items()
    }
    decoder = ReferenceDecoder(config, weights)
    loss, gradients = decoder.loss_and_gradients(TOKENS, TARGETS, some, lora)
    all_loss, all_gradients = decoder.loss_and_gradients(TOKENS, TARGETS, all_modules, LORA)
    assert loss == pytest.approx(all_loss, rel=1e-12)
    assert gradients.keys() == some.keys()
    for path, (da, db) in gradients.items():
        assert_close(da, all_gradients[path][0], TWIN_VS_TORCH, f"dA of {path}")
        assert_close(db, all_gradients[path][1], TWIN_VS_TORCH, f"dB of {path}")


def test_zero_b_changes_nothing_and_a_adapter_does() -> None:
    config, weights = tiny_weights(0)
    adapter = tiny_adapter(config, LORA, 1)
    zero_b = {path: (lora_a, 0 * lora_b) for path, (lora_a, lora_b) in adapter.items()}
    decoder = ReferenceDecoder(config, weights)
    base = decoder.forward(TOKENS)
    assert_close(decoder.forward(TOKENS, zero_b, LORA), base, EXACT, "logits with zero B")
    assert np.abs(decoder.forward(TOKENS, adapter, LORA) - base).max() > 0.1


def test_refuses_what_does_not_fit() -> None:
    config, weights = tiny_weights(0)
    adapter = tiny_adapter(config, LORA, 1)
    decoder = ReferenceDecoder(config, weights)
    with pytest.raises(ShapeError, match="without its LoraConfig"):
        decoder.forward(TOKENS, adapter)
    with pytest.raises(ShapeError, match=r"targets have shape \(2, 4\)"):
        decoder.loss_and_gradients(TOKENS, TARGETS[:, 1:], adapter, LORA)
