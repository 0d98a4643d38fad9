"""The real model's tokenizer, and the page's JavaScript laid out as the page serves it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.io.gguf import read_gguf
from app.io.source import FileSource
from app.text.tokenizer import Tokenizer, tokenizer_from_gguf
from app.text.tokenizer_json import tokenizer_json_from_gguf

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "dist/models/smollm2-135m-instruct-q4_1.gguf"
PACKAGES = {
    "tokenizers/tokenizers.mjs": "@huggingface/tokenizers/dist/tokenizers.min.mjs",
    "jinja/jinja.mjs": "@huggingface/jinja/dist/index.js",
}
SCRIPTS = (
    "text/tokenizer.js",
    "text/pre-tokenizer.js",
    "text/unicode-classes.js",
    "text/chat-template.js",
    "template-worker.js",
    "messages/mark.js",
)


@pytest.fixture(scope="session")
def metadata() -> dict[str, Any]:
    """Metadata of the bundled model, which build.py puts in dist/."""
    return asyncio.run(read_gguf(FileSource(MODEL))).metadata


@pytest.fixture(scope="session")
def tokenizer_json(metadata: dict[str, Any]) -> dict[str, Any]:
    return tokenizer_json_from_gguf(metadata)


@pytest.fixture(scope="session")
def tokenizer(metadata: dict[str, Any]) -> Tokenizer:
    return tokenizer_from_gguf(metadata)


class Page:
    """A folder with the page's text scripts and their packages, run under Node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "package.json").write_text('{"type": "module"}')
        for name in SCRIPTS:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / "static" / name, folder / name)
        for name, source in PACKAGES.items():
            target = folder / "vendor" / name
            target.parent.mkdir(parents=True)
            shutil.copy(ROOT / "node_modules" / source, target)

    def run(self, script: str, request: Any) -> Any:
        """Give a JSON request to a script beside this file; return its JSON answer."""
        done = subprocess.run(
            ["node", str(Path(__file__).with_name(script)), str(self.folder)],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def encode(self, tokenizer_json: dict[str, Any], texts: list[str]) -> list[list[int]]:
        """Return the browser's ids of each text."""
        request = {"tokenizer": json.dumps(tokenizer_json), "texts": texts, "ids": []}
        ids: list[list[int]] = self.run("encode_with_js.mjs", request)["ids"]
        return ids


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(tmp_path_factory.mktemp("page"))
