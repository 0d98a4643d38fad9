"""Find a shader's WGSL, put its preludes in front, specialise it with override constants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

WGSL_DIR = Path(__file__).resolve().parents[2] / "wgsl"


@dataclass(frozen=True)
class KernelSource:
    """One shader, specialised: its label, its WGSL and its override constants."""

    label: str
    code: str
    entry_point: str
    constants: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Kernel:
    """A shader by name: `wgsl/<name>.wgsl`, whose entry point is its file stem.

    Attributes:
        name: File stem.
        preludes: Stems of `wgsl/lib/` files put in front, in order.
        constants: Values of `override` declarations.
    """

    name: str
    preludes: tuple[str, ...] = ()
    constants: tuple[tuple[str, float], ...] = ()

    @property
    def label(self) -> str:
        """Name with what it was specialised by, for error messages and profiles."""
        parts = [*self.preludes, *(f"{key}={value:g}" for key, value in self.constants)]
        return f"{self.name}({', '.join(parts)})" if parts else self.name

    def source(self) -> KernelSource:
        """Return the complete WGSL with its constants."""
        pieces = [read_wgsl(f"lib/{prelude}") for prelude in self.preludes]
        pieces.append(read_wgsl(self.name))
        return KernelSource(self.label, "\n".join(pieces), self.name, self.constants)


@cache
def read_wgsl(name: str) -> str:
    """Return the text of `wgsl/<name>.wgsl`."""
    return (WGSL_DIR / f"{name}.wgsl").read_text(encoding="utf-8")
