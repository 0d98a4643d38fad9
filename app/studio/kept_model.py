"""The trained model that nobody downloaded yet: kept where a reload does not lose it.

It is a file like a checkpoint's, of weights alone, in a folder of its own. There is one at most:
another run of all weights takes its place, and is asked about first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from app import __version__
from app.config import FullWeights
from app.errors import CheckpointError
from app.gpu.budget import format_bytes
from app.gpu.graph import Storage, Tensor
from app.gpu.memory import padded
from app.io.checkpoint import (
    clear_checkpoints,
    load_checkpoint,
    make_room,
    read_summary,
    tidy_checkpoints,
)
from app.io.checkpoint_format import Checkpoint
from app.io.checkpoint_store import CheckpointStore
from app.io.checkpoint_stream import OnWritten, stream_checkpoint
from app.messages import say
from app.models.loader import Model, free_own_weights
from app.nn.trainable import TrainableWeights
from app.nn.weights import DecoderWeights
from app.runs.identity import model_fingerprint
from app.runs.resumed import readable
from app.studio.protocol import KeptModel, KeptModelEvent, TunedInfo
from app.studio.provenance import LearntTexts, learnt_texts
from app.train.state import bring_arrays, lazy_arrays


@dataclass(frozen=True)
class Tuned:
    """A trained model, and what there is to say of it.

    Attributes:
        model: Its weights are its own; its tokenizer is the base's.
        weights: Format that it was trained in.
        run: What the checkpoints of its run are called by.
        record: The text of run.json, '' while there is none.
        texts: What it learnt from.
    """

    model: Model
    weights: FullWeights
    info: TunedInfo
    run: str
    record: str
    texts: LearntTexts


class KeptModels:
    """Keeps the one trained model; the page hears of it when it is there and not open."""

    def __init__(
        self,
        post: Callable[[Any], None],
        store: CheckpointStore | None,
        checkpoints: CheckpointStore | None,
    ) -> None:
        """Keep it in `store`, if there is one; `checkpoints` of its run give way to it."""
        self._post = post
        self._store = store
        self._checkpoints = checkpoints
        self._run = ""

    @property
    def run(self) -> str:
        """The run whose model is kept, '' where none is."""
        return self._run

    async def announce(self, base_name: str) -> None:
        """Tell the page of the model that is kept, or that there is none."""
        summary = None
        if self._store is not None:
            await tidy_checkpoints(self._store)
            summary = await read_summary(self._store)
        self._run, kept = "", None
        if summary is not None:
            try:
                kept = KeptModel(
                    steps=int(summary["steps"]),
                    saved_at=str(summary["saved_at"]),
                    base_name=str(summary["base_name"]),
                    is_this_model=summary["base_name"] == base_name,
                    bytes=int(summary["bytes"]),
                )
                self._run = str(summary["run"])
            except (KeyError, TypeError, ValueError):
                kept = None
        self._post(KeptModelEvent(kept))

    async def keep(
        self, tuned: Tuned, base: Model, on_written: OnWritten, *, is_finished: bool
    ) -> bool:
        """Write a trained model; what was kept before gives way.

        Args:
            tuned: What to write.
            base: What it began as.
            on_written: Told how far it is.
            is_finished: Nobody goes on with its run: its checkpoints may go where room is short.

        Returns:
            Whether there is a place for it at all.

        Raises:
            CheckpointError: it could not be written, or there is no room: says how much is.
        """
        store, info = self._store, tuned.info
        if store is None:
            return False
        document = {
            "app_version": __version__,
            "base_name": base.base_name,
            "base": await model_fingerprint(base),
            "weights": tuned.weights,
            "info": asdict(info),
            "record": tuned.record,
            "texts": asdict(tuned.texts),
        }
        arrays = lazy_arrays(base.device, _own_tensors(tuned.model.weights, base.weights))
        kept = Checkpoint(tuned.run, info.steps, document, {}, arrays)
        summary = {
            "run": tuned.run,
            "steps": info.steps,
            "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "base_name": base.base_name,
            "bytes": kept.size_bytes,
        }
        await self._make_room(store, kept.size_bytes, is_finished=is_finished)
        await stream_checkpoint(store, kept, summary, on_written, most=1)
        self._run = tuned.run
        return True

    async def _make_room(
        self, store: CheckpointStore, size_bytes: int, *, is_finished: bool
    ) -> None:
        """Let go what the model takes the place of, as far as it is needed."""

        async def room() -> int | None:
            try:
                return await store.room_bytes()
            except OSError:
                return None

        def is_short(room_bytes: int | None) -> bool:
            return room_bytes is not None and room_bytes < size_bytes

        if is_short(await room()):
            await clear_checkpoints(store)
        others = self._checkpoints
        if is_finished and others is not None:
            with contextlib.suppress(OSError):
                await make_room(others, size_bytes)
            if is_short(await room()):
                await clear_checkpoints(others)
        room_bytes = await room()
        if room_bytes is not None and room_bytes < size_bytes:
            raise CheckpointError(
                say(
                    "the trained model takes {size} and this browser has room for {room}",
                    size=format_bytes(size_bytes),
                    room=format_bytes(room_bytes),
                )
            )

    async def open(self, base: Model) -> Tuned:
        """Bring the kept model onto the GPU, beside the one that it began as.

        Raises:
            CheckpointError: there is none, or it is of another model, or it is not sound.
            OutOfGpuMemoryError: there is no room; nothing stays allocated.
        """
        kept = None
        if self._store is not None:
            kept = await load_checkpoint(self._store, is_lazy=lambda _: True)
        if kept is None:
            raise CheckpointError(say("no trained model is kept in this browser any more"))
        with readable(kept):
            about = kept.document
            name, weights = str(about["base_name"]), cast("FullWeights", about["weights"])
            info, texts = TunedInfo(**about["info"]), learnt_texts(about["texts"])
            record = str(about["record"])
            is_same = about["base"] == await model_fingerprint(base)
        if not is_same:
            raise CheckpointError(
                say(
                    "the trained model began as {wanted}, and what is loaded is {given} with other "
                    "weights: choose the model, and the form, that it was trained from",
                    wanted=name,
                    given=base.base_name,
                )
            )
        trained = TrainableWeights.create(base.config, base.weights, weights, keeps_base=True)
        model = replace(base, weights=trained.weights, version=1)
        tensors = _own_tensors(model.weights, base.weights)
        device = base.device
        try:
            for tensor in tensors.values():
                storage = tensor.storage
                storage.buffer = device.create_buffer(padded(storage.size_bytes), storage.label)
            await bring_arrays(device, tensors, kept.lazy)
        except BaseException:
            free_own_weights(model, base)
            raise
        info = replace(info, is_saved=False, is_kept=True)
        return Tuned(model, weights, info, kept.run, record, texts)

    async def forget(self) -> None:
        """Let the kept model go."""
        if self._store is not None:
            await clear_checkpoints(self._store)
        if self._run:
            self._run = ""
            self._post(KeptModelEvent(None))


def _own_tensors(weights: DecoderWeights, base: DecoderWeights) -> dict[str, Tensor]:
    """Return by name every storage that a trained model does not share with its base."""
    shared, found = set(base.storages()), dict[str, Tensor]()
    for storage in weights.storages():
        if storage not in shared:
            found[_free_name(storage, found)] = Tensor((storage.size_bytes // 4,), storage, "u32")
    return found


def _free_name(storage: Storage, taken: Mapping[str, Tensor]) -> str:
    name = storage.label.replace(" ", "_")
    while name in taken:
        name += "_"
    return name
