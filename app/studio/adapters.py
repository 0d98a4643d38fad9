"""The adapters on the shelf: trained, loaded, exported; none lost without having been offered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from app.errors import AdapterError, GpuError
from app.io.adapter import adapter_to_safetensors
from app.io.model_card import TrainingFacts
from app.messages import say
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.studio.adapter_files import adapter_files, read_adapter, upload_adapter
from app.studio.protocol import (
    AdapterEvent,
    AdapterInfo,
    AdapterReplacedEvent,
    EditAdapterRequest,
    ExportRequest,
    ImportRequest,
    Message,
)
from app.studio.provenance import LearntTexts, Provenance, Split, read_made
from app.studio.shelf_names import checked_name, checked_strength, free_name, run_name, run_number
from app.studio.shelved import Copy, Shelved

MAX_ON_SHELF = 8
"""Each takes room on the GPU; the oldest leaves when another comes, handed out if unsaved."""


class AdapterDesk:
    """Holds the adapters of one model, and which of them answers."""

    def __init__(
        self, post: Callable[[Any], None], on_drop: Callable[[Adapter], None] = lambda _: None
    ) -> None:
        """Send events through `post`; `on_drop` hears of an adapter before it is freed."""
        self._post = post
        self._on_drop = on_drop
        self._model: Model | None = None
        self._shelf: list[Shelved] = []
        self._chosen: Shelved | None = None
        self._next_id = 1
        self._num_runs = 0

    @property
    def current(self) -> Adapter | None:
        """The adapter that answers, and that a run goes on from."""
        return None if self._chosen is None else self._chosen.adapter

    @property
    def strength(self) -> float:
        """The strength of the adapter that answers."""
        return 1.0 if self._chosen is None else self._chosen.info.strength

    @property
    def steps(self) -> int:
        """Updates that made the current adapter, as far as known."""
        return 0 if self._chosen is None else self._chosen.info.steps

    def holds(self, adapter: Adapter) -> bool:
        """Whether an adapter is on the shelf."""
        return any(item.adapter is adapter for item in self._shelf)

    def find(self, adapter_id: Any) -> tuple[Adapter, float]:
        """Return an adapter and its strength. Raises AdapterError where there is none."""
        item = self._item(adapter_id)
        if item.adapter is None:
            raise AdapterError(
                say("{name} is not on the GPU: load its model again", name=item.info.name)
            )
        return item.adapter, item.info.strength

    async def use_model(self, model: Model) -> None:
        """Begin with a model; adapters that were never downloaded are handed out first.

        Where it is the one that went away with its adapters, they are back with it.
        """
        is_back = self._is_aside and self._model is not None and _is_same(model, self._model)
        if not is_back:
            await self.offer_unsaved()
            self._clear()
        self._model = model
        if is_back:
            await self._bring_back(model)
        self._tell()

    @property
    def _is_aside(self) -> bool:
        """Whether the adapters are files only, waiting for their model."""
        return any(item.adapter is None for item in self._shelf)

    async def _bring_back(self, model: Model) -> None:
        for item in [*self._shelf]:
            if item.adapter is not None:
                continue
            try:
                item.come_back(model)
            except (AdapterError, GpuError):
                await self._hand_out(item)
                self._free(item)
        if self._chosen not in self._shelf:
            self._chosen = self._shelf[-1] if self._shelf else None

    async def offer_unsaved(self) -> None:
        """Hand the page the bytes of trained adapters that are about to go."""
        for item in self._shelf:
            if not item.is_saved:
                await self._hand_out(item)

    async def _hand_out(self, item: Shelved) -> None:
        assert self._model is not None
        self._offer(item, await item.file(self._model))
        item.is_saved = True

    def replace(self, adapter: Adapter, *, steps: int, run: str = "") -> None:
        """Say that an adapter has been trained for `steps` updates; a fresh one is now chosen.

        It is called as its last `run` is, unless a person has named it.
        """
        item = next((item for item in self._shelf if item.adapter is adapter), None)
        if item is None:
            self._make_room()
            self._num_runs += 1
            info = self._info(adapter, origin="trained", name=run or run_name(self._num_runs))
            item = self._chosen = Shelved(adapter, adapter.lora, info, is_saved=False)
            item.provenance = Provenance(LearntTexts())
            self._shelf.append(item)
        item.is_saved, item.provenance.record = False, ""
        name = item.info.name if item.is_named or not run else run
        item.info = replace(item.info, origin="trained", steps=steps, name=name)
        self._tell()

    def note_run(self, adapter: Adapter, facts: TrainingFacts, record: str) -> None:
        """Keep what a run was, for the model card and as the text of run.json."""
        for item in self._shelf:
            if item.adapter is adapter:
                item.provenance.facts, item.provenance.record = facts, record
        self._tell()

    def note_text(self, adapter: Adapter, text: str, split: Split, *, is_complete: bool) -> None:
        """Keep which text an adapter was trained on.

        Args:
            adapter: On the shelf.
            text: Hash of the text.
            split: How it was split.
            is_complete: Whether what was before is known as well.
        """
        for item in self._shelf:
            if item.adapter is adapter:
                texts = item.provenance.texts
                texts.add(text, split)
                texts.is_complete = texts.is_complete and is_complete

    @property
    def texts(self) -> LearntTexts | None:
        """The texts that the adapter that answers was trained on; None where there is none."""
        return None if self._chosen is None else self._chosen.provenance.texts

    def note_evaluation(self, base: float, lora: float, measured_on: str) -> None:
        """Keep the perplexities of the current adapter, for the model card."""
        provenance = None if self._chosen is None else self._chosen.provenance
        if provenance is not None and provenance.facts is not None and self.strength == 1:
            provenance.facts = replace(
                provenance.facts, perplexities=(base, lora), measured_on=measured_on
            )

    async def load(self, request: ImportRequest) -> AdapterInfo:
        """Read an adapter file or a zipped folder; only when found good is it on the shelf.

        Raises:
            FormatError, AdapterError: names the key, what was found and what was expected.
        """
        model = self._model
        assert model is not None
        tensors, lora = await read_adapter(request, model.config)
        strength = checked_strength(request.get("strength", 1.0))
        adapter = upload_adapter(tensors, lora, model)
        self._make_room()
        name = free_name(checked_name(request["name"]), {item.info.name for item in self._shelf})
        info = self._info(adapter, origin="loaded", name=name)
        info = replace(info, strength=strength)
        item = Shelved(adapter, lora, info, is_saved=True, is_named=True)
        made = read_made(request["made"]) if request.get("made") else None
        if made is not None:
            item.info = replace(info, origin="trained", steps=made.steps)
            item.provenance, item.is_named = made.provenance, made.is_named
            item.is_saved = request.get("is_saved", True)
            if not made.is_named:  # the next run has another number
                self._num_runs = max(self._num_runs, run_number(info.name))
        exported = adapter_to_safetensors(tensors, lora, model.config, model.base_name)
        item.copy = Copy(exported, adapter.version, item.info.steps)
        self._shelf.append(item)
        if request.get("choose", True) or self._chosen is None:
            self._chosen = item
        self._tell()
        return item.told

    def edit(self, request: EditAdapterRequest) -> None:
        """Choose, rename or weigh an adapter; what the request does not name stays.

        Raises:
            AdapterError: there is no such adapter, or the name or strength cannot be.
        """
        item = self._item(request["adapter"])
        info = item.info
        if "name" in request:
            name = checked_name(request["name"])
            item.is_named = item.is_named or name != info.name
            info = replace(info, name=name)
        if "strength" in request:
            info = replace(info, strength=checked_strength(request["strength"]))
        item.info = info
        if request.get("chosen"):
            self._chosen = item
        self._tell()

    def delete(self, adapter_id: Any) -> None:
        """Take an adapter off the shelf; the newest that is left answers in its place."""
        item = self._item(adapter_id)
        self._free(item)
        if self._chosen is item:
            self._chosen = self._shelf[-1] if self._shelf else None
        self._tell()

    async def export(self, request: ExportRequest) -> Message:
        """Return an adapter as one file with its config, or as a zipped PEFT folder.

        In one or two bits it comes packed as well.

        Its strength is how it is listened to, and no part of it: the file is as it was trained.
        With `peek` it is not downloaded by that.

        Raises:
            AdapterError: there is none, or it holds values that are not finite.
        """
        item = self._item(request.get("adapter"))
        assert self._model is not None
        message = adapter_files(
            await item.file(self._model),
            item.lora,
            self._model,
            await item.packable(self._model),
            name=item.info.name,
            provenance=item.provenance,
            as_folder=request.get("form") == "folder",
            filename=item.filename,
        )
        if item.info.origin == "trained":
            message["made"] = item.made()
        if not request.get("peek") and not item.is_saved:
            item.is_saved = True
            self._tell()
        return message

    async def keep_copies(self) -> None:
        """Keep a copy of each adapter off the GPU, for the day the device goes away."""
        for item in [*self._shelf]:
            if self._model is not None:
                await item.keep_copy(self._model)

    async def set_aside(self) -> None:
        """Make room on the GPU: the adapters stay on the shelf as files, until they come back."""
        await self.keep_copies()
        for item in self._shelf:
            if item.adapter is not None:
                self._on_drop(item.adapter)
                item.adapter.destroy()
            item.leave()

    def abandon(self) -> None:
        """The device is gone: what has a copy stays on the shelf as a file, nothing is freed.

        An adapter that a run was making goes back to its last copy.
        """
        for item in [*self._shelf]:
            if not item.leave():
                self._shelf.remove(item)
        if self._chosen not in self._shelf:
            self._chosen = self._shelf[-1] if self._shelf else None
        self._tell()

    def close(self) -> None:
        """Free the adapters without offering them."""
        self._clear()

    def _item(self, adapter_id: Any) -> Shelved:
        """Return one by its id, or the chosen one where there is none given."""
        if adapter_id is None and self._chosen is not None:
            return self._chosen
        for item in self._shelf:
            if item.info.id == adapter_id:
                return item
        if not self._shelf:
            raise AdapterError(say("there is no adapter yet: train one or load one first"))
        raise AdapterError(say("that adapter is no longer on the shelf: choose another one"))

    def _tell(self) -> None:
        chosen = None if self._chosen is None else self._chosen.told
        self._post(AdapterEvent(chosen, [item.told for item in self._shelf]))

    def _offer(self, item: Shelved, data: bytes) -> None:
        self._post(AdapterReplacedEvent(data, item.filename, item.info.id))

    def _info(self, adapter: Adapter, *, origin: Any, name: str) -> AdapterInfo:
        assert self._model is not None
        config, lora = self._model.config, adapter.lora
        per_layer = sum(sum(config.projection_shape(module)) for module in lora.target_modules)
        self._next_id += 1
        return AdapterInfo(
            id=self._next_id - 1,
            rank=lora.rank,
            alpha=lora.alpha,
            bits=lora.adapter_bits,
            num_parameters=per_layer * lora.rank * config.num_hidden_layers,
            origin=origin,
            name=name,
            steps=0,
            strength=1.0,
        )

    def _make_room(self) -> None:
        others = [item for item in self._shelf if item is not self._chosen]
        if len(self._shelf) >= MAX_ON_SHELF and others:
            oldest = others[0]
            if not oldest.is_saved and oldest.copy is not None:
                self._offer(oldest, oldest.copy.data)
            self._free(oldest)

    def _free(self, item: Shelved) -> None:
        self._shelf.remove(item)
        if item.adapter is not None:
            self._on_drop(item.adapter)
            item.adapter.destroy()

    def _clear(self) -> None:
        for item in [*self._shelf]:
            self._free(item)
        self._chosen = None


def _is_same(model: Model, other: Model) -> bool:
    """Whether adapters of one model fit the other, and are meant for it."""
    return model.base_name == other.base_name and model.config == other.config
