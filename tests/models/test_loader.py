"""From a GGUF file to logits; what loading takes, gives back and refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from app.errors import FormatError, OutOfGpuMemoryError, ShapeError, StudioError
from app.gpu.device import Device
from app.io.gguf_model import model_config_from_gguf
from app.io.gguf_writer import TensorData, write_gguf
from app.io.source import MemorySource
from app.models.llama import MatrixPart, plan_load
from app.models.loader import Model, load_model
from app.models.upload import cut
from app.reference.decoder import ReferenceDecoder
from app.reference.gguf_blocks import dequantize_blocks, quantize_blocks
from tests.conftest import run
from tests.nn.engine import SHAPE, load_tiny, logits_of, random_tokens
from tests.tiny_model import CHAT_TEMPLATE, dequantized_weights, make_tiny_gguf, parse_gguf
from tests.tolerances import ENGINE_LOGITS, assert_close

pytestmark = pytest.mark.gpu

TYPES = ("Q4_0", "Q4_1", "Q8_0", "F16", "BF16", "F32")


@pytest.fixture(autouse=True)
def _nothing_leaks(device: Device) -> Iterator[None]:
    before = device.allocated_bytes
    yield
    assert device.allocated_bytes == before


def tiny_gguf(**shape: Any) -> bytes:
    return make_tiny_gguf(**(SHAPE | shape))


def load(
    device: Device, data: bytes, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Model:
    return run(load_model(device, MemorySource(data, "tiny.gguf"), on_progress))


def assert_computes(model: Model, data: bytes) -> None:
    """Hold its logits against float64 on the dequantized weights of the file."""
    tokens = random_tokens(model.config, 2, 11)
    expected = ReferenceDecoder(model.config, dequantized_weights(data)).forward(tokens)
    assert_close(logits_of(model, None, tokens), expected, ENGINE_LOGITS, "logits")


def words_of(device: Device, model: Model) -> dict[str, bytes]:
    """Return the bytes of every weight buffer by label."""
    return {
        storage.label: run(device.read(storage.buffer, 0, storage.size_bytes))
        for storage in model.weights.storages()
    }


def requantized(data: bytes, types: dict[str, str]) -> bytes:
    """Return the file with some tensors in other types."""
    file = parse_gguf(data)
    tensors = []
    for tensor in file.tensors.values():
        raw = data[tensor.offset : tensor.offset + tensor.size_bytes]
        kind = types.get(tensor.name, tensor.type)
        if kind != tensor.type:
            raw = quantize_blocks(dequantize_blocks(raw, tensor.type, tensor.shape), kind)
        tensors.append(TensorData(tensor.name, tensor.shape, kind, raw))
    return write_gguf(file.metadata, tensors)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("index", range(6), ids=TYPES)
def test_every_type(device: Device, index: int, tied: bool) -> None:
    kinds = {
        "projection": TYPES[index],
        "embedding": TYPES[(index + 2 * tied) % 6],
        "head": TYPES[(index + 1) % 6],
    }
    data = tiny_gguf(types=kinds, tied=tied)
    model = load(device, data)
    assert model.config.tie_word_embeddings == tied
    assert (model.weights.head is model.weights.embedding) == tied
    assert_computes(model, data)
    model.destroy()


def test_q4_0_and_q4_1_share_a_layout(device: Device) -> None:
    data = requantized(tiny_gguf(), {"blk.0.attn_q.weight": "Q4_0", "blk.1.ffn_up.weight": "Q4_0"})
    model = load(device, data)
    assert_computes(model, data)
    model.destroy()


def test_each_layer_and_group_may_have_a_type_of_its_own(device: Device) -> None:
    kinds = {f"blk.0.attn_{name}.weight": "Q8_0" for name in "qkv"}
    data = requantized(tiny_gguf(), kinds | {"blk.1.attn_output.weight": "F16"})
    model = load(device, data)
    assert_computes(model, data)
    model.destroy()


def test_different_layouts_in_one_stack_are_refused(device: Device) -> None:
    data = requantized(tiny_gguf(), {"blk.1.attn_v.weight": "Q8_0"})
    with pytest.raises(FormatError, match=r"blk\.1\.attn_v\.weight Q8_0.*must have one type"):
        load(device, data)


def test_counts_every_byte_it_takes(device: Device) -> None:
    for tied in (True, False):
        before = device.allocated_bytes
        model = load(device, tiny_gguf(tied=tied))
        assert device.allocated_bytes - before == model.weights_bytes
        model.destroy()
        assert device.allocated_bytes == before
        model.destroy()  # twice does no harm


def test_knows_its_names_and_tokens(device: Device) -> None:
    model = load(device, tiny_gguf())
    assert model.base_name == "Tiny Random"
    assert model.chat_template == CHAT_TEMPLATE
    assert set(model.stop_token_ids) == {0, 2}  # <|endoftext|>, <|im_end|>
    model.destroy()
    bare = load(device, tiny_gguf(metadata={"general.name": None, "tokenizer.chat_template": None}))
    assert bare.base_name == "tiny.gguf"
    assert bare.chat_template is None
    bare.destroy()


def test_progress_is_monotone_and_complete(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.models.upload.CHUNK_BYTES", 2000)
    data = tiny_gguf(tied=False)
    heard: list[tuple[int, int]] = []
    model = load(device, data, lambda done, total: heard.append((done, total)))
    model.destroy()
    (total,) = {total for _, total in heard}
    assert total == sum(tensor.size_bytes for tensor in parse_gguf(data).tensors.values())
    done = [part for part, _ in heard]
    assert all(a < b for a, b in pairwise(done))
    assert done[-1] == total
    assert len(done) > 40


@pytest.mark.parametrize("kind", TYPES)
def test_small_chunks_give_the_same_weights(
    device: Device, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # 333 rows of the embedding: the last chunk is a single row, not always of whole words.
    data = tiny_gguf(layers=1, types={"projection": kind, "embedding": kind})
    whole = load(device, data)
    expected = words_of(device, whole)
    whole.destroy()
    for chunk_bytes in (1, 700):
        monkeypatch.setattr("app.models.upload.CHUNK_BYTES", chunk_bytes)
        model = load(device, data)
        found = words_of(device, model)
        model.destroy()
        assert found.keys() == expected.keys()
        for label, data_found in found.items():
            assert data_found == expected[label], label


def test_staging_is_no_larger_than_the_model(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    create = device.create_buffer

    def watched(size_bytes: int, label: str) -> Any:
        sizes.append(size_bytes)
        return create(size_bytes, label)

    monkeypatch.setattr(device, "create_buffer", watched)
    data = tiny_gguf()
    load(device, data).destroy()
    assert max(sizes) < len(data)


@pytest.mark.parametrize("limit", ["max_buffer_bytes", "max_binding_bytes"])
def test_a_model_too_large_is_refused_before_anything_is_allocated(
    device: Device, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(device, "limits", replace(device.limits, **{limit: 20_000}))
    monkeypatch.setattr(device, "create_buffer", lambda size, label: asked.append(label))
    with pytest.raises(OutOfGpuMemoryError, match=r"token_embd\.weight needs .* smaller model"):
        load(device, tiny_gguf())
    assert asked == []


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ({"head_dim": 8, "heads": 8}, ShapeError, "head_dim is 8"),
        ({"head_dim": 48, "heads": 2}, ShapeError, "head_dim is 48"),
        ({"hidden": 48, "types": {"projection": "F16", "embedding": "F16"}}, ShapeError, "of 32"),
    ],
    ids=str,
)
def test_shapes_without_kernels_are_refused_before_anything_is_allocated(
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
    shape: dict[str, Any],
    error: type[StudioError],
    message: str,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(device, "create_buffer", lambda size, label: asked.append(label))
    with pytest.raises(error, match=message):
        load(device, tiny_gguf(**shape))
    assert asked == []


def test_slices_cover_each_tensor_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_gguf(tied=False)
    file = parse_gguf(data)
    plan = plan_load(file, model_config_from_gguf(file))
    for chunk_bytes in (1, 700, 20_000, 1 << 20):
        monkeypatch.setattr("app.models.upload.CHUNK_BYTES", chunk_bytes)
        slices = cut(plan)
        covered: dict[str, list[tuple[int, int]]] = {}
        for item in slices:
            assert item.size_bytes <= chunk_bytes or len(item.pieces) == 1
            ends = [item.offset_bytes]
            staged = [0]
            for piece in item.pieces:
                start, end = piece.offset_bytes, piece.offset_bytes + piece.size_bytes
                assert ends[-1] <= start
                ends.append(end)
                covered.setdefault(piece.tensor.name, []).append((start, end))
                if isinstance(piece.target, MatrixPart):
                    assert piece.staging_bytes % 256 == 0
                    assert piece.staging_bytes >= staged[-1]
                    staged.append(piece.staging_bytes + piece.size_bytes + 4)
            assert ends[-1] == item.offset_bytes + item.size_bytes
            assert staged[-1] <= item.staging_bytes or len(staged) == 1
        for name, ranges in covered.items():
            tensor = file.tensors[name]
            assert ranges[0][0] == tensor.offset
            assert ranges[-1][1] == tensor.offset + tensor.size_bytes
            assert all(a[1] == b[0] for a, b in pairwise(ranges))
        assert covered.keys() == file.tensors.keys()
    assert len(slices) == 1


def test_the_next_slice_is_read_while_one_is_repacked(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.models.upload.CHUNK_BYTES", 2000)
    log: list[str] = []
    replay = device.run

    class Logged(MemorySource):
        async def chunk(self, offset: int, size: int) -> Any:
            log.append("read")
            return await super().chunk(offset, size)

    async def logged_run(program: Any, control: Any = None) -> bool:
        log.append("run")
        return await replay(program, control)

    monkeypatch.setattr(device, "run", logged_run)
    run(load_model(device, Logged(tiny_gguf()), lambda done, total: None)).destroy()
    ahead = [log[: index + 1].count("read") - log[: index + 1].count("run") for index in range(9)]
    assert max(ahead) == 2  # what is held in memory stays bounded
    assert log[:4] == ["read", "read", "run", "read"]
    assert log.count("read") == log.count("run")


def test_an_unknown_tokenizer_gives_everything_back(device: Device) -> None:
    before = device.allocated_bytes
    with pytest.raises(FormatError, match="tokenizer"):
        load(device, tiny_gguf(metadata={"tokenizer.ggml.pre": "martian"}))
    assert device.allocated_bytes == before


class Interrupted(MemorySource):
    """A file that cannot be read any further after some slices."""

    def __init__(self, data: bytes, slices: int) -> None:
        super().__init__(data)
        self.slices = slices

    async def chunk(self, offset: int, size: int) -> Any:
        self.slices -= 1
        if self.slices < 0:
            raise FormatError("the disk was pulled out")
        return await super().chunk(offset, size)


@pytest.mark.parametrize("slices", [0, 1, 7])
def test_an_interrupted_load_gives_everything_back(
    device: Device, monkeypatch: pytest.MonkeyPatch, slices: int
) -> None:
    monkeypatch.setattr("app.models.upload.CHUNK_BYTES", 2000)
    before = device.allocated_bytes
    with pytest.raises(FormatError, match="pulled out"):
        run(load_model(device, Interrupted(tiny_gguf(), slices), lambda done, total: None))
    assert device.allocated_bytes == before


@pytest.mark.parametrize("buffers", [0, 5, 30])
def test_a_full_gpu_gives_everything_back(
    device: Device, monkeypatch: pytest.MonkeyPatch, buffers: int
) -> None:
    monkeypatch.setattr("app.models.upload.CHUNK_BYTES", 2000)
    before = device.allocated_bytes
    create, left = device.create_buffer, [buffers]

    def limited(size_bytes: int, label: str) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OutOfGpuMemoryError(f"{label}: the GPU is out of memory")
        return create(size_bytes, label)

    monkeypatch.setattr(device, "create_buffer", limited)
    with pytest.raises(OutOfGpuMemoryError, match="out of memory"):
        load(device, tiny_gguf())
    assert device.allocated_bytes == before


def test_two_models_at_once_do_not_disturb_each_other(device: Device) -> None:
    first = load_tiny(device, seed=1)
    second = load_tiny(device, seed=2, layers=1)
    assert_computes(first.model, first.data)
    first.model.destroy()
    assert_computes(second.model, second.data)
    second.model.destroy()


def test_a_long_context_is_cut_to_what_the_engine_keeps(device: Device) -> None:
    data = tiny_gguf(layers=1, context=9000)
    model = load(device, data)
    assert model.config.max_position_embeddings == 9000
    assert model.weights.rope_table.shape == (8192, 8, 2)
    table = run(device.read(model.weights.rope_table.storage.buffer, 8191 * 64, 64))
    angles = 8191 * 10000.0 ** (-np.arange(8) / 8)
    expected = np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
    np.testing.assert_array_equal(np.frombuffer(table, np.float32).reshape(8, 2), expected)
    model.destroy()
