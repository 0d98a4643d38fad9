"""Runs on the command line: where their checkpoints are, and what is printed of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.errors import CheckpointError
from app.io.checkpoint import load_checkpoint
from app.io.checkpoint_format import Checkpoint
from app.io.checkpoint_store import DirectoryStore
from app.messages import say
from app.runs.history import Evaluation, Sample
from app.runs.parts import Listener
from app.runs.resumed import is_state
from app.train.records import StepRecord, TrainResult

FOLDER = "checkpoints"

Print = Callable[[dict[str, Any], str], None]


def checkpoints_in(out: Path) -> DirectoryStore:
    """Return where a run that writes its adapter to `out` keeps its checkpoints."""
    return DirectoryStore(out / FOLDER)


async def read_resumed(path: Path, on_progress: Callable[[str], None]) -> Checkpoint:
    """Return the newest sound checkpoint of a run's directory, or of one of checkpoints.

    Args:
        path: What `--out` was, or its folder of checkpoints.
        on_progress: Told of checkpoints that are not sound.

    Raises:
        CheckpointError: there is none, or none is sound.
    """
    store = checkpoints_in(path) if (path / FOLDER).is_dir() else DirectoryStore(path)
    checkpoint = await load_checkpoint(store, on_progress, is_state)
    if checkpoint is None:
        raise CheckpointError(
            say(
                "{path} has no checkpoints to go on from: give the --out of a run that was "
                "made with --checkpoint-every",
                path=path,
            )
        )
    return checkpoint


def printing(print_result: Print, on_progress: Callable[[str], None], num_steps: int) -> Listener:
    """Return what prints a run: a line for each step, evaluation, sample and checkpoint."""

    def step(record: StepRecord) -> None:
        values: dict[str, Any] = {
            "step": record.step,
            "loss": record.loss,
            "grad_norm": record.grad_norm,
            "learning_rate": record.learning_rate,
            "num_tokens": record.num_tokens,
            "tokens_per_second": record.tokens_per_second,
        }
        if record.skipped:
            values["skipped"] = True
        if record.gpu_busy is not None:
            values["gpu_busy"] = round(record.gpu_busy, 4)
        if record.ranks is not None:
            values["ranks"] = dict(record.ranks)
            total = sum(record.ranks.values())
            on_progress(f"{total} ranks in use in {len(record.ranks)} projections")
        text = f"step {record.step}/{num_steps}  loss {record.loss:.4f}  "
        print_result(values, text + f"{record.tokens_per_second:.1f} tokens/s")

    def evaluation(item: Evaluation) -> None:
        print_result(
            {"step": item.step, "eval_loss": item.loss, "perplexity": item.perplexity},
            f"step {item.step}: held-out loss {item.loss:.4f}, perplexity {item.perplexity:.2f}",
        )

    def sample(item: Sample) -> None:
        print_result(
            {"step": item.step, "sample": item.text, "prompt": item.prompt},
            f"step {item.step}: {item.prompt}|{item.text}",
        )

    return Listener(
        on_step=step,
        on_evaluation=evaluation,
        on_sample=sample,
        on_checkpoint=lambda item: on_progress(f"step {item.step}: checkpoint kept"),
        on_warning=lambda sentence: on_progress(f"warning: {sentence}"),
    )


def result_values(result: TrainResult) -> dict[str, Any]:
    """Return how a run ended as its last JSON line tells it."""
    return {
        "steps": result.steps,
        "loss": result.final_loss,
        "num_tokens": result.num_tokens,
        "seconds": result.seconds,
        "tokens_per_second": result.num_tokens / max(result.seconds, 1e-9),
        "skipped_steps": result.num_skipped,
        "stopped": result.stopped,
        "stopped_early": result.stopped_early,
    }
