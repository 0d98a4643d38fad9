"""A host that knows nothing of this page, as GitHub Pages or a bare `python -m http.server`."""

from __future__ import annotations

import contextlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext

from tests.browser.studio import Studio, wait_kept
from tools.assemble import make_manifest
from tools.precache import make_precache

SUB_PATH = "people/someone/lab"
GO_ON = threading.Event()
"""Set when slow files may be sent to their end."""
WORKER_MAY_COME = threading.Event()
"""Clear while the service worker is held back: until then a page is not loaded once more."""
WORKER_MAY_COME.set()


class QuietHandler(SimpleHTTPRequestHandler):
    """A host that knows of no headers, as a bare `python -m http.server`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer; of a file whose name begins with `slow`, half, and the rest when told to."""
        if Path(self.path).name == "sw.js":
            WORKER_MAY_COME.wait(60)
        if not Path(self.path).name.startswith("slow"):
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        GO_ON.wait(600)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data[len(data) // 2 :])

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class PlainHost:
    """A copy of dist/ below a sub-path, served without isolation headers.

    Attributes:
        folder: The files, links to those of dist/ until they are replaced.
        url: Address of the page.
    """

    def __init__(self, dist: Path, root: Path, model: bytes) -> None:
        self.folder = root / SUB_PATH
        for path in dist.rglob("*"):
            if path.is_file() and path.parent.name != "models":
                link = self.folder / path.relative_to(dist)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
        (self.folder / "models").mkdir()
        (self.folder / "models/tiny.gguf").write_bytes(model)
        (self.folder / "models/slow.gguf").write_bytes(model)
        self.release()
        self.server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(QuietHandler, directory=str(root))
        )
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://localhost:{self.server.server_address[1]}/{SUB_PATH}/"

    def write(self, name: str, text: str) -> None:
        """Replace a file of this copy."""
        (self.folder / name).unlink(missing_ok=True)
        (self.folder / name).write_text(text, encoding="utf-8")

    def release(self) -> None:
        """Describe the files as they are now, as the build does."""
        for name in ("manifest.json", "precache.js"):
            (self.folder / name).unlink(missing_ok=True)
        manifest = make_manifest(self.folder)
        text = json.dumps(manifest)
        self.write("manifest.json", text)
        self.write("precache.js", make_precache(manifest, text.encode()))

    def stop(self) -> None:
        """Go away."""
        self.server.shutdown()
        self.server.server_close()


def open_and_keep(context: BrowserContext, host: PlainHost) -> Studio:
    """Visit for the first time and wait until all of the page is kept."""
    studio = Studio(context.new_page())
    studio.open(host.url, model="models/tiny.gguf")
    studio.wait_status("ready")
    wait_kept(studio.page)
    return studio
