"""A trained model that nobody downloaded: kept, offered after a reload, opened, let go."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.gpu.device import Device
from app.io.safetensors import read_safetensors
from tests.studio.conftest import Message, Page, chat_fields, run_fields
from tests.studio.reopened import Tight
from tests.studio.reopened import opened as reopened
from tests.studio.reopened import stop_at as press_stop_at
from tests.tiny_model import make_tiny_gguf

pytestmark = pytest.mark.gpu

FULL: Message = {"mode": "full", "steps": 4, "learning_rate": 5e-3, "eval_fraction": 0.2}
QUESTION = "What did the keeper write?"


class Disk:
    """A browser's storage: two folders that share what room there is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size: int | None = None
        self.checkpoints = Folder(path / "checkpoints", self)
        self.models = Folder(path / "tuned", self)

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.path.rglob("*") if path.is_file())

    @property
    def used(self) -> int:
        return sum(path.stat().st_size for path in self.files)


class Folder(Tight):
    """One of them."""

    def __init__(self, path: Path, disk: Disk) -> None:
        super().__init__(path)
        self.disk = disk

    async def room_bytes(self) -> int | None:
        return None if self.disk.size is None else max(0, self.disk.size - self.disk.used)


@contextmanager
def opened(device: Device, gguf: bytes, disk: Disk) -> Iterator[Page]:
    with reopened(device, gguf, disk.checkpoints, disk.models) as page:
        yield page


def ask(page: Page, kind: str, **fields: Any) -> Any:
    return asyncio.run(page.ask(kind, **fields))


def train(page: Page, *, stop_at: int = 0, **edits: Any) -> Message:
    press_stop_at(page, stop_at)
    result: Message = ask(page, "train", **run_fields(**FULL | edits), confirm_full=True)
    return result


def answer(page: Page) -> str:
    return str(ask(page, "chat", **chat_fields(QUESTION, False), use_tuned=True)["text"])


def downloaded(page: Page) -> tuple[dict[str, bytes], str]:
    """Return the weights and the record of a download."""
    before = len(page.events("model-piece"))
    told = ask(page, "export-model")
    data = bytearray(told["bytes"])
    for piece in page.events("model-piece")[before:]:
        data[piece["offset"] : piece["offset"] + len(piece["bytes"])] = piece["bytes"]
    archive = zipfile.ZipFile(io.BytesIO(bytes(data)))
    tensors, _ = read_safetensors(archive.read("model.safetensors"))
    weights = {name: tensor.tobytes() for name, tensor in tensors.items()}
    return weights, archive.read("run.json").decode()


@pytest.mark.parametrize("weights", ["f16", "f32", "int4"])
def test_a_reload_loses_no_trained_model(
    device: Device, tiny_gguf: bytes, tmp_path: Path, weights: str
) -> None:
    disk = Disk(tmp_path)
    fields = run_fields(**FULL, full_weights=weights)
    with opened(device, tiny_gguf, disk) as page:
        assert page.events("kept-model")[-1]["model"] is None
        train(page, full_weights=weights, checkpoint_every=2)
        told = page.events("tuned")[-1]["tuned"]
        assert (told["is_saved"], told["is_kept"], told["steps"]) == (False, True, 4)
        last = page.events("keeping")[-1]
        assert (last["is_model"], last["fraction"]) == (True, None)
        assert {path.parent.name for path in disk.files} == {"tuned"}  # no checkpoint stays
        said = answer(page)
        judged = ask(page, "evaluate", **fields, use_tuned=True)
    with opened(device, tiny_gguf, disk) as page:
        kept = page.events("kept-model")[-1]["model"]
        assert (kept["steps"], kept["is_this_model"]) == (4, True)
        assert kept["bytes"] == pytest.approx(disk.used, abs=20_000)
        assert page.events("tuned") == []
        before = device.allocated_bytes
        ask(page, "open-kept-model")
        assert page.events("tuned")[-1]["tuned"] == told
        assert device.allocated_bytes > before
        assert answer(page) == said
        again = ask(page, "evaluate", **fields, use_tuned=True)
        assert again == judged
        assert again["source"] == "held-out"
        found, record = downloaded(page)
        assert '"mode": "full"' in record
        assert found
        assert disk.files == []  # the person has it
        assert page.events("kept-model")[-1]["model"] is None
        assert page.statuses()[-1] == "ready"
        ask(page, "discard-model")
        assert device.allocated_bytes == before


