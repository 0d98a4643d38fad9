"""What of a run is taken out between two updates and put back: all of it, or what is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from app.gpu.graph import Tensor
from app.io.checkpoint_format import LazyArray
from app.models.loader import Model
from app.train.records import Reporter
from app.train.state import (
    Arrays,
    Progress,
    TrainerState,
    bring_arrays,
    lazy_arrays,
    read_arrays,
    write_arrays,
)


class KeptRun(ABC):
    """The side of a run that checkpoints and an early stop see."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._start = Progress()
        self._report: Reporter | None = None

    @property
    @abstractmethod
    def _lasting(self) -> dict[str, Tensor]:
        """What an update keeps for the next."""

    def _changed(self) -> None:
        """Hear that what is trained has other values than before."""
        return

    def _go_on_from(self, progress: Progress) -> None:
        """Let the next update be the one after this progress; its arrays are there."""
        self._start, self._report = progress, None
        self._changed()

    @property
    def progress(self) -> Progress:
        """How far the run has come."""
        return self._start if self._report is None else self._report.progress

    async def state(self) -> TrainerState:
        """Return the run as it is between two updates, to be gone on from by `restore`."""
        arrays = await read_arrays(self._model.device, self._lasting)
        return TrainerState(self.progress, arrays)

    def lazy_state(self) -> tuple[Progress, dict[str, LazyArray]]:
        """Return the same, each array to be read when it is wanted, before the next update."""
        return self.progress, lazy_arrays(self._model.device, self._lasting)

    def restore(self, state: TrainerState) -> None:
        """Go on from a state, which must be of this very run; between `prepare` and `run`.

        Losses and what is trained are then, on the same host, to the last bit those of a run
        that was never interrupted.

        Raises:
            CheckpointError: the arrays are of another adapter or optimizer; nothing is changed.
        """
        write_arrays(self._model.device, self._lasting, state.arrays)
        self._go_on_from(state.progress)

    async def bring(self, progress: Progress, arrays: Mapping[str, LazyArray]) -> None:
        """Go on from a state that lies elsewhere, as `restore` does.

        Raises:
            CheckpointError: the arrays are of another adapter or optimizer; nothing is changed.
            FormatError: they can no longer be read; the run is good for nothing then.
        """
        await bring_arrays(self._model.device, self._lasting, arrays)
        self._go_on_from(progress)

    async def parameters(self) -> Arrays:
        """Return what is trained as it is now, to be gone back to by `load_parameters`."""
        trained = {
            name: tensor
            for name, tensor in self._lasting.items()
            if tensor.storage.part in ("adapter", "weights")
        }
        return await read_arrays(self._model.device, trained)

    def load_parameters(self, arrays: Arrays) -> None:
        """Go back to parameters that this trainer had; the optimizer stays as it is."""
        lasting = self._lasting
        write_arrays(self._model.device, {name: lasting[name] for name in arrays}, arrays)
        self._changed()
