"""Run inside Pyodide while the page is built: import all that the page may come to need.

What is not imported here cannot be imported in the page, apart from the standard library.
"""

import contextlib
import gc
import importlib
import pkgutil
import sys

NATIVE = ("app.gpu.native", "app.cli", "app.__main__")
"""Modules and packages for the command line only."""

LAZY = ("numpy._core", "numpy.lib", "numpy.linalg", "numpy.random")
"""Packages of numpy that import parts of themselves on first use."""


def modules_of(package: str) -> list[str]:
    """Return the modules below a package, tests left out."""
    found = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    return [item.name for item in found if "test" not in item.name]


sys.path.insert(0, "/home/pyodide")
for name in modules_of("app"):
    if not any(f"{name}.".startswith(f"{native}.") for native in NATIVE):
        importlib.import_module(name)
for package in LAZY:
    for name in modules_of(package):
        with contextlib.suppress(ImportError):  # scripts of numpy's own build
            importlib.import_module(name)

from app.gpu.kernels import WGSL_DIR, read_wgsl  # noqa: E402
from app.plan.tuning_cache import kernels_hash  # noqa: E402

for path in sorted(WGSL_DIR.rglob("*.wgsl")):
    read_wgsl(path.relative_to(WGSL_DIR).with_suffix("").as_posix())

kernels_hash()

gc.collect()
