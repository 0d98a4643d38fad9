"""One operation is one shader, one recorder, one twin, one test; shaders keep their form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHADERS = sorted((ROOT / "wgsl").glob("*.wgsl"))
PRELUDES = sorted((ROOT / "wgsl/lib").glob("*.wgsl"))
OPS = sorted(path for path in (ROOT / "app/ops").glob("*.py") if path.stem != "__init__")
MAX_LINES = 150

TWINS = {
    "apply": "stochastic",
    "convert": "gguf_blocks",
    "delta": "adamw",
    "gradient": "linear",
    "lora": "linear",
    "low_rank": "linear",
    "update": "adamw",
    "matrix": "gguf_blocks",
    "kv_cache": "attention",
}
"""Operations whose twin is part of another one's."""


def named(path: Path) -> str:
    return path.stem


def ops_source() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in OPS)


def test_there_are_shaders_and_operations() -> None:
    assert len(SHADERS) > 15
    assert len(OPS) > 8


@pytest.mark.parametrize("path", SHADERS, ids=named)
def test_shader(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0].startswith(f"// {path.stem} — "), "say what it computes in the first line"
    header = text.split("\n\n", 1)[0]
    assert all(line.startswith("//") for line in header.splitlines())
    assert "Dispatch" in header, "the header gives the grid"
    assert len(lines) <= MAX_LINES
    assert max(map(len, lines)) <= 120
    assert re.findall(r"@compute[^{]*?\bfn (\w+)", text) == [path.stem]
    assert f'"{path.stem}"' in ops_source(), "an operation names it"


@pytest.mark.parametrize("path", PRELUDES, ids=named)
def test_prelude(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("// Prelude: ")
    assert len(lines) <= MAX_LINES


@pytest.mark.parametrize("path", OPS, ids=named)
def test_operation(path: Path) -> None:
    twin = TWINS.get(path.stem, path.stem)
    assert (ROOT / f"app/reference/{twin}.py").is_file()
    assert (ROOT / f"tests/ops/test_{path.stem}.py").is_file()
    text = path.read_text(encoding="utf-8")
    assert "app.reference" not in re.sub(r'""".*?"""', "", text, flags=re.DOTALL)
