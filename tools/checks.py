"""Install what the checks need, and run them all: style, types, layers, then the tests."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.assemble import build
from tools.fetch import CACHE, NODE_MODULES, PIP, ROOT, BuildError, retry, run, say, sha256_of

VENV = ROOT / ".venv-test"
TEST_LOCK = ROOT / "requirements" / "test.txt"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADAPTER_PROBE = "import wgpu; print(wgpu.gpu.request_adapter_sync().info['device'])"


def venv_bin() -> Path:
    """Return the folder of the test environment's programs."""
    return VENV / ("Scripts" if os.name == "nt" else "bin")


def venv_python() -> Path:
    """Return the test environment's interpreter."""
    return venv_bin() / ("python.exe" if os.name == "nt" else "python")


def check_environment() -> dict[str, str]:
    """Return the environment in which the checks run."""
    path = [str(venv_bin()), str(NODE_MODULES / ".bin"), os.environ.get("PATH", "")]
    return {
        **os.environ,
        "PATH": os.pathsep.join(path),
        "VIRTUAL_ENV": str(VENV),
        "PRE_COMMIT_HOME": str(CACHE / "pre-commit"),
        "PYTHONUNBUFFERED": "1",
        # The tests fail, instead of being skipped, when the browser or the adapter is missing.
        "LORA_LAB_CI": "1",
    }


def make_venv() -> None:
    """Install requirements/test.txt into .venv-test/ unless that is what lies there.

    Raises:
        BuildError: The environment could not be made, or pip failed.
    """
    stamp = VENV / ".lora-lab"
    wanted = f"{sha256_of(TEST_LOCK)} {sys.version_info[:2]} {platform.machine()}"
    if stamp.is_file() and stamp.read_text() == wanted and venv_python().exists():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    # Without pip of its own: Debian's python3 has no ensurepip unless python3-venv is there.
    if run([sys.executable, "-m", "venv", "--without-pip", VENV]) != 0:
        raise BuildError(f"{sys.executable} could not make {VENV.name}/: see above")
    install = [*PIP, "--python", str(venv_python()), "install", "--quiet", "--no-deps"]
    install += ["--require-hashes", "--only-binary=:all:", "-r", str(TEST_LOCK)]
    say("installing the checks' packages into .venv-test/")
    retry("the checks' packages", lambda: run(install) == 0, (3.0, 15.0))
    stamp.write_text(wanted)


def apt_install(*packages: str) -> bool:
    """Install Debian packages where that is possible; tell whether it worked."""
    if shutil.which("apt-get") is None or os.name != "posix" or os.geteuid() != 0:
        return False
    say(f"installing {' '.join(packages)} with apt-get")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    return run(["apt-get", "update"], env) == 0 and run(install, env) == 0


def ensure_adapter(env: dict[str, str]) -> None:
    """Make sure that wgpu finds an adapter, if only Mesa's lavapipe.

    Raises:
        BuildError: None was found; says what to install.
    """
    probe = [str(venv_python()), "-c", ADAPTER_PROBE]
    if run(probe, env) == 0:
        return
    if not (apt_install("mesa-vulkan-drivers", "libvulkan1") and run(probe, env) == 0):
        raise BuildError(
            "no WebGPU adapter for the native tests: install a GPU driver with Vulkan, or "
            "Mesa's lavapipe (Debian: apt install mesa-vulkan-drivers libvulkan1)"
        )


def find_browser() -> str | None:
    """Return the path of an installed Chromium or Google Chrome."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def ensure_browser(env: dict[str, str]) -> None:
    """Make sure of Chromium, and name it to the tests in LORA_LAB_CHROMIUM where it has a path.

    Raises:
        BuildError: None was found and none could be installed; says what to install.
    """
    found = find_browser()
    if found is None and apt_install("chromium"):
        found = find_browser()
    if found is not None:
        env["LORA_LAB_CHROMIUM"] = found
        return
    say("no Chromium on the PATH: trying Playwright's own")
    if run([venv_python(), "-m", "playwright", "install", "chromium"], env) != 0:
        raise BuildError(
            "no browser for the page's tests: install Chromium or Google Chrome "
            "(Debian: apt install chromium), or let Playwright download its own"
        )


def run_checks(pytest_arguments: Sequence[str], keep_going: bool) -> int:
    """Prepare, then run every group of checks; return 0 only if all passed.

    Raises:
        BuildError: Something the checks need cannot be had.
    """
    begin = time.perf_counter()
    env = check_environment()
    make_venv()
    build()
    ensure_adapter(env)
    ensure_browser(env)
    python = str(venv_python())
    lint = [python, "-m", "pre_commit", "run", "--all-files", "--verbose", "--color", "never"]
    groups = {
        "style, types, layers (.pre-commit-config.yaml)": lint,
        "tests": [python, "-m", "pytest", "--durations", "15", *pytest_arguments],
    }
    results = {}
    for title, command in groups.items():
        say(f"\n=== {title}")
        start = time.perf_counter()
        status = run(command, env)
        results[title] = "ok" if status == 0 else f"FAILED (exit {status})"
        say(f"=== {title}: {results[title]}, {time.perf_counter() - start:.1f} s")
        if status != 0 and not keep_going:
            break
    say("\n" + "\n".join(f"{title}: {result}" for title, result in results.items()))
    say(f"all together {(time.perf_counter() - begin) / 60:.1f} min")
    return 0 if all(result == "ok" for result in results.values()) else 1
