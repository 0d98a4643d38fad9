"""HuggingFace files become the same model as the GGUF file of the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import FormatError
from app.gpu.device import Device
from app.io.folder import ModelSource, open_model_path
from app.io.source import MemorySource
from app.models.loader import Model, load_model
from tests.conftest import run
from tests.nn.engine import SHAPE, logits_of, random_tokens
from tests.tiny_folder import as_folder, make_tiny_folder
from tests.tiny_model import CHAT_TEMPLATE, make_tiny_gguf
from tests.tolerances import ENGINE_LOGITS, assert_close

pytestmark = pytest.mark.gpu


def plain_gguf(dtype: str, **shape: Any) -> bytes:
    types = dict.fromkeys(("projection", "embedding", "head"), dtype)
    return make_tiny_gguf(**(SHAPE | shape), types=types)


def load(device: Device, source: ModelSource) -> Model:
    return run(load_model(device, source, lambda done, total: None))


def words_of(device: Device, model: Model) -> dict[str, bytes]:
    """Return the bytes of every weight buffer by label; frees the model."""
    words = {
        storage.label: run(device.read(storage.buffer, 0, storage.size_bytes))
        for storage in model.weights.storages()
    }
    model.destroy()
    return words


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_the_same_words_as_from_gguf(device: Device, dtype: str, tied: bool) -> None:
    gguf = plain_gguf(dtype, tied=tied)
    # Norms are F32 in the GGUF file whatever the rest is: here they come in the dtype too.
    expected = words_of(device, load(device, MemorySource(gguf, "tiny.gguf")))
    files = make_tiny_folder(gguf, dtype=dtype)
    found = words_of(device, load(device, as_folder(files)))
    assert found.keys() == expected.keys()
    for label, data in expected.items():
        if dtype != "F32" and "norm" in label:
            norms = (np.frombuffer(raw, np.float32) for raw in (found[label], data))
            np.testing.assert_allclose(*norms, rtol=2.0**-8)
        else:
            assert found[label] == data, label


@pytest.mark.parametrize("chunk_bytes", [1, 5000])
def test_shards_in_small_slices(
    device: Device, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    gguf = plain_gguf("F16")
    whole = words_of(device, load(device, as_folder(make_tiny_folder(gguf, dtype="F16"))))
    monkeypatch.setattr("app.models.upload.CHUNK_BYTES", chunk_bytes)
    files = make_tiny_folder(gguf, dtype="F16", shards=3)
    assert words_of(device, load(device, as_folder(files))) == whole


def test_a_folder_on_disk_is_a_whole_model(device: Device, tmp_path: Path) -> None:
    make_tiny_folder(plain_gguf("F32"), path=tmp_path / "my-model", shards=2)
    (tmp_path / "my-model" / "training_args.bin").write_bytes(b"not read")
    model = load(device, open_model_path(tmp_path / "my-model"))
    assert model.base_name == "my-model"
    assert model.chat_template == CHAT_TEMPLATE
    assert set(model.stop_token_ids) == {0, 2}
    assert model.tokenizer.decode(model.tokenizer.encode("the rain")) == "the rain"
    model.destroy()


@pytest.mark.peft
@pytest.mark.filterwarnings("ignore")
def test_transformers_agrees(device: Device, tmp_path: Path) -> None:
    """What `save_pretrained` writes gives the logits that transformers computes."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=320,
        rms_norm_eps=1e-5,
        rope_theta=20000.0,
        initializer_range=0.1,
    )
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        made = transformers.LlamaForCausalLM(config).to(dtype)
        made.save_pretrained(tmp_path, max_shard_size="60KB")
        theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
        files = make_tiny_folder(make_tiny_gguf(vocab=320))
        (tmp_path / "tokenizer.json").write_bytes(files["tokenizer.json"])
        model = load(device, open_model_path(tmp_path))
        tokens = random_tokens(model.config, 2, 11)
        with torch.no_grad():
            expected = theirs(torch.tensor(tokens.astype(np.int64))).logits.numpy()
        assert_close(logits_of(model, None, tokens), expected, ENGINE_LOGITS, f"{dtype} logits")
        model.destroy()


def test_a_tokenizer_larger_than_the_model_gives_everything_back(device: Device) -> None:
    files = make_tiny_folder(plain_gguf("F32"))
    other = make_tiny_folder(make_tiny_gguf(vocab=400))
    before = device.allocated_bytes
    with pytest.raises(FormatError, match=r"tokenizer\.json has 400 tokens and the model only"):
        load(device, as_folder(files | {"tokenizer.json": other["tokenizer.json"]}))
    assert device.allocated_bytes == before
