"""Where tunings are kept, and when one is still good.

A tuning is measured once and used from then on, so that runs on one machine stay the same to the
last bit. It is found again by a key of all that it depends on; with any of that changed (another
GPU, driver or browser, other limits, features, kernels, candidates, another shape of model) the
key is another and the tuning is measured anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from app.gpu.kernels import WGSL_DIR
from app.models.loader import Model
from app.plan.tuning_space import Operation

FOLDER = Path("lora-lab") / "tuning"


class TuningStore(Protocol):
    """Keeps texts by key; whatever goes wrong there must not keep anybody from working."""

    async def load(self, key: str) -> str | None:
        """Return what was saved, or None."""
        ...

    async def save(self, key: str, text: str) -> None:
        """Keep a text, if that is possible."""
        ...


class FileStore:
    """One file a key, in the user's cache directory unless another is given."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or user_cache_dir() / FOLDER

    async def load(self, key: str) -> str | None:
        """Return the text of a file; None where it is missing or cannot be read."""
        try:
            return (self.folder / f"{key}.json").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    async def save(self, key: str, text: str) -> None:
        """Write a file whole or not at all; a folder that cannot be written to is left alone."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=key, suffix=".part")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                os.replace(name, self.folder / f"{key}.json")
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise


def user_cache_dir() -> Path:
    """Return where this platform keeps what can be computed anew."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    told = os.environ.get("XDG_CACHE_HOME", "")
    return Path(told) if Path(told).is_absolute() else home / ".cache"


def cache_key(model: Model, operations: Sequence[Operation]) -> str:
    """Return the key of a tuning: a hash of everything that it depends on."""
    device, config = model.device, model.config
    matrices = {**model.weights.layers[0].projections, "head": model.weights.head}
    told: dict[str, Any] = {
        "adapter": asdict(device.info),
        "limits": asdict(device.limits),
        "features": sorted(device.features),
        "kernels": kernels_hash(),
        "candidates": {item.name: [c.label for c in item.candidates] for item in operations},
        "model": asdict(replace(config, name="")),
        "formats": {name: matrix.format for name, matrix in matrices.items()},
    }
    return _hash(json.dumps(told, sort_keys=True).encode())


@cache
def kernels_hash() -> str:
    """Return a hash of every shader and prelude."""
    files = sorted(WGSL_DIR.rglob("*.wgsl"))
    names = b"\n".join(file.relative_to(WGSL_DIR).as_posix().encode() for file in files)
    return _hash(b"\0".join([names, *(file.read_bytes() for file in files)]))


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
