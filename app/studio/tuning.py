"""Kernels chosen for the person's own GPU, before anything is recorded for a model."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

from app.errors import DeviceLostError
from app.models.loader import Model
from app.plan.tuning_cache import TuningStore
from app.plan.tuning_policy import settle_tuning
from app.studio.protocol import ModelProgressEvent


class TuningDesk:
    """Tunes hardware where there is a store to keep tunings in; software keeps its priors."""

    def __init__(self, post: Callable[[Any], None], store: TuningStore | None) -> None:
        """Send progress through `post`."""
        self._post = post
        self._store = store

    async def settle(self, model: Model, should_stop: Callable[[], bool]) -> None:
        """Give a model's device its kernels: measured once, found in the store on later visits.

        Whatever goes wrong, the model can be used, with the kernels that the device had before.

        Raises:
            DeviceLostError: nothing can be used any more.
        """
        device = model.device
        if self._store is None or device.info.is_software:
            return

        def on_progress(name: str, share: float) -> None:
            self._post(ModelProgressEvent(model.base_name, "tuning", int(100 * share), 100))

        tuning = device.tuning
        try:
            await settle_tuning(
                model, self._store, on_progress=on_progress, should_stop=should_stop
            )
        except DeviceLostError:
            raise
        except Exception:
            traceback.print_exc(file=sys.stderr)
            device.tuning = tuning
