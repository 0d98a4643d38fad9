"""Requests about what was trained: talk to it, keep it, bring it back."""

from __future__ import annotations

from typing import Any

from app.studio.handlers import Handlers
from app.studio.protocol import ChatRequest, CountChatRequest, Message, TokenEvent, to_message
from app.studio.workplace import Workplace


class ResultHandlers:
    """Answers in chat; hands adapters and whole models out and takes adapters in."""

    def __init__(self, workplace: Workplace) -> None:
        self._place = workplace
        self._stop_chat = False

    @property
    def handlers(self) -> Handlers:
        """Type of request → handler."""
        return {
            "chat": self._chat,
            "count-chat": self._count_chat,
            "chat-stop": self._chat_stop,
            "export-adapter": self._export_adapter,
            "import-adapter": self._import_adapter,
            "edit-adapter": self._edit_adapter,
            "delete-adapter": self._delete_adapter,
            "export-model": self._export_model,
            "discard-model": self._discard_model,
            "open-kept-model": self._open_kept_model,
            "discard-kept-model": self._discard_kept_model,
        }

    async def _chat(self, request: ChatRequest) -> Message:
        place = self._place
        place.ready_model()
        place.board.require("ready", "paused")
        assert place.conversation is not None
        adapter, strength = None, 1.0
        if request["use_lora"]:
            adapter, strength = place.adapters.find(request.get("adapter"))
        conversation = place.conversation
        if request.get("use_tuned"):
            conversation = place.full.conversation
        self._stop_chat = False
        async with place.job("generating"):
            answer = await conversation.answer(
                request,
                adapter,
                strength,
                on_text=lambda text: place.post(TokenEvent(request["id"], text)),
                should_stop=lambda: self._stop_chat,
            )
        return to_message(answer)

    async def _count_chat(self, request: CountChatRequest) -> Message:
        self._place.ready_model()
        assert self._place.conversation is not None
        return to_message(await self._place.conversation.measure(request))

    async def _chat_stop(self, _request: Message) -> None:
        self._stop_chat = True

    async def _export_adapter(self, request: Any) -> Message:
        return await self._place.adapters.export(request)

    async def _edit_adapter(self, request: Any) -> None:
        self._place.adapters.edit(request)

    async def _delete_adapter(self, request: Message) -> None:
        self._place.board.require("ready", "error")
        self._place.adapters.delete(request["adapter"])
        self._place.post_memory()

    async def _import_adapter(self, request: Any) -> Message:
        self._place.ready_model()
        self._place.board.require("ready", "error")
        info = await self._place.adapters.load(request)
        self._place.post_memory()
        return to_message(info)

    async def _export_model(self, request: Message) -> Message:
        self._place.board.require("ready", "paused")
        async with self._place.job("generating"):
            return await self._place.full.export(request)

    async def _discard_model(self, _request: Message) -> None:
        self._place.board.require("ready", "error")
        self._place.full.drop()
        await self._place.let_kept_model_go()
        self._place.post_memory()

    async def _open_kept_model(self, request: Message) -> None:
        model = self._place.ready_model()
        self._place.board.require("ready", "error")
        self._place.full.check_saved(request)
        async with self._place.job("loading"):
            await self._place.full.open_kept(model)

    async def _discard_kept_model(self, _request: Message) -> None:
        self._place.board.require("booting", "loading", "ready", "error")
        await self._place.let_kept_model_go()
