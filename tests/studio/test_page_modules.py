"""The page's modules that need no document, run by Node, which the build needs anyway."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = sorted((Path(__file__).parent / "page").glob("*.test.mjs"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.split(".")[0])
def test_module(path: Path) -> None:
    node = shutil.which("node")
    assert node, "node was not found: install Node 20 or newer, the build needs it too"
    done = subprocess.run(
        [node, "--test", path], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout
