"""Make, once for equal sources, the snapshot of Python's memory that the page starts from."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from pathlib import Path

from tools.fetch import CACHE, PYODIDE_WHEELS, ROOT, BuildError, run, say, sha256_of, work_folder

CORE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip")
MAKERS = ("tools/snapshot.mjs", "tools/snapshot_imports.py", "static/python-snapshot.js")
KEPT = (".py", ".so")


def _numpy_wheel() -> Path:
    return next(CACHE / part.name for part in PYODIDE_WHEELS.parts if part.name.startswith("numpy"))


def _key(app_zip: bytes, core: Path, wheel: Path) -> str:
    """Return a name for everything that the snapshot depends on."""
    paths = [*(core / name for name in CORE), wheel, *(ROOT / name for name in MAKERS)]
    hashes = [sha256_of(path) for path in paths] + [hashlib.sha256(app_zip).hexdigest()]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


def _unpack(site: Path, home: Path, app_zip: bytes, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(KEPT) and "/tests/" not in name:
                archive.extract(name, site)
    with zipfile.ZipFile(io.BytesIO(app_zip)) as archive:
        archive.extractall(home)


def make_snapshot(app_zip: bytes, core: Path, cache: Path = CACHE) -> dict[str, Path]:
    """Return path in dist/ → file of a snapshot with our package and numpy imported.

    Args:
        app_zip: The package and its shaders, as the page gets them.
        core: Folder of Pyodide's core.
        cache: Where it is kept; snapshots of other sources there are removed.

    Raises:
        BuildError: Node is missing, or a module cannot be imported: see its output.
    """
    node = shutil.which("node")
    if node is None:
        raise BuildError("node was not found: install Node 20 or newer")
    wheel = _numpy_wheel()
    made = cache / f"snapshot-{_key(app_zip, core, wheel)}"
    if not made.is_dir():
        with work_folder(cache) as folder:
            site, home, out = folder / "site", folder / "home", folder / "out"
            _unpack(site, home, app_zip, wheel)
            if run([node, ROOT / "tools/snapshot.mjs", core, site, home, out]) != 0:
                raise BuildError("the snapshot of Python could not be made: see above")
            for stale in cache.glob("snapshot-*"):
                shutil.rmtree(stale, ignore_errors=True)
            out.rename(made)
        size = sum(path.stat().st_size for path in made.iterdir())
        say(f"made a snapshot of Python, {size / 1e6:.1f} MB")
    return {f"python/{path.name}": path for path in made.iterdir()}
