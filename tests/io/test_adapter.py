"""PEFT adapters out and in: names, scales, ranks, and everything that must be refused."""

import json
import math
import re
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from app.config import TARGET_MODULES, LoraConfig, ModelConfig
from app.errors import AdapterError, FormatError
from app.io.adapter import (
    AdapterTensors,
    adapter_config_json,
    adapter_from_bytes,
    adapter_shapes,
    adapter_to_safetensors,
    embedded_config,
    parse_config_bytes,
)
from app.io.safetensors import read_safetensors, write_safetensors

MODEL = ModelConfig(
    architecture="llama",
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    vocab_size=320,
    max_position_embeddings=512,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    tie_word_embeddings=True,
)
Q0 = "model.layers.0.self_attn.q_proj"
PREFIX = "base_model.model."


def make_tensors(lora: LoraConfig, seed: int = 0) -> AdapterTensors:
    rng = np.random.default_rng(seed)
    return {
        path: (
            rng.standard_normal((lora.rank, in_features), dtype=np.float32),
            rng.standard_normal((out_features, lora.rank), dtype=np.float32),
        )
        for path, (out_features, in_features) in adapter_shapes(MODEL).items()
        if path.rsplit(".", 1)[-1] in lora.target_modules
    }


def cast(array: np.ndarray, dtype: Any) -> np.ndarray:
    with np.errstate(under="ignore"):  # small values become subnormal halves
        return array.astype(dtype)


def foreign_file(tensors: AdapterTensors, dtype: Any = np.float32, segment: str = "") -> bytes:
    """A file as PEFT writes it, by the safetensors package."""
    arrays = {}
    for path, (a, b) in tensors.items():
        arrays[f"{PREFIX}{path}.lora_A{segment}.weight"] = cast(a, dtype)
        arrays[f"{PREFIX}{path}.lora_B{segment}.weight"] = cast(b, dtype)
    return safetensors.numpy.save(arrays, {"format": "pt"})


def foreign_config(**changes: Any) -> dict[str, Any]:
    config = {
        "peft_type": "LORA",
        "r": 4,
        "lora_alpha": 8,
        "target_modules": list(TARGET_MODULES),
        "bias": "none",
        "some_future_field": {"x": 1},
    }
    return config | changes


def update_of(tensors: AdapterTensors, lora: LoraConfig, path: str) -> np.ndarray:
    a, b = tensors[path]
    return lora.scaling * (b.astype(np.float64) @ a.astype(np.float64))


LORA = LoraConfig(4, 8)


def test_shapes_cover_every_projection() -> None:
    shapes = adapter_shapes(MODEL)
    assert len(shapes) == 14
    assert shapes["model.layers.1.self_attn.k_proj"] == (32, 64)
    assert shapes["model.layers.1.mlp.down_proj"] == (64, 128)


def test_export_has_pefts_names_and_carries_its_config() -> None:
    tensors = make_tensors(LORA)
    data = adapter_to_safetensors(tensors, LORA, MODEL, "HuggingFaceTB/SmolLM2-135M-Instruct")
    arrays = safetensors.numpy.load(data)
    assert len(arrays) == 28
    np.testing.assert_array_equal(arrays[f"{PREFIX}{Q0}.lora_A.weight"], tensors[Q0][0])
    np.testing.assert_array_equal(arrays[f"{PREFIX}{Q0}.lora_B.weight"], tensors[Q0][1])
    metadata = read_safetensors(data)[1]
    assert metadata["format"] == "pt"
    assert embedded_config(data) == adapter_config_json(LORA, "HuggingFaceTB/SmolLM2-135M-Instruct")


