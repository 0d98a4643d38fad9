"""Requests about text and runs: count, plan, preview, train, find a rate, evaluate."""

from __future__ import annotations

from typing import Any

from app.errors import Problems
from app.plan.run_input import packing_of
from app.runs.resumed import resumed_settings
from app.studio.corpus import SupersededError, TokenizedCorpus
from app.studio.handlers import Handlers
from app.studio.protocol import Message, to_message
from app.studio.runs import check_settings
from app.studio.workplace import Workplace


class RunHandlers:
    """Lays runs out, makes them and judges what came of them."""

    def __init__(self, workplace: Workplace) -> None:
        self._place = workplace

    @property
    def handlers(self) -> Handlers:
        """Type of request → handler."""
        return {
            "count-tokens": self._count_tokens,
            "check-settings": self._check_settings,
            "plan": self._plan,
            "preview": self._preview,
            "train": self._train,
            "find-rate": self._find_rate,
            "pause": self._pause,
            "resume": self._resume,
            "stop": self._stop,
            "evaluate": self._evaluate,
            "discard-checkpoint": self._discard_checkpoint,
        }

    async def _count_tokens(self, request: Message) -> Message:
        model = self._place.ready_model()
        corpus = await self._place.corpus.tokenize(request["corpus"], model)
        return {
            "num_tokens": corpus.documents.num_tokens,
            "num_characters": corpus.num_characters,
        }

    async def _plan(self, request: Any) -> Message:
        corpus = await self._tokenize(request)
        await self._place.know_speed()
        room = await self._place.checkpoints.room()
        return to_message(self._place.training.plan(request, corpus, room))

    async def _preview(self, request: Any) -> Message:
        corpus = await self._tokenize(request)
        await self._place.know_speed()
        return to_message(self._place.training.preview(request, corpus))

    async def _tokenize(self, request: Any, *, pinned: bool = False) -> TokenizedCorpus:
        """Return the tokens of a run's corpus; what is wrong with its settings is told along."""
        model, edits = self._place.ready_model(), request["edits"]
        packing = packing_of(edits.get("packing"))
        problems = Problems()
        with problems.gathered(but=SupersededError):
            return await self._place.corpus.tokenize(
                request["corpus"], model, packing=packing, pinned=pinned
            )
        check_settings(edits, problems, model)
        raise problems.together()

    async def _check_settings(self, request: Any) -> None:
        """Say what is wrong with edits, where there is no text yet and perhaps no model."""
        problems = Problems()
        check_settings(request["edits"], problems, self._place.model)
        problems.raise_if_any()

    async def _train(self, request: Any) -> Message:
        place = self._place
        place.ready_model()
        place.board.require("ready", "error")
        async with place.job("training"):
            resumed = await place.checkpoints.load() if request.get("resume") else None
            if resumed is not None:
                edits = resumed_settings(resumed)
                if resumed.document["extra"].get("is_paced"):
                    edits.pop("checkpoint_every", None)  # chosen anew from how fast it is now
                request = {**request, "edits": edits, "keep_adapter": False}
            if request["edits"].get("mode") == "full":
                place.full.check_saved(request, resumed)
                place.full.check_none_kept(request, resumed)
            corpus = await self._tokenize(request, pinned=True)
            await place.know_speed()
            return await place.training.train(request, corpus, place.post_memory, resumed)

    async def _find_rate(self, request: Any) -> Message:
        place = self._place
        place.ready_model()
        place.board.require("ready", "error")
        if request["edits"].get("mode") == "full":
            place.full.check_none_open()
        async with place.job("training"):
            corpus = await self._tokenize(request, pinned=True)
            await place.know_speed()
            return await place.training.find_rate(request, corpus)

    async def _discard_checkpoint(self, _request: Message) -> None:
        model = self._place.ready_model()
        self._place.board.require("ready", "error")
        await self._place.checkpoints.clear()
        await self._place.checkpoints.announce(model.base_name)

    async def _pause(self, _request: Message) -> None:
        self._place.training.control.pause()
        self._place.board.refresh()

    async def _resume(self, _request: Message) -> None:
        self._place.training.control.resume()
        self._place.board.refresh()

    async def _stop(self, _request: Message) -> None:
        self._place.training.stop()
        self._place.board.refresh()

    async def _evaluate(self, request: Any) -> Message:
        place = self._place
        place.ready_model()
        place.board.require("ready")
        async with place.job("generating"):
            if request.get("text"):
                edits = {**request["edits"], "eval_fraction": 0}
                request = {**request, "corpus": {"text": request["text"]}, "edits": edits}
            corpus = await self._tokenize(request, pinned=True)
            await place.know_speed()
            return await place.training.evaluate(request, corpus)
