"""The twins against PyTorch, transformers and PEFT, where these are installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.reference.adamw import adamw, clip_scale
from app.reference.decoder import ReferenceDecoder
from tests.reference.tiny_model import LORA, tiny_adapter, tiny_weights
from tests.tolerances import TWIN_VS_TORCH, TWIN_VS_TRANSFORMERS, assert_close

pytestmark = [
    pytest.mark.peft,
    pytest.mark.filterwarnings("default"),  # transformers and torch deprecate their own parts
]

TOKENS = np.array([[3, 16, 0, 7, 7, 12, 9], [1, 2, 3, 4, 5, 6, 0]])


def _torch_model(*, tied: bool) -> tuple[Any, ReferenceDecoder]:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config, weights = tiny_weights(4, tied=tied)
    settings = transformers.LlamaConfig(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        vocab_size=config.vocab_size,
        rms_norm_eps=config.rms_norm_eps,
        rope_theta=config.rope_theta,
        tie_word_embeddings=tied,
        attn_implementation="eager",
    )
    model = transformers.LlamaForCausalLM(settings).to(torch.float64)
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == (["lm_head.weight"] if tied else [])
    assert unexpected == []
    return model, ReferenceDecoder(config, weights)


@pytest.mark.parametrize("tied", [True, False])
def test_logits_against_transformers(*, tied: bool) -> None:
    torch = pytest.importorskip("torch")
    model, decoder = _torch_model(tied=tied)
    with torch.no_grad():
        expected = model(torch.from_numpy(TOKENS)).logits.numpy()
    logits = decoder.forward(TOKENS)
    assert_close(logits, expected, TWIN_VS_TRANSFORMERS, "logits")


def test_gradients_against_peft() -> None:
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    model, decoder = _torch_model(tied=True)
    adapter = tiny_adapter(decoder.config, LORA, 5)
    wrapped = peft.get_peft_model(
        model,
        peft.LoraConfig(
            r=LORA.rank, lora_alpha=LORA.alpha, target_modules=list(LORA.target_modules)
        ),
        autocast_adapter_dtype=False,
    )
    parameters = dict(wrapped.named_parameters())
    for path, pair in adapter.items():
        for letter, array in zip("AB", pair, strict=True):
            name = f"base_model.model.{path}.lora_{letter}.default.weight"
            parameters[name].data = torch.from_numpy(array)
    expected_loss = wrapped(torch.from_numpy(TOKENS), labels=torch.from_numpy(TOKENS)).loss
    expected_loss.backward()
    targets = np.concatenate([TOKENS[:, 1:], np.full((2, 1), -100)], axis=1)
    loss, gradients = decoder.loss_and_gradients(TOKENS, targets, adapter, LORA)
    assert loss == pytest.approx(expected_loss.item(), rel=1e-5)
    for path, pair in gradients.items():
        for letter, gradient in zip("AB", pair, strict=True):
            name = f"base_model.model.{path}.lora_{letter}.default.weight"
            expected = parameters[name].grad.numpy()
            assert_close(gradient, expected, TWIN_VS_TRANSFORMERS, name)


@pytest.mark.parametrize("tied", [True, False])
def test_gradients_of_all_weights_against_transformers(*, tied: bool) -> None:
    torch = pytest.importorskip("torch")
    model, decoder = _torch_model(tied=tied)
    expected_loss = model(torch.from_numpy(TOKENS), labels=torch.from_numpy(TOKENS)).loss
    expected_loss.backward()
    targets = np.concatenate([TOKENS[:, 1:], np.full((2, 1), -100)], axis=1)
    loss, gradients = decoder.loss_and_weight_gradients(TOKENS, targets)
    assert loss == pytest.approx(expected_loss.item(), rel=1e-5)
    parameters = dict(model.named_parameters())
    assert parameters.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert_close(gradient, parameters[name].grad.numpy(), TWIN_VS_TRANSFORMERS, name)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_adamw_and_clipping_against_torch(weight_decay: float, max_norm: float) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(6)
    params = [rng.normal(size=shape) for shape in ((3, 4), (5,))]
    moments = [(np.zeros_like(param), np.zeros_like(param)) for param in params]
    tensors = [torch.nn.Parameter(torch.from_numpy(param.copy())) for param in params]
    optimizer = torch.optim.AdamW(tensors, lr=0.01, weight_decay=weight_decay)
    for step in range(1, 6):
        grads = [rng.normal(size=param.shape) for param in params]
        for tensor, grad in zip(tensors, grads, strict=True):
            tensor.grad = torch.from_numpy(grad.copy())
        torch.nn.utils.clip_grad_norm_(tensors, max_norm)
        optimizer.step()
        scale = clip_scale(grads, max_norm)
        for index, grad in enumerate(grads):
            params[index], *new_moments = adamw(
                params[index],
                grad,
                *moments[index],
                step=step,
                learning_rate=0.01,
                weight_decay=weight_decay,
                clip_scale=scale,
            )
            moments[index] = (new_moments[0], new_moments[1])
    for param, tensor in zip(params, tensors, strict=True):
        assert_close(param, tensor.detach().numpy(), TWIN_VS_TORCH, "param")
