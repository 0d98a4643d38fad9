"""The one word that says what the session does, and the jobs that decide it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from app.errors import StudioError
from app.messages import say
from app.studio.corpus import SupersededError
from app.studio.protocol import Status, StatusEvent

Job = Literal["loading", "training", "generating", "checking"]

AT_WORK: dict[Status, str] = {
    "booting": say("the engine is still starting: wait for it"),
    "loading": say("a model is being loaded: wait for it, or stop it first"),
    "training": say("the GPU is training: wait for it, or stop it first"),
    "paused": say("a run is paused: go on with it, or stop it first"),
    "generating": say("the GPU is writing or reading text: wait for it, or stop it first"),
    "checking": say("the GPU is being checked or measured: wait for it, or stop it first"),
    "error": say("no model is loaded: choose one"),
    "ready": say("nothing is under way"),
}
"""Why something has to wait, whatever it is."""


class BusyError(StudioError):
    """The GPU is at work for something else."""


class StatusBoard:
    """Knows the jobs on the GPU; tells the page whenever the word changes."""

    def __init__(
        self,
        post: Callable[[Any], None],
        is_loaded: Callable[[], bool],
        is_paused: Callable[[], bool],
    ) -> None:
        """Ask `is_loaded` for a model and `is_paused` for a run that waits, when a word is due."""
        self._post = post
        self._is_loaded = is_loaded
        self._is_paused = is_paused
        self._jobs: set[Job] = set()
        self.status: Status = "booting"

    @property
    def jobs(self) -> frozenset[Job]:
        """What the GPU is at work for."""
        return frozenset(self._jobs)

    def show(self, status: Status) -> None:
        """Say a word, if it is another one."""
        if status != self.status:
            self.status = status
            self._post(StatusEvent(status))

    def refresh(self) -> None:
        """Show the word that is true now; an answer may be written while a run is paused."""
        if "loading" in self._jobs:
            self.show("loading")
        elif "checking" in self._jobs:
            self.show("checking")
        elif "generating" in self._jobs:
            self.show("generating")
        elif "training" in self._jobs:
            self.show("paused" if self._is_paused() else "training")
        elif self._is_loaded():
            self.show("ready")

    def require(self, *allowed: Status) -> None:
        """Raise BusyError unless the session is in one of these states."""
        if self.status not in allowed:
            raise BusyError(AT_WORK[self.status])

    @contextmanager
    def job(self, kind: Job) -> Iterator[None]:
        """Hold the GPU for a job; a failure shows as `error` before the session goes on."""
        self._jobs.add(kind)
        self.refresh()
        try:
            yield
        except SupersededError:
            raise
        except BaseException:
            self.show("error")
            raise
        finally:
            self._jobs.remove(kind)
            self.refresh()
