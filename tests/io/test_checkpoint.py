"""Checkpoints: whole or not at all, and the one before where one is not sound."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from app.errors import CheckpointError, FormatError
from app.io.checkpoint import (
    CURRENT,
    clear_checkpoints,
    load_checkpoint,
    read_summary,
    save_checkpoint,
    tidy_checkpoints,
)
from app.io.checkpoint_format import Checkpoint, LazyArray
from app.io.checkpoint_store import CheckpointFile, DirectoryStore
from app.io.checkpoint_stream import stream_checkpoint
from app.io.safetensors import locate_exact_safetensors, read_safetensors, write_safetensors
from app.io.source import MemorySource
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
    assert run(locate_exact_safetensors(MemorySource(data)))[0]["x"].type == "U32"
    with pytest.raises(FormatError, match="has dtype U32, expected F32, F16 or BF16"):
        read_safetensors(data)
    with pytest.raises(FormatError, match="float32 or float16"):
        write_safetensors({"x": np.zeros(2, np.uint32)}, {})


class Killed(BaseException):
    """The page is closed."""


class Deadly(DirectoryStore):
    """A folder, until the n-th thing is done to it: then there is nobody left to tidy up."""

    def __init__(self, path: Path, left: int, room: int | None = None) -> None:
        super().__init__(path)
        self.left, self.room, self.written = left, room, 0

    def _live(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    async def create(self, name: str) -> CheckpointFile:
        self._live()
        file = await super().create(name)
        write, keep = file.write, file.keep

        async def counted(offset: int, data: bytes | memoryview) -> None:
            self._live()
            self.written += len(data)
            if self.room is not None and self.written > self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            await write(offset, data)

        async def kept() -> bool:
            self._live()
            return await keep()

        async def dropped() -> None:
            if self.left >= 0:
                await drop()
            file._file.close()  # type: ignore[attr-defined]

        drop = file.drop
        for given, instead in (("write", counted), ("keep", kept), ("drop", dropped)):
            setattr(file, given, instead)
        return file

    async def write(self, name: str, data: bytes) -> None:
        self._live()
        await super().write(name, data)

    async def remove(self, name: str) -> None:
        self._live()
        await super().remove(name)

    async def room_bytes(self) -> int | None:
        return self.room


def lazily(item: Checkpoint) -> Checkpoint:
    """Return a checkpoint whose arrays are elsewhere, but for one."""
    held = {name: array for name, array in item.arrays.items() if name == "history"}
    lazy = {name: LazyArray.of(array) for name, array in item.arrays.items() if name != "history"}
    return Checkpoint(item.run, item.step, item.document, held, lazy)


def whole(item: Checkpoint | None) -> dict[str, bytes]:
    assert item is not None
    read = {name: run(array.whole()).tobytes() for name, array in item.lazy.items()}
    return bits(item) | read


def test_one_that_is_streamed_is_the_same_file(tmp_path: Path) -> None:
    one, other = DirectoryStore(tmp_path / "one"), DirectoryStore(tmp_path / "other")
    run(save_checkpoint(one, checkpoint(5), {"step": 5}))
    told: list[float | None] = []
    run(stream_checkpoint(other, lazily(checkpoint(5)), {"step": 5}, told.append))
    assert run(one.names()) == run(other.names())
    for name in run(one.names()):
        assert run(one.read(name)) == run(other.read(name))
    assert told[-2:] == [1.0, None]
    found = run(load_checkpoint(other, is_lazy=lambda name: name.startswith("gpu.")))
    assert found is not None
    assert set(found.lazy) == {"gpu.adapter", "gpu.codes", "gpu.odd"}
    assert set(found.arrays) == {"history", "none"}
    assert whole(found) == bits(checkpoint(5))


def test_a_slice_at_a_time_it_is_the_same_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.io.checkpoint_format.SLICE_BYTES", 8)
    store = DirectoryStore(tmp_path)
    run(stream_checkpoint(store, lazily(checkpoint(5))))
    assert whole(run(load_checkpoint(store, is_lazy=lambda _: True))) == bits(checkpoint(5))
    newest = tmp_path / checkpoint(5).name
    data = bytearray(newest.read_bytes())
    data[-3] ^= 1
    newest.write_bytes(data)
    with pytest.raises(CheckpointError, match="begin the run anew"):
        run(load_checkpoint(store, is_lazy=lambda _: True))


def test_a_page_closed_between_any_two_writes_leaves_the_newest_that_was_whole(
    tmp_path: Path,
) -> None:
    for before in (0, 1, 2):
        for left in range(20):
            path = tmp_path / f"{before} {left}"
            for step in range(5, 5 * before + 1, 5):
                run(stream_checkpoint(DirectoryStore(path), lazily(checkpoint(step))))
            deadly = Deadly(path, left)
            with suppress(Killed):
                run(stream_checkpoint(deadly, lazily(checkpoint(15)), {"step": 15}))
            store = DirectoryStore(path)
            run(tidy_checkpoints(store))
            assert not [name for name in run(store.names()) if name.endswith(".part")]
            found = run(load_checkpoint(store))
            named = run(read_summary(store))
            if named == {"step": 15}:
                assert whole(found) == bits(checkpoint(15))
            elif before:
                assert whole(found) == bits(checkpoint(5 * before))
            else:
                assert found is None
                assert run(store.names()) == []
            if deadly.left >= 0:
                break
        else:
            pytest.fail("it never came to its end")
        assert left > 7


@pytest.mark.parametrize("room", [0, 60, 300])
def test_a_disk_that_fills_up_in_the_middle_leaves_the_last_good_one(
    tmp_path: Path, room: int
) -> None:
    run(stream_checkpoint(DirectoryStore(tmp_path), lazily(checkpoint(5))))
    with pytest.raises(CheckpointError, match=r"step 10 could not be kept \(No space left"):
        run(stream_checkpoint(Deadly(tmp_path, 99, room), lazily(checkpoint(10))))
    assert run(DirectoryStore(tmp_path).names()) == ["CURRENT", checkpoint(5).name]
    assert whole(run(load_checkpoint(DirectoryStore(tmp_path)))) == bits(checkpoint(5))


def test_two_are_kept_where_there_is_room_for_three(tmp_path: Path) -> None:
    def names(room: int | None, *steps: int) -> list[int]:
        for step in steps:
            store = Deadly(tmp_path, 99, room)
            store.written = -10_000  # the disk is never full: it only says how much it has
            run(stream_checkpoint(store, lazily(checkpoint(step))))
        kept = [name for name in run(DirectoryStore(tmp_path).names()) if name != "CURRENT"]
        return [int(name[20:28]) for name in kept]

    size = lazily(checkpoint(5)).size_bytes
    assert names(None, 5, 10, 15) == [10, 15]
    assert names(2 * size, 20) == [15, 20]
    assert names(2 * size - 1, 25) == [25]
    assert names(size, 30) == [30]
    assert names(None, 35) == [30, 35]
    room_bytes = run(DirectoryStore(tmp_path / "not" / "there").room_bytes())
    assert room_bytes is not None
    assert room_bytes > 0


def test_what_a_write_left_behind_goes_with_the_rest(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    run(stream_checkpoint(store, lazily(checkpoint(5))))
    (tmp_path / f"{checkpoint(10).name}.part").write_bytes(b"half")
    run(clear_checkpoints(store))
    assert run(store.names()) == []