def test_round_trip_is_exact_from_the_one_file() -> None:
    for lora in (LORA, LoraConfig(3, 7.3), LoraConfig(16, 16, ("q_proj", "v_proj"))):
        tensors = make_tensors(lora)
        data = adapter_to_safetensors(tensors, lora, MODEL, "base")
        found, settings = adapter_from_bytes(data, None, MODEL)
        assert settings == lora
        assert found.keys() == tensors.keys()
        for path, pair in tensors.items():
            for half, expected in zip(found[path], pair, strict=True):
                assert half.dtype == np.float32
                np.testing.assert_array_equal(half, expected)


def test_alpha_is_whole_wherever_it_can_be() -> None:
    assert json.dumps(adapter_config_json(LoraConfig(4, 8.0), "m")["lora_alpha"]) == "8"
    assert json.dumps(adapter_config_json(LoraConfig(4, 8.5), "m")["lora_alpha"]) == "8.5"


def test_config_has_what_each_consumer_asks_for() -> None:
    config = adapter_config_json(LoraConfig(8, 16, ("q_proj", "v_proj")), "owner/name")
    expected = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "owner/name",
        "r": 8,
        "lora_alpha": 16,
        "target_modules": ["q_proj", "v_proj"],
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        "inference_mode": True,
    }
    assert config.items() >= expected.items()


def test_export_pads_lower_ranks_with_zeros() -> None:
    tensors = make_tensors(LORA)
    a, b = tensors[Q0]
    tensors[Q0] = (a[:2].copy(), b[:, :2].copy())
    found, _ = adapter_from_bytes(adapter_to_safetensors(tensors, LORA, MODEL, "m"), None, MODEL)
    assert found[Q0][0].shape == (4, 64)
    np.testing.assert_array_equal(found[Q0][0][:2], a[:2])
    np.testing.assert_array_equal(found[Q0][1] @ found[Q0][0], b[:, :2] @ a[:2])


def test_export_refuses_what_could_not_be_read_back() -> None:
    tensors = make_tensors(LORA)
    a, b = tensors[Q0]
    cases = [
        ({Q0: (a, b * np.float32(np.nan))}, r"q_proj\.lora_B.*found 256 values that are NaN"),
        ({Q0: (a[:, :32], b)}, r"lora_A\.weight: found shape \(4, 32\), expected \(4, 64\)"),
        ({Q0: (a, b[:, :3])}, r"lora_B\.weight: found shape \(64, 3\), expected \(64, 4\)"),
        ({Q0: (np.ones((5, 64), np.float32), b)}, "expected 1 to 4 rows"),
        ({"model.layers.2.self_attn.q_proj": (a, b)}, "not a target of this adapter"),
    ]
    for change, message in cases:
        with pytest.raises(AdapterError, match=message):
            adapter_to_safetensors(tensors | change, LORA, MODEL, "m")
    del tensors[Q0]
    with pytest.raises(AdapterError, match=r"layers\.0\.self_attn\.q_proj is missing"):
        adapter_to_safetensors(tensors, LORA, MODEL, "m")


