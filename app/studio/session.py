"""One person's session: the device, the model, the adapter, and what may happen when.

Independent of the browser: requests come in as dicts, events go out through `post`, and the
tests drive it natively.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

from app.errors import ConfigError, StudioError
from app.io.checkpoint_store import CheckpointStore
from app.messages import say, told_in, whole
from app.plan.tuning_cache import TuningStore
from app.studio.handlers import Handlers
from app.studio.handlers.device import DeviceHandlers
from app.studio.handlers.models import ModelHandlers, OpenSource
from app.studio.handlers.results import ResultHandlers
from app.studio.handlers.runs import RunHandlers
from app.studio.protocol import ErrorEvent, Message, SettingsEvent, to_message
from app.studio.settings import describe_generation, describe_presets, describe_settings, labelled
from app.studio.workplace import OpenDevice, Workplace


class Session:
    """Answers the page's requests, one GPU job at a time.

    Attributes:
        place: What the requests share.
    """

    def __init__(
        self,
        post: Callable[[Message], None],
        open_device: OpenDevice,
        open_source: OpenSource,
        tunings: TuningStore | None = None,
        checkpoints: CheckpointStore | None = None,
        models: CheckpointStore | None = None,
    ) -> None:
        """Send messages through `post`; `open_source` turns a request's source into bytes.

        Hardware is tuned where there is a store to keep `tunings` in, and runs can be gone on
        with where there is one for `checkpoints`; a trained model that nobody downloaded stays
        where there is one for `models`.
        """
        self._post_message = post
        self.place = Workplace(self.post, open_device, checkpoints, models)
        self._handlers: Handlers = {
            **ModelHandlers(self.place, open_source, tunings).handlers,
            **RunHandlers(self.place).handlers,
            **ResultHandlers(self.place).handlers,
            **DeviceHandlers(self.place, open_source, tunings).handlers,
        }

    def post(self, event: Any) -> None:
        """Send an event to the page."""
        self._send(to_message(event))

    def _send(self, message: Message) -> None:
        """Send a message, with what its sentences were made of: the page may translate them."""
        words = told_in(message)
        self._post_message({**message, "words": words} if words else message)

    async def start(self) -> None:
        """Open the device; tells the page what it is, or why there is none."""
        self.post(SettingsEvent(describe_settings(), describe_generation(), describe_presets()))
        await self.place.checkpoints.announce("")  # whichever model it is of
        try:
            await self.place.find_device()
        except StudioError as error:
            self.post(ErrorEvent(whole(error.sentence), type(error).__name__))
            self.place.board.show("error")

    def close(self) -> None:
        """Free what the session holds on the device; the device itself stays open."""
        self.place.close()

    async def handle(self, request: Message) -> None:
        """Answer one request; whatever goes wrong becomes a sentence in the answer."""
        answer: Message = {"id": request["id"]}
        try:
            handler = self._handlers.get(request["type"])
            if handler is None:
                raise ConfigError(
                    say("the page asked for {type}: reload it", type=f"{request['type']!r}")
                )
            answer["result"] = await handler(request)
        except StudioError as error:
            told = [labelled(problem) for problem in error.problems] or [str(error)]
            problems = [whole(problem) for problem in told]
            message = problems[0] if len(problems) == 1 else " ".join(problems)
            answer |= {"error": message, "kind": type(error).__name__}
            if len(problems) > 1:
                answer["problems"] = problems
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            reason = f"{type(error).__name__}: {error}"
            answer |= {
                "error": say(
                    "Something failed that should not ({reason}). Your text and adapter are still "
                    "here; try again, or reload the page after downloading the adapter.",
                    reason=reason,
                ),
                "kind": "InternalError",
            }
        self._send(answer)
