"""Our adapters in PEFT and PEFT's in ours: same names, same update of every weight."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.config import TARGET_MODULES, LoraConfig
from app.errors import AdapterError
from app.io.adapter import read_adapter_dir, write_adapter_dir
from tests.io.test_adapter import LORA, MODEL, make_tensors
from tests.io.test_packed_adapter import rounded

pytestmark = [pytest.mark.peft, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def base() -> Any:
    """A random Hugging Face Llama of MODEL's shape."""
    pytest.importorskip("peft")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            hidden_size=MODEL.hidden_size,
            intermediate_size=MODEL.intermediate_size,
            num_hidden_layers=MODEL.num_hidden_layers,
            num_attention_heads=MODEL.num_attention_heads,
            num_key_value_heads=MODEL.num_key_value_heads,
            head_dim=MODEL.head_dim,
            vocab_size=MODEL.vocab_size,
        )
    )


def deltas(model: Any, name: str = "default") -> dict[str, np.ndarray]:
    """What the adapter adds to each weight, as PEFT itself computes it."""
    return {
        path.removeprefix("base_model.model."): module.get_delta_weight(name).detach().numpy()
        for path, module in model.named_modules()
        if hasattr(module, "get_delta_weight")
    }


@pytest.mark.parametrize(
    "lora", [LORA, LoraConfig(3, 7.5, ("q_proj", "down_proj")), LoraConfig(4, 8, adapter_bits=1)]
)
def test_peft_loads_ours_with_no_missing_or_unexpected_key(
    tmp_path: Path, base: Any, lora: LoraConfig
) -> None:
    import peft
    from peft.utils import load_peft_weights, set_peft_model_state_dict

    tensors = make_tensors(lora)
    if lora.adapter_bits < 32:
        tensors = rounded(tensors, lora.adapter_bits)
    write_adapter_dir(tmp_path, tensors, lora, MODEL, "base")
    with warnings.catch_warnings():
        # PEFT only warns where keys are missing; here that fails.
        warnings.simplefilter("error", UserWarning)
        model = peft.PeftModel.from_pretrained(base, tmp_path)
    result = set_peft_model_state_dict(model, load_peft_weights(tmp_path, device="cpu"))
    assert not result.unexpected_keys
    assert not [key for key in result.missing_keys if "lora_" in key]
    found = deltas(model)
    assert found.keys() == tensors.keys()
    for path, (a, b) in tensors.items():
        # One float32 product of rank 4 in another order.
        np.testing.assert_allclose(found[path], lora.scaling * (b @ a), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"target_modules": ["q_proj", "v_proj"]},
        {"target_modules": "all-linear"},
        {"layers_to_transform": [1]},
        {
            "rank_pattern": {"q_proj": 2, "model.layers.1.mlp.up_proj": 6, "^x.q_proj": 9},
            "alpha_pattern": {"self_attn.v_proj": 3, "^model.layers.0.mlp.down_proj": 64},
        },
        {"use_rslora": True, "rank_pattern": {"o_proj": 5}, "alpha_pattern": {"0.mlp.up_proj": 2}},
        {"target_modules": ["model.layers.0.self_attn.k_proj", "mlp.gate_proj"]},
        {"exclude_modules": ["k_proj", "layers.0.mlp.up_proj"]},
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_we_load_pefts_with_the_same_update_of_every_weight(
    tmp_path: Path, base: Any, settings: dict[str, Any], dtype: Any
) -> None:
    import peft
    import torch

    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=4,
        lora_alpha=8,
        **({"target_modules": list(TARGET_MODULES)} | settings),
    )
    model = peft.get_peft_model(base, config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn_like(parameter).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path)
    tensors, lora = read_adapter_dir(tmp_path, MODEL)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    expected = deltas(model)
    assert expected.keys() <= tensors.keys()
    for path, (a, b) in tensors.items():
        found = lora.scaling * (b @ a)
        # Zero where PEFT left the layer out; else float32 products in another order.
        np.testing.assert_allclose(found, expected.get(path, 0 * found), rtol=1e-5, atol=1e-4)


def test_a_file_without_its_folder_is_refused_not_guessed(tmp_path: Path, base: Any) -> None:
    import peft

    peft.get_peft_model(
        base, peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])
    ).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(AdapterError, match="does not carry its config"):
        read_adapter_dir(tmp_path, MODEL)
