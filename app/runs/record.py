"""The record of a run, kept beside its adapter: how it came about, and never any of its text."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app import __version__
from app.config import LoraConfig
from app.errors import StudioError
from app.gpu.device import Device
from app.messages import say
from app.runs.history import History, finite
from app.runs.identity import RunIdentity, lora_document
from app.text.dataset import CorpusFile, Dataset
from app.text.windows import num_windows_read
from app.train.records import TrainResult

FILE_NAME = "run.json"
FORMAT, VERSION = "lora-lab-run", 1

HISTORY_COLUMNS = ("step", "loss", "grad_norm", "learning_rate", "num_tokens", "skipped", "seconds")


def run_record(
    identity: RunIdentity,
    lora: LoraConfig | None,
    device: Device,
    files: Iterable[CorpusFile],
    dataset: Dataset,
    history: History,
    result: TrainResult | None,
) -> dict[str, Any]:
    """Return the record; docs/formats.md explains each field.

    Args:
        identity: Model, data and settings as asked for.
        lora: The adapter as it came to be; None where all weights were trained.
        device: Where it was trained.
        files: Of the corpus; hashed, never written.
        dataset: What was made of them.
        history: Steps and evaluations. Samples are left out: they may quote the text.
        result: How it ended; None where it failed.
    """
    evaluation = dataset.evaluation
    max_eval_tokens = identity.settings.get("max_eval_tokens")
    return {
        "format": FORMAT,
        "version": VERSION,
        "app_version": __version__,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "base_model": {"name": identity.base_name, "fingerprint": identity.model},
        "corpus": {
            "files": [file_hash(file) for file in files],
            "windows_sha256": identity.windows,
            "num_documents": dataset.num_documents,
            "num_tokens": dataset.train.num_tokens,
            "num_eval_tokens": evaluation.num_tokens if evaluation else 0,
            "num_eval_windows": evaluation.num_windows if evaluation else 0,
            "num_eval_windows_read": num_windows_read(evaluation, max_eval_tokens),
        },
        "settings": dict(identity.settings),
        "adapter": lora_document(lora),
        "device": describe_device(device),
        "result": finite(asdict(result)) if result is not None else None,
        "resumed_at": list(history.resumed_at),
        "history": {
            name: [_plain(getattr(step, name)) for step in history.steps]
            for name in HISTORY_COLUMNS
        },
        "ranks": history.ranks(),
        "evaluations": [finite(asdict(item)) for item in history.evaluations],
    }


def describe_device(device: Device) -> dict[str, Any]:
    """Return what a run's last bits depend on beside its identity."""
    info = device.info
    return {
        "name": info.name,
        "backend": info.backend,
        "driver": info.version,
        "kernels": device.tuning.describe(),
    }


def file_hash(file: CorpusFile) -> dict[str, Any]:
    """Return a document's hash and length."""
    data = file.text.encode(errors="surrogatepass")
    return {"sha256": hashlib.sha256(data).hexdigest(), "num_characters": len(file.text)}


def record_text(record: Mapping[str, Any]) -> str:
    """Return a record as the file has it."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write run.json, replacing one that is there. Raises StudioError."""
    part = folder / f"{FILE_NAME}.part"
    try:
        part.write_text(record_text(record), encoding="utf-8")
        os.replace(part, folder / FILE_NAME)
    except OSError as error:
        raise StudioError(
            say("cannot write to {folder}: {strerror}", folder=folder, strerror=error.strerror)
        ) from error


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
