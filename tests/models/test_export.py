"""A whole model written as a HuggingFace folder: read back by the engine and by transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.config import FullWeights
from app.errors import StudioError
from app.gpu.device import Device
from app.io.folder import open_model_path
from app.io.safetensors import read_safetensors
from app.models.export_files import write_model_dir
from app.models.loader import load_model
from tests.conftest import run
from tests.nn.engine import Tiny, load_tiny, logits_of, random_tokens
from tests.nn.full_engine import FullStep, weights_of
from tests.tolerances import ENGINE_LOGITS, assert_close

pytestmark = pytest.mark.gpu


def trained(device: Device, weights: FullWeights, *, tied: bool = True, heads: int = 6) -> Tiny:
    """Return a tiny model after one update, so that nothing of it is as it was loaded."""
    tiny = load_tiny(device, tied=tied, heads=heads)
    tokens = random_tokens(tiny.config, 2, 9)
    step = FullStep(tiny.model, tokens, weights=weights)
    step.add_gradients(np.roll(tokens, -1, axis=1), 1 / 18)
    step.update(1e-2)
    step.destroy()
    return tiny


@pytest.mark.parametrize("weights", ["f32", "f16", "int4"])
def test_the_engine_loads_what_it_wrote(
    device: Device, tmp_path: Path, weights: FullWeights
) -> None:
    tiny = trained(device, weights, tied=weights == "f16")
    run(write_model_dir(tmp_path, tiny.model))
    assert not list(tmp_path.glob("*.part"))
    again = run(load_model(device, open_model_path(tmp_path), lambda done, total: None))
    assert again.config.tie_word_embeddings == tiny.config.tie_word_embeddings
    assert again.tokenizer.encode("the cat") == tiny.model.tokenizer.encode("the cat")
    assert again.chat_template == tiny.model.chat_template
    expected = weights_of(tiny.model)
    for name, weight in weights_of(again).items():
        wanted = expected[name]
        if weights != "f32":  # norms are trained in f32, INT4 is dequantized in f32
            wanted = wanted.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(weight, wanted, name)
    again.destroy()
    tiny.model.destroy()


def test_names_and_settings_are_those_of_transformers(device: Device, tmp_path: Path) -> None:
    tiny = load_tiny(device)
    run(write_model_dir(tmp_path, tiny.model))
    tensors, metadata = read_safetensors((tmp_path / "model.safetensors").read_bytes())
    assert metadata == {"format": "pt"}
    assert tensors.keys() == tiny.reference.weights.keys()
    for name, weight in tensors.items():
        assert weight.shape == tiny.reference.weights[name].shape
    generation = json.loads((tmp_path / "generation_config.json").read_text())
    assert generation["eos_token_id"] == list(tiny.model.stop_token_ids)
    tiny.model.destroy()


def test_a_folder_that_cannot_be_written(device: Device, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tiny = load_tiny(device)
    with pytest.raises(StudioError, match="cannot write the model"):
        run(write_model_dir(tmp_path / "file" / "model", tiny.model))
    tiny.model.destroy()


@pytest.mark.peft
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("tied", [True, False])
def test_transformers_loads_it(device: Device, tmp_path: Path, *, tied: bool) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    # transformers wants a hidden size that is a multiple of the heads.
    tiny = trained(device, "f32", tied=tied, heads=4)
    run(write_model_dir(tmp_path, tiny.model))
    model, found = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, output_loading_info=True, dtype=torch.float32
    )
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    tokens = random_tokens(tiny.config, 2, 17)
    with torch.no_grad():
        expected = model(torch.from_numpy(tokens.astype(np.int64))).logits.numpy()
    assert_close(logits_of(tiny.model, None, tokens), expected, ENGINE_LOGITS, "logits")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "the cat is on the mat"
    assert tokenizer.encode(text) == tiny.model.tokenizer.encode(text)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert model.generation_config.eos_token_id == list(tiny.model.stop_token_ids)
    tiny.model.destroy()
