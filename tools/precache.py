"""What the service worker keeps so that the page opens without a network: precache.js."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tools.headers import HEADERS, OWN_HEADERS

NOT_KEPT = ("models/", "sw.js")
"""Models have a store of their own; the browser itself keeps the service worker."""


def make_precache(manifest: dict[str, Any], manifest_json: bytes) -> str:
    """Return the module that static/sw.js imports.

    It holds the build's id, the headers of every answer, and the size and hash of every file to
    keep, manifest.json included. The browser compares it with the former one byte by byte: any
    change in the page makes a new service worker.
    """
    files = {
        path: entry for path, entry in manifest["files"].items() if not path.startswith(NOT_KEPT)
    }
    digest = hashlib.sha256(manifest_json).hexdigest()
    files["manifest.json"] = {"size": len(manifest_json), "sha256": digest}
    headers = {name: value for name, value in HEADERS.items() if name != "Cache-Control"}
    return (
        "// Written by build.py.\n"
        f"export const BUILD = {json.dumps(manifest['build'])};\n"
        f"export const HEADERS = {json.dumps(headers, indent=1)};\n"
        f"export const OWN_HEADERS = {json.dumps(OWN_HEADERS, indent=1)};\n"
        f"export const FILES = {json.dumps(files, indent=1, sort_keys=True)};\n"
    )
