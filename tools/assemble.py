"""Assemble dist/ from static/, the sources and the fetched parts."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.fetch import (
    CACHE,
    MODEL,
    NODE_MODULES,
    PYODIDE_WHEELS,
    ROOT,
    BuildError,
    fetch_node_modules,
    fetch_wheel,
    say,
    sha256_of,
    work_folder,
)
from tools.icons import draw_icons
from tools.precache import make_precache
from tools.snapshot import make_snapshot

DIST = ROOT / "dist"

Manifest = dict[str, Any]

NPM_FILES = {
    **{
        f"vendor/pyodide/{name}": f"pyodide/{name}"
        for name in (
            "pyodide.mjs",
            "pyodide.asm.mjs",
            "pyodide.asm.wasm",
            "python_stdlib.zip",
            "pyodide-lock.json",
        )
    },
    "vendor/tokenizers/tokenizers.mjs": "@huggingface/tokenizers/dist/tokenizers.min.mjs",
    "vendor/tokenizers/LICENSE": "@huggingface/tokenizers/LICENSE",
    "vendor/jinja/jinja.mjs": "@huggingface/jinja/dist/index.js",
    "vendor/jinja/LICENSE": "@huggingface/jinja/LICENSE",
    "vendor/hash-wasm/sha256.js": "hash-wasm/dist/sha256.umd.min.js",
    "vendor/hash-wasm/LICENSE": "hash-wasm/LICENSE",
    "vendor/uplot/uplot.mjs": "uplot/dist/uPlot.esm.js",
    "vendor/uplot/uplot.css": "uplot/dist/uPlot.min.css",
    "vendor/uplot/LICENSE": "uplot/LICENSE",
}
"""Path in dist/ → path in node_modules/."""


def zip_sources(root: Path) -> bytes:
    """Return app/**.py and wgsl/**.wgsl as a zip whose bytes depend on their contents only."""
    paths = [*(root / "app").rglob("*.py"), *(root / "wgsl").rglob("*.wgsl")]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(paths, key=lambda path: path.relative_to(root).as_posix()):
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix())  # dated 1980
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes(), compresslevel=9)
    return buffer.getvalue()


def site_files() -> dict[str, Path]:
    """Return path in dist/ → file to copy there; the rest is made later.

    Raises:
        BuildError: A file is missing, or Pyodide's own lock names another wheel.
    """
    static = ROOT / "static"
    files = {
        path.relative_to(static).as_posix(): path
        for path in sorted(static.rglob("*"))
        if path.is_file() and not path.name.endswith((".d.ts", ".d.mts"))
    }
    files |= {target: NODE_MODULES / source for target, source in NPM_FILES.items()}
    files |= {f"vendor/pyodide/{part.name}": CACHE / part.name for part in PYODIDE_WHEELS.parts}
    files |= {f"models/{part.name}": CACHE / part.name for part in MODEL.parts}
    files["LICENSE"] = ROOT / "LICENSE"
    missing = [str(path.relative_to(ROOT)) for path in files.values() if not path.is_file()]
    if missing:
        raise BuildError(f"missing {', '.join(missing)}: remove node_modules/ and build again")
    lock = json.loads(files["vendor/pyodide/pyodide-lock.json"].read_text(encoding="utf-8"))
    locked = {item["file_name"]: item["sha256"] for item in lock["packages"].values()}
    for part in PYODIDE_WHEELS.parts:
        if locked.get(part.name) != part.sha256:
            raise BuildError(f"{part.name} is not the wheel that pyodide-lock.json names")
    return files


def make_manifest(folder: Path) -> Manifest:
    """Return {"build": id, "total_bytes": n, "files": {path: {"size", "sha256"}}} of a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {
        path.relative_to(folder).as_posix(): {
            "size": path.stat().st_size,
            "sha256": sha256_of(path),
        }
        for path in paths
    }
    build = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]
    total_bytes = sum(path.stat().st_size for path in paths)
    return {"build": build, "total_bytes": total_bytes, "files": files}


def write_dist(
    files: Mapping[str, Path], made: Mapping[str, bytes], dist: Path, cache: Path
) -> Manifest:
    """Copy `files`, write what was `made`, in a new folder; put it in the place of `dist` at once.

    Returns:
        The manifest that was written with them.
    """
    with work_folder(cache) as folder:
        new = folder / "dist"
        for name, source in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, new / name)
        for name, data in made.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(data)
        manifest = make_manifest(new)
        manifest_json = (json.dumps(manifest, indent=1) + "\n").encode()
        (new / "manifest.json").write_bytes(manifest_json)
        precache = make_precache(manifest, manifest_json)
        (new / "precache.js").write_text(precache, encoding="utf-8")
        if dist.exists() or dist.is_symlink():
            dist.rename(folder / "previous")
        new.rename(dist)
    return manifest


def build() -> None:
    """Fetch what is missing and make dist/ anew.

    Raises:
        BuildError: A part cannot be had.
    """
    start = time.perf_counter()
    fetch_node_modules()
    fetch_wheel(PYODIDE_WHEELS)
    fetch_wheel(MODEL)
    app_zip = zip_sources(ROOT)
    files = site_files() | make_snapshot(app_zip, NODE_MODULES / "pyodide")
    made = {"app.zip": app_zip, **draw_icons(ROOT / "static" / "icon.svg")}
    manifest = write_dist(files, made, DIST, CACHE)
    say(
        f"dist/ is ready: {len(manifest['files'])} files, {manifest['total_bytes'] / 1e6:.1f} MB, "
        f"build {manifest['build']}, {time.perf_counter() - start:.1f} s"
    )
