"""Chromium with WebGPU on a software adapter, and a server for the page and the peers' files."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tools.checks import find_browser
from tools.server import MIME_TYPES, Server

HERE = Path(__file__).resolve().parent
PAGE, PACKAGES = HERE / "page", HERE / "node_modules"
FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--enable-unsafe-webgpu",
)
SOFTWARE = "--use-webgpu-adapter=swiftshader"


class Handler(SimpleHTTPRequestHandler):
    """The page, the peers' packages, and files by name; isolated, so that clocks are precise."""

    protocol_version = "HTTP/1.1"
    extensions_map = SimpleHTTPRequestHandler.extensions_map | MIME_TYPES
    files: dict[str, Path]
    blobs: dict[str, bytes]

    def end_headers(self) -> None:
        for name, value in (
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Embedder-Policy", "require-corp"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing: stdout is for figures."""

    def do_GET(self) -> None:
        blob = self.blobs.get(self.path)
        if blob is None:
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(blob)))
        self.end_headers()
        self.wfile.write(blob)

    def translate_path(self, path: str) -> str:
        path = path.split("?")[0]
        if path in self.files:
            return str(self.files[path])
        self.directory = str(HERE if path.startswith("/node_modules/") else PAGE)
        return super().translate_path(path)


@contextmanager
def open_page(
    files: dict[str, Path], blobs: dict[str, bytes], *, has_gpu: bool = False
) -> Iterator[Page]:
    """Serve and open the page.

    Args:
        files: More files to serve, by path; may be added to.
        blobs: Bytes to serve, by path; may be added to.
        has_gpu: Use the machine's GPU instead of the software adapter.

    Raises:
        SystemExit: the peers are not installed.
    """
    if not PACKAGES.is_dir():
        raise SystemExit(f"error: the peers are not installed: run `npm ci` in {HERE}")
    handler = type("PeersHandler", (Handler,), {"files": files, "blobs": blobs})
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    flags = FLAGS if has_gpu else (*FLAGS, SOFTWARE)
    try:
        with sync_playwright() as playwright:
            path = os.environ.get("LORA_LAB_CHROMIUM") or find_browser()
            browser = playwright.chromium.launch(executable_path=path, args=list(flags))
            try:
                page = browser.new_page()
                page.set_default_timeout(0)
                page.on("console", _report)
                page.on("pageerror", lambda error: print(f"page: {error}", file=sys.stderr))
                page.goto(f"http://localhost:{server.server_address[1]}/index.html")
                page.wait_for_function("window.peers !== undefined", timeout=30_000)
                yield page
            finally:
                browser.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _report(message: Any) -> None:
    if message.type in ("error", "warning"):
        print(f"console: {message.text}", file=sys.stderr)
