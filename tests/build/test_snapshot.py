"""The snapshot of Python that the page starts from; the browser's tests show that it runs."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from tools import assemble, snapshot
from tools.fetch import CACHE, NODE_MODULES, ROOT, BuildError

CORE = NODE_MODULES / "pyodide"


def make(cache: Path) -> dict[str, Path]:
    return snapshot.make_snapshot(assemble.zip_sources(ROOT), CORE, cache)


@pytest.mark.slow
@pytest.mark.skipif(
    not (CORE.is_dir() and any(CACHE.glob("numpy-*.whl")) and shutil.which("node")),
    reason="needs the fetched parts and Node: run build.py first",
)
def test_equal_sources_give_equal_bytes(tmp_path: Path) -> None:
    first = {name: path.read_bytes() for name, path in make(tmp_path / "first").items()}
    again = {name: path.read_bytes() for name, path in make(tmp_path / "second").items()}
    assert first == again
    told = json.loads(first["python/snapshot.json"])
    assert {f"python/{library['file']}" for library in told["libraries"]} < set(first)
    assert len(first["python/heap.bin"]) < told["file_bytes"]


def test_nothing_is_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[object]] = []

    def fake_run(command: list[object]) -> int:
        commands.append(command)
        site, home, out = map(Path, map(str, command[-3:]))
        assert (site / "numpy/__init__.py").is_file()
        assert (home / "app/__init__.py").is_file()
        assert not list(site.rglob("tests"))
        out.mkdir()
        (out / "heap.bin").write_bytes(b"heap")
        return 0

    core, wheel = tmp_path / "core", tmp_path / "numpy.whl"
    core.mkdir()
    for name in snapshot.CORE:
        (core / name).write_text(name)
    write_wheel(wheel)
    monkeypatch.setattr(snapshot, "run", fake_run)
    monkeypatch.setattr(snapshot, "_numpy_wheel", lambda: wheel)
    monkeypatch.setattr(snapshot.shutil, "which", lambda name: name)
    cache, app_zip = tmp_path / "cache", assemble.zip_sources(ROOT)
    for _ in range(2):
        made = snapshot.make_snapshot(app_zip, core, cache)
        assert list(made) == ["python/heap.bin"]
    assert len(commands) == 1
    (core / "pyodide.asm.wasm").write_text("another core")
    assert snapshot.make_snapshot(app_zip, core, cache) != made
    assert len(commands) == 2
    assert len(list(cache.iterdir())) == 1  # the old one is gone

    monkeypatch.setattr(snapshot, "run", lambda command: 1)
    (core / "pyodide.asm.wasm").write_text("a third")
    with pytest.raises(BuildError, match="could not be made"):
        snapshot.make_snapshot(app_zip, core, cache)


def test_missing_node_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot.shutil, "which", lambda name: None)
    with pytest.raises(BuildError, match="node was not found"):
        snapshot.make_snapshot(b"", tmp_path, tmp_path)


def write_wheel(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("numpy/__init__.py", "numpy/tests/test_it.py", "numpy/a.so", "numpy/a.pyi"):
            archive.writestr(name, "")
