"""Serve dist/ on localhost the way the page wants it: isolated, revalidated, resumable."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import re
import sys
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from tools.assemble import DIST
from tools.fetch import BuildError, say, sha256_of
from tools.headers import headers_of

MIME_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".zip": "application/zip",
    ".whl": "application/octet-stream",
    ".gguf": "application/octet-stream",
    ".txt": "text/plain; charset=utf-8",
}


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return (first, last) of one `bytes=` range, None where the whole file is to be sent.

    Raises:
        ValueError: The range lies outside the file.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:  # the last n bytes
        first, last = max(0, size - int(match[2])), size - 1
    else:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
    if first > last:
        raise ValueError(header)
    return first, last


@functools.lru_cache(maxsize=1024)
def _etag(path: Path, changed_ns: int, size: int) -> str:
    """Return the ETag of a file, computed again when its change time or size differs."""
    return f'"{sha256_of(path)}"'


class _Section(io.RawIOBase):
    """The next `length` bytes of an open file; closes it with itself."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._left = file, length

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


class Handler(SimpleHTTPRequestHandler):
    """Static files with isolation headers, revalidation and ranges."""

    protocol_version = "HTTP/1.1"
    extensions_map = SimpleHTTPRequestHandler.extensions_map | MIME_TYPES

    def end_headers(self) -> None:
        """Add the headers that every answer carries."""
        path = getattr(self, "path", "").split("?")[0]  # none yet where the request is refused
        for name, value in headers_of(path.lstrip("/")).items():
            self.send_header(name, value)
        super().end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Report refusals only."""
        if not str(code).startswith(("2", "3")):
            super().log_request(code, size)

    def send_head(self) -> Any:
        """Answer with the status line and headers; return what is to be sent as body, or None."""
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path /= "index.html"
        try:
            file = path.open("rb")
        except OSError:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        stat = os.fstat(file.fileno())
        etag = _etag(path, stat.st_ctime_ns, stat.st_size)
        section = None
        status = HTTPStatus.OK
        if etag in (self.headers.get("If-None-Match") or ""):
            status = HTTPStatus.NOT_MODIFIED
        elif self.headers.get("If-Range") in (None, etag):
            try:
                section = parse_range(self.headers.get("Range"), stat.st_size)
            except ValueError:
                status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        first, last = section or (0, stat.st_size - 1)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if section else status)
        self.send_header("ETag", etag)
        self.send_header("Last-Modified", self.date_time_string(int(stat.st_mtime)))
        if status is not HTTPStatus.OK:
            if status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                self.send_header("Content-Range", f"bytes */{stat.st_size}")
                self.send_header("Content-Length", "0")
            self.end_headers()
            file.close()
            return None
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if section:
            self.send_header("Content-Range", f"bytes {first}-{last}/{stat.st_size}")
        self.end_headers()
        file.seek(first)
        return _Section(file, last - first + 1)


class Server(ThreadingHTTPServer):
    """A thread for each connection; a page that goes away is no error."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about connections that the browser closed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def make_server(dist: Path = DIST, port: int = 0) -> Server:
    """Return a server of `dist` bound to 127.0.0.1; port 0 takes any free one.

    Raises:
        OSError: The port is taken.
    """

    class DistHandler(Handler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(dist))

    return Server(("127.0.0.1", port), DistHandler)


def serve(port: int | None) -> None:
    """Serve dist/ on `port`, or on the first free one from 8000, until Ctrl-C.

    Raises:
        BuildError: No such port is free.
    """
    ports = range(8000, 8020) if port is None else [port]
    for candidate in ports:
        try:
            server = make_server(port=candidate)
            break
        except OSError as problem:
            if problem.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    else:
        raise BuildError(f"port {ports[0]} is in use or not allowed: choose another with --port")
    with server:
        say(f"serving http://localhost:{server.server_address[1]}/ (Ctrl-C stops)")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    say("stopped")