@pytest.mark.parametrize("segment", ["", ".default", ".my-adapter"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_reads_plain_peft_files(segment: str, dtype: Any) -> None:
    tensors = make_tensors(LORA)
    found, lora = adapter_from_bytes(foreign_file(tensors, dtype, segment), foreign_config(), MODEL)
    assert lora == LORA
    for path, pair in tensors.items():
        for half, expected in zip(found[path], pair, strict=True):
            np.testing.assert_array_equal(half, cast(expected, dtype).astype(np.float32))


def test_reads_bfloat16() -> None:
    tensors = make_tensors(LORA)
    header, body = {}, b""
    for path, pair in tensors.items():
        for half, array in zip("AB", pair, strict=True):
            raw = (array.view(np.uint32) >> 16).astype("<u2").tobytes()
            header[f"{PREFIX}{path}.lora_{half}.weight"] = {
                "dtype": "BF16",
                "shape": list(array.shape),
                "data_offsets": [len(body), len(body) + len(raw)],
            }
            body += raw
    text = json.dumps(header).encode()
    data = len(text).to_bytes(8, "little") + text + body
    found, _ = adapter_from_bytes(data, foreign_config(), MODEL)
    for path, pair in tensors.items():
        # Cutting the lower half loses at most 2^-7 of a value.
        for found_half, expected in zip(found[path], pair, strict=True):
            np.testing.assert_allclose(found_half, expected, rtol=2**-7)


def test_rank_stabilised_scale_becomes_a_plain_one() -> None:
    tensors = make_tensors(LORA)
    found, lora = adapter_from_bytes(foreign_file(tensors), foreign_config(use_rslora=True), MODEL)
    assert lora.scaling == pytest.approx(8 / math.sqrt(4), rel=1e-15)
    np.testing.assert_array_equal(found[Q0][1], tensors[Q0][1])


@pytest.mark.parametrize("use_rslora", [False, True])
def test_patterns_are_folded_into_one_rank_and_one_scale(use_rslora: bool) -> None:
    ranks = {"q_proj": 2, "model.layers.1.mlp.up_proj": 6}
    alphas = {"self_attn.v_proj": 3, "^model.layers.0.mlp.down_proj$": 64.0}
    rng = np.random.default_rng(3)
    tensors, updates = {}, {}
    for path, (out_features, in_features) in adapter_shapes(MODEL).items():
        rank = 6 if path == "model.layers.1.mlp.up_proj" else 2 if path.endswith("q_proj") else 4
        alpha = 3 if path.endswith("v_proj") else 64 if path.endswith("0.mlp.down_proj") else 8
        a = rng.standard_normal((rank, in_features), dtype=np.float32)
        b = rng.standard_normal((out_features, rank), dtype=np.float32)
        tensors[path] = (a, b)
        scale = alpha / (math.sqrt(rank) if use_rslora else rank)
        updates[path] = scale * (b.astype(np.float64) @ a.astype(np.float64))
    config = foreign_config(rank_pattern=ranks, alpha_pattern=alphas, use_rslora=use_rslora)
    found, lora = adapter_from_bytes(foreign_file(tensors), config, MODEL)
    assert lora.rank == 6
    for path, expected in updates.items():
        assert found[path][0].shape[0] == found[path][1].shape[1] == 6
        # B is rounded to float32 once; six products then differ by at most a few ulp.
        error = np.abs(update_of(found, lora, path) - expected).max()
        assert error <= 2**-22 * np.abs(expected).max()


def test_partial_targets_are_accepted() -> None:
    lora = LoraConfig(4, 8, ("q_proj", "v_proj"))
    tensors = make_tensors(lora)
    for targets in (["v_proj", "q_proj"], r".*\.(q|v)_proj", "all-linear"):
        config = foreign_config(target_modules=targets)
        found, settings = adapter_from_bytes(foreign_file(tensors), config, MODEL)
        assert settings == lora
        assert found.keys() == tensors.keys()


def test_layers_left_out_on_purpose_are_zero() -> None:
    tensors = {path: pair for path, pair in make_tensors(LORA).items() if ".1." in path}
    for config in (
        foreign_config(layers_to_transform=[1]),
        foreign_config(layers_to_transform=1),
        foreign_config(exclude_modules=[path for path in adapter_shapes(MODEL) if ".0." in path]),
        foreign_config(target_modules=list(tensors)),
    ):
        found, lora = adapter_from_bytes(foreign_file(tensors), config, MODEL)
        assert lora == LORA
        assert found.keys() == adapter_shapes(MODEL).keys()
        for path, (a, b) in found.items():
            assert a.any() == b.any() == (".1." in path)


def test_an_adapter_without_config_says_what_to_give() -> None:
    with pytest.raises(AdapterError, match="drop both files together"):
        adapter_from_bytes(foreign_file(make_tensors(LORA)), None, MODEL)


def test_a_given_config_wins_over_the_carried_one() -> None:
    data = adapter_to_safetensors(make_tensors(LORA), LORA, MODEL, "m")
    assert adapter_from_bytes(data, foreign_config(lora_alpha=2), MODEL)[1].alpha == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3', expected 'LORA'"),
        ({"peft_type": None}, "peft_type is None"),
        ({"use_dora": True}, "use_dora is True, expected none: DoRA"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save is \['lm_head'\]"),
        ({"lora_bias": True}, "lora_bias is True"),
        ({"bias": "lora_only"}, "bias is 'lora_only', expected 'none'"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out is True"),
        ({"trainable_token_indices": [1]}, "trained token embeddings"),
        ({"alora_invocation_tokens": [1]}, "activated LoRA"),
        ({"layer_replication": [[0, 1]]}, "replicated layers"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights is 'pissa_niter_4'"),
        ({"init_lora_weights": ["x"]}, "init_lora_weights is"),
        ({"use_rslora": "yes"}, "use_rslora is 'yes'"),
        ({"r": 0}, "r is 0, expected a whole number from 1 to 256"),
        ({"r": -5}, "r is -5"),
        ({"r": 257}, "r is 257"),
        ({"r": 4.0}, "r is 4.0"),
        ({"r": True}, "r is True"),
        ({"r": None}, "r is None"),
        ({"lora_alpha": 0}, "lora_alpha is 0"),
        ({"lora_alpha": -8}, "lora_alpha is -8"),
        ({"lora_alpha": float("nan")}, "lora_alpha is nan"),
        ({"lora_alpha": float("inf")}, "lora_alpha is inf"),
        ({"lora_alpha": "8"}, "lora_alpha is '8'"),
        ({"lora_alpha": 10**400}, "lora_alpha is 1000"),
        ({"rank_pattern": {"q_proj": 0}}, r"rank_pattern\['q_proj'\] is 0"),
        ({"rank_pattern": []}, "rank_pattern is"),
        ({"alpha_pattern": {"q_proj": "x"}}, r"alpha_pattern\['q_proj'\] is 'x'"),
        ({"alpha_pattern": {"(a+)+$": 4}}, "not a regular expression"),
        ({"target_modules": ["c_attn"]}, r"is \['c_attn'\], expected some of q_proj"),
        ({"target_modules": ["q_proj", "lm_head"]}, r"target_modules is \['lm_head'\]"),
        ({"target_modules": []}, r"target_modules is \[\]"),
        ({"target_modules": None}, "target_modules is None"),
        ({"target_modules": [3]}, "a list of module names"),
        ({"exclude_modules": "x.*"}, "exclude_modules is"),
        ({"layers_to_transform": "all"}, "layers_to_transform is 'all'"),
        ({"layers_to_transform": [0]}, r"layers\.1\..*does not target this module"),
        ({"target_modules": ["q_proj"]}, "does not target this module"),
        ({"r": 8}, r"lora_A\.weight: found shape \(4, 128\), expected \(8, 128\)"),
        ({"rank_pattern": {"v_proj": 2}}, r"v_proj.*found shape \(4, 64\), expected \(2, 64\)"),
    ],
)  # fmt: skip
def test_refuses_other_settings_with_the_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        adapter_from_bytes(foreign_file(make_tensors(LORA)), foreign_config(**change), MODEL)


def test_refuses_other_tensors_by_name() -> None:
    good = {
        f"{PREFIX}{path}.lora_{half}.weight": array
        for path, pair in make_tensors(LORA).items()
        for half, array in zip("AB", pair, strict=True)
    }
    a_key, b_key = f"{PREFIX}{Q0}.lora_A.weight", f"{PREFIX}{Q0}.lora_B.weight"
    one = np.ones(4, np.float32)
    poisoned = good[b_key].copy()
    poisoned[3, 2] = np.inf
    cases: list[tuple[dict[str, Any], str]] = [
        ({b_key: None}, f"{b_key}: found none, expected one"),
        ({a_key: None}, f"{a_key}: found none, expected one"),
        ({a_key: None, b_key: None}, f"{a_key}: found none, expected one"),
        ({b_key: poisoned}, f"{b_key}: found 1 values that are NaN or infinite"),
        ({a_key: good[a_key] * np.float32(np.nan)}, f"{a_key}: found 256 values that are NaN"),
        ({a_key: good[a_key][:, :-1].copy()}, f"{a_key}: found shape (4, 63), expected (4, 64)"),
        ({b_key: good[b_key].T.copy()}, f"{b_key}: found shape (4, 64), expected (64, 4)"),
        ({b_key: one}, f"{b_key}: found shape (4,), expected (64, 4)"),
        ({f"{PREFIX}{Q0}.lora_A.x.weight": good[a_key]}, "found a second lora_A of this module"),
        ({f"{PREFIX}{Q0}.lora_magnitude_vector": one}, "found a DoRA magnitude"),
        ({f"{PREFIX}{Q0}.lora_B.bias": one}, "found a bias"),
        ({f"{PREFIX}lm_head.lora_A.weight": one}, "adapted embedding or head"),
        ({f"{PREFIX}model.embed_tokens.weight": one}, "adapted embedding or head"),
        ({f"{PREFIX}model.norm.weight": one}, "a tensor that plain LoRA does not have"),
        ({"__proto__": one}, "a tensor that plain LoRA does not have"),
        ({Q0 + ".lora_A.weight": one}, "a tensor that plain LoRA does not have"),
        (
            {f"{PREFIX}model.layers.2.mlp.up_proj.lora_A.weight": one},
            "found layer 2, expected layers 0 to 1",
        ),
        (
            {f"{PREFIX}model.layers.0.mlp.fc1.lora_A.weight": one},
            "found module model.layers.0.mlp.fc1",
        ),
        (
            {f"{PREFIX}model.layers.00.mlp.up_proj.lora_A.weight": one},
            "a tensor that plain LoRA does not have",
        ),
    ]
    for change, message in cases:
        arrays = {key: array for key, array in (good | change).items() if array is not None}
        with pytest.raises(AdapterError, match=re.escape(message)):
            adapter_from_bytes(write_safetensors(arrays, {}), foreign_config(), MODEL)
    with pytest.raises(AdapterError, match="holds no LoRA tensors"):
        adapter_from_bytes(write_safetensors({}, {}), foreign_config(), MODEL)


def test_another_models_adapter_is_named_as_such() -> None:
    wide = np.ones((4, 2048), np.float32)
    tensors = make_tensors(LORA)
    tensors[Q0] = (wide, tensors[Q0][1])
    config = foreign_config(base_model_name_or_path="TinyLlama/TinyLlama-1.1B")
    with pytest.raises(
        AdapterError,
        match=r"found shape \(4, 2048\), expected \(4, 64\) for the loaded model "
        r"\(the adapter was made for 'TinyLlama/TinyLlama-1.1B'\)",
    ):
        adapter_from_bytes(foreign_file(tensors), config, MODEL)


def test_a_lying_header_is_a_format_error() -> None:
    data = adapter_to_safetensors(make_tensors(LORA), LORA, MODEL, "m")
    with pytest.raises(FormatError, match="truncated"):
        adapter_from_bytes(data[:-4], None, MODEL)


def test_a_carried_config_that_is_broken_is_refused() -> None:
    arrays = read_safetensors(foreign_file(make_tensors(LORA)))[0]
    for text, message in (
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("[" * 100_000, "not valid JSON"),
        (" " * (1 << 20) + "{}", "the limit is 1,048,576"),
    ):
        with pytest.raises(AdapterError, match=message):
            adapter_from_bytes(write_safetensors(arrays, {"adapter_config": text}), None, MODEL)
    with pytest.raises(AdapterError, match="not valid JSON"):
        parse_config_bytes(b"\xff\xfe\xff")