def test_what_is_opened_is_to_the_bit_what_was_trained(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    one, other = Disk(tmp_path / "one"), Disk(tmp_path / "other")
    with opened(device, tiny_gguf, one) as page:
        train(page)
        wanted, _ = downloaded(page)
    with opened(device, tiny_gguf, other) as page:
        train(page)
    with opened(device, tiny_gguf, other) as page:
        ask(page, "open-kept-model")
        assert downloaded(page)[0] == wanted


def test_it_is_let_go_where_the_person_says_so(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    disk = Disk(tmp_path)
    with opened(device, tiny_gguf, disk) as page:
        train(page)
        ask(page, "discard-model")
        assert disk.files == []
        train(page)
        ask(page, "load-model", source="tiny.gguf", drop_tuned=True)
        assert disk.files == []
        train(page)
    with opened(device, tiny_gguf, disk) as page:
        ask(page, "discard-kept-model")
        assert page.events("kept-model")[-1]["model"] is None
        assert disk.files == []
        sentence = asyncio.run(page.refused("open-kept-model"))
        assert "no trained model is kept" in sentence.lower()
        train(page)  # deleted among what is stored while it is open
        ask(page, "discard-kept-model")
        told = page.events("tuned")[-1]["tuned"]
        assert (told["is_saved"], told["is_kept"]) == (False, False)


def test_another_run_takes_its_place_only_if_asked(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    disk = Disk(tmp_path)
    with opened(device, tiny_gguf, disk) as page:
        train(page)
    with opened(device, tiny_gguf, disk) as page:
        fields = run_fields(**FULL) | {"confirm_full": True}
        refused = asyncio.run(page.send("train", **fields))
        assert refused["kind"] == "UnsavedModelError"
        assert "would be lost" in refused["error"]
        assert len(disk.files) == 2
        asyncio.run(page.train())  # an adapter takes nothing's place
        ask(page, "load-model", source="tiny.gguf", drop_tuned=True)  # nor does a model
        assert len(disk.files) == 2
        ask(page, "train", **fields, drop_tuned=True)
        assert page.events("tuned")[-1]["tuned"]["is_kept"]
        assert len(disk.files) == 2


def test_a_stopped_run_has_both(device: Device, tiny_gguf: bytes, tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with opened(device, tiny_gguf, disk) as page:
        train(page, stop_at=2, steps=6, checkpoint_every=2)
        assert page.events("tuned")[-1]["tuned"]["is_kept"]
    with opened(device, tiny_gguf, disk) as page:
        assert page.events("resumable")[-1]["run"]["step"] == 2
        assert page.events("kept-model")[-1]["model"]["steps"] == 2
        ask(page, "train", **run_fields(), resume=True)  # of the same run: nothing is lost
        assert page.events("tuned")[-1]["tuned"]["steps"] == 6
        assert {path.parent.name for path in disk.files} == {"tuned"}
        assert len(disk.files) == 2


def test_another_model_is_named_and_other_weights_are_refused(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    disk = Disk(tmp_path)
    with opened(device, tiny_gguf, disk) as page:
        train(page)
        name = page.session.place.ready_model().base_name
    with opened(device, make_tiny_gguf(seed=7), disk) as page:
        before = device.allocated_bytes
        sentence = asyncio.run(page.refused("open-kept-model"))
        assert f"began as {name}" in sentence
        assert device.allocated_bytes == before
        assert len(disk.files) == 2
        asyncio.run(page.session.place.kept_models.announce("another"))
        kept = page.events("kept-model")[-1]["model"]
        assert (kept["base_name"], kept["is_this_model"]) == (name, False)


def test_room_is_checked_and_said(device: Device, tiny_gguf: bytes, tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with opened(device, tiny_gguf, disk) as page:

        def full() -> Message:
            plan = ask(page, "plan", **run_fields(**FULL))
            (mode,) = [mode for mode in plan["modes"] if mode["mode"] == "full"]
            found: Message = mode
            return found

        assert "stays in this browser until you download it" in full()["notes"][-2]
        disk.size = 1000
        warning, _ = (item["text"] for item in full()["warnings"][-2:])
        assert "cannot be kept in this browser, which has room for 1.0 kB" in warning
        train(page)
        told = page.events("tuned")[-1]["tuned"]
        assert (told["is_saved"], told["is_kept"]) == (False, False)
        (warning,) = [event["message"] for event in page.events("run-warning")]
        assert "has room for 1.0 kB: download the trained model before you leave" in warning
        assert disk.files == []
        ask(page, "discard-model")

        # A disk that says nothing and is full all the same.
        disk.size = None
        disk.checkpoints.holds = disk.models.holds = 50_000
        train(page)
        warning = page.events("run-warning")[-1]["message"]
        assert "could not be kept (No space left on device): download the trained" in warning
        assert page.statuses()[-1] == "ready"
        assert disk.files == []


def test_checkpoints_give_way_where_room_is_short(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    disk = Disk(tmp_path)

    def fill(message: Message) -> None:
        if message.get("type") == "checkpoint":
            disk.size = disk.used + 1000

    with opened(device, tiny_gguf, disk) as page:
        page.listen(fill)
        train(page, checkpoint_every=4)
        assert page.events("tuned")[-1]["tuned"]["is_kept"]
        assert page.events("run-warning") == []
        assert {path.parent.name for path in disk.files} == {"tuned"}


def test_a_damaged_one_is_refused_and_can_be_discarded(
    device: Device, tiny_gguf: bytes, tmp_path: Path
) -> None:
    disk = Disk(tmp_path)
    with opened(device, tiny_gguf, disk) as page:
        train(page)
    (path,) = [path for path in disk.files if path.suffix == ".safetensors"]
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with opened(device, tiny_gguf, disk) as page:
        before = device.allocated_bytes
        asyncio.run(page.refused("open-kept-model"))
        assert device.allocated_bytes == before
        assert page.statuses()[-1] == "ready"
        ask(page, "discard-kept-model")
        assert disk.files == []
