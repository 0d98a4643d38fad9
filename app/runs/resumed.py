"""Reading what a checkpoint says of its run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from app import __version__
from app.config import LoraConfig, TrainConfig, tidied
from app.errors import CheckpointError
from app.io.checkpoint_format import Checkpoint, LazyArray
from app.messages import say
from app.plan.run_input import settings_values
from app.runs.identity import RunIdentity
from app.train.state import Progress

STATE = "state."
"""What the names of a trainer's arrays begin with in a checkpoint."""


def is_state(name: str) -> bool:
    """Return whether an array of a checkpoint is the trainer's: it may stay where it lies."""
    return name.startswith(STATE)


def state_in(checkpoint: Checkpoint) -> dict[str, LazyArray]:
    """Return the trainer's arrays by its own names."""
    held = {name: LazyArray.of(array) for name, array in checkpoint.arrays.items()}
    return {
        name.removeprefix(STATE): array
        for name, array in {**held, **checkpoint.lazy}.items()
        if is_state(name)
    }


@contextmanager
def readable(checkpoint: Checkpoint) -> Iterator[None]:
    """Say of a document that lacks what is looked for that another version wrote it.

    Raises:
        CheckpointError: instead of what the lookup raised.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        version = checkpoint.document.get("app_version")
        raise CheckpointError(
            say(
                "the checkpoint was written by version {version} and cannot be read by "
                "{version_2} ({error}): begin the run anew",
                version=version,
                version_2=__version__,
                error=error,
            )
        ) from error


def check_resumable(checkpoint: Checkpoint, identity: RunIdentity) -> None:
    """Refuse a checkpoint that is not of this very run.

    Raises:
        CheckpointError: it is of another; names all that differs.
    """
    with readable(checkpoint):
        identity.check_same(checkpoint.document["identity"])


def resumed_lora(checkpoint: Checkpoint, identity: RunIdentity) -> LoraConfig:
    """Return the adapter of a checkpoint of this very run. Raises as `check_resumable`."""
    check_resumable(checkpoint, identity)
    with readable(checkpoint):
        lora = checkpoint.document["lora"]
        return LoraConfig.from_dict({name: tidied(name, value) for name, value in lora.items()})


def resumed_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the settings of a checkpoint's run as they were asked for. Raises CheckpointError.

    A setting that was not there yet when it was written has its default: what was done then.
    """
    defaults = settings_values(LoraConfig(), TrainConfig())
    with readable(checkpoint):
        settings = checkpoint.document["identity"]["settings"]
        return {name: settings.get(name, default) for name, default in defaults.items()}


def summary_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what is told of a checkpoint before anybody goes on from it."""
    document = checkpoint.document
    return {
        "step": checkpoint.step,
        "num_steps": document["num_steps"],
        "saved_at": document["saved_at"],
        "base_name": document["identity"]["base_name"],
        "mode": document["identity"]["settings"]["mode"],
        "bytes": checkpoint.size_bytes,
        **document["extra"],
    }


def progress_of(document: Mapping[str, Any]) -> Progress:
    """Return how far a run had come, as its checkpoint tells."""
    ranks = {path: tuple(indices) for path, indices in document["active_ranks"].items()}
    return Progress(**{**document, "active_ranks": ranks})
