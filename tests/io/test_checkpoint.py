"""Checkpoints: whole or not at all, and the one before where one is not sound."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from app.errors import CheckpointError, FormatError
from app.io.checkpoint import (
    CURRENT,
    Checkpoint,
    DirectoryStore,
    clear_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from app.io.safetensors import read_exact_safetensors, read_safetensors, write_safetensors
from tests.conftest import run

NAN_BITS = np.array([0x7F800001, 0x7FC12345, 0xFF800000, 0x80000000], np.uint32)
"""A signalling NaN, a quiet one with a payload, −infinity, −0."""


def checkpoint(step: int, name: str = "0badcafe") -> Checkpoint:
    arrays = {
        "gpu.adapter": np.arange(step, step + 9, dtype=np.float32),
        "gpu.odd": NAN_BITS.view(np.float32),
        "gpu.codes": np.array([1, 2**32 - 1], np.uint32),
        "history": np.full((2, 3), np.pi),
        "none": np.zeros((0, 3)),
    }
    return Checkpoint(name, step, {"settings": {"rank": 4, "text": "é\n"}}, arrays)


def bits(item: Checkpoint) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in item.arrays.items()}


class FailingStore(DirectoryStore):
    """Fails, or loses bytes, at the n-th write."""

    def __init__(self, path: Path, at: int, *, torn: bool = False) -> None:
        super().__init__(path)
        self.at, self.torn, self.writes = at, torn, 0

    async def write(self, name: str, data: bytes) -> None:
        self.writes += 1
        if self.writes != self.at:
            await super().write(name, data)
        elif self.torn:
            await super().write(name, data[: len(data) // 2])
        else:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_every_bit_comes_back(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "new" / "folder")
    assert run(load_checkpoint(store)) is None
    wanted = checkpoint(7)
    run(save_checkpoint(store, wanted))
    found = run(load_checkpoint(store))
    assert found is not None
    assert (found.run, found.step, found.document) == (wanted.run, 7, wanted.document)
    assert bits(found) == bits(wanted)
    assert {name: a.shape for name, a in found.arrays.items()}["history"] == (2, 3)


def test_the_two_newest_of_a_run_are_kept(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    for step in (5, 10, 15, 15):
        run(save_checkpoint(store, checkpoint(step)))
    assert run(store.names()) == [
        "CURRENT",
        "checkpoint-0badcafe-00000010.safetensors",
        "checkpoint-0badcafe-00000015.safetensors",
    ]
    (tmp_path / "notes.txt").write_text("not ours")
    run(save_checkpoint(store, checkpoint(3, "12345678")))
    assert run(store.names()) == [
        "CURRENT",
        "checkpoint-12345678-00000003.safetensors",
        "notes.txt",
    ]
    run(clear_checkpoints(store))
    assert run(store.names()) == ["notes.txt"]


@pytest.mark.parametrize("harm", ["torn", "one bit", "empty", "missing", "other"])
def test_one_that_is_not_sound_is_skipped_for_the_one_before(tmp_path: Path, harm: str) -> None:
    store = DirectoryStore(tmp_path)
    run(save_checkpoint(store, checkpoint(5)))
    run(save_checkpoint(store, checkpoint(10)))
    newest = tmp_path / checkpoint(10).name
    data = bytearray(newest.read_bytes())
    if harm == "one bit":
        data[-20] ^= 4
    damaged = {"torn": data[:-9], "one bit": data, "empty": b"", "other": write_safetensors({}, {})}
    if harm == "missing":
        newest.unlink()
    else:
        newest.write_bytes(damaged[harm])
    said: list[str] = []
    found = run(load_checkpoint(store, said.append))
    assert found is not None
    assert found.step == 5
    assert bits(found) == bits(checkpoint(5))
    (sentence,) = said
    assert newest.name in sentence

    (tmp_path / checkpoint(5).name).write_bytes(b"12345678")
    with pytest.raises(CheckpointError, match="begin the run anew"):
        run(load_checkpoint(store))


@pytest.mark.parametrize("manifest", [b"", b"{", b'{"version":1}', b'{"version":9}', b"\xff", None])
def test_without_a_sound_manifest_the_files_themselves_count(
    tmp_path: Path, manifest: bytes | None
) -> None:
    store = DirectoryStore(tmp_path)
    run(save_checkpoint(store, checkpoint(5)))
    run(save_checkpoint(store, checkpoint(10)))
    if manifest is None:
        (tmp_path / CURRENT).unlink()
    else:
        (tmp_path / CURRENT).write_bytes(manifest)
    found = run(load_checkpoint(store))
    assert found is not None
    assert found.step == 10


@pytest.mark.parametrize("at", [1, 2])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, at: int) -> None:
    run(save_checkpoint(DirectoryStore(tmp_path), checkpoint(5)))
    with pytest.raises(CheckpointError, match=r"step 10 could not be kept \(No space left"):
        run(save_checkpoint(FailingStore(tmp_path, at), checkpoint(10)))
    found = run(load_checkpoint(DirectoryStore(tmp_path)))
    assert found is not None
    assert found.step == 5
    assert not list(tmp_path.glob("*.part"))
    assert not (tmp_path / checkpoint(10).name).exists()


def test_a_write_that_lost_bytes_is_noticed_at_once(tmp_path: Path) -> None:
    run(save_checkpoint(DirectoryStore(tmp_path), checkpoint(5)))
    with pytest.raises(CheckpointError, match="reads back otherwise"):
        run(save_checkpoint(FailingStore(tmp_path, 1, torn=True), checkpoint(10)))
    found = run(load_checkpoint(DirectoryStore(tmp_path)))
    assert found is not None
    assert found.step == 5


def test_exact_arrays_are_not_read_as_an_adapter() -> None:
    data = write_safetensors({"x": np.zeros(2, np.uint32)}, {}, is_exact=True)
    assert read_exact_safetensors(data)[0]["x"].dtype == np.uint32
    with pytest.raises(FormatError, match="has dtype U32, expected F32, F16 or BF16"):
        read_safetensors(data)
    with pytest.raises(FormatError, match="float32 or float16"):
        write_safetensors({"x": np.zeros(2, np.uint32)}, {})
