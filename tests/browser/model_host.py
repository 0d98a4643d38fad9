"""A host of models on an origin of its own, which goes wrong where it is told to."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class ModelHost:
    """Files by path, and how they are given.

    Attributes:
        files: Path → contents.
        status: Path → what is answered in place of them.
        types: Path → Content-Type, where it is another than that of bytes.
        halves: Paths of which half is sent, the rest once `go_on` is set.
        silent: Paths that are not answered before `go_on` is set.
        breaks: Paths whose next answer breaks off in the middle.
        has_ranges: Whether it heeds Range.
        is_open: Whether pages of other sites may read it.
        requests: Method, path and Range of what was asked for, in order.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    halves: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    breaks: set[str] = field(default_factory=set)
    has_ranges: bool = True
    is_open: bool = True
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def add_repository(self, name: str, files: Mapping[str, bytes]) -> None:
        """Serve a model as a host of repositories does, with the list of its files."""
        for file, data in files.items():
            self.files[f"/{name}/resolve/{COMMIT}/{file}"] = data
        siblings = [{"rfilename": file, "size": len(data)} for file, data in files.items()]
        for sibling, data in zip(siblings, files.values(), strict=True):
            if str(sibling["rfilename"]).endswith(".safetensors"):
                digest = hashlib.sha256(data).hexdigest()
                sibling |= {"lfs": {"sha256": digest, "size": len(data)}}
        listing = {"sha": COMMIT, "siblings": siblings}
        self.files[f"/api/models/{name}/revision/main"] = json.dumps(listing).encode()

    def start(self) -> None:
        """Begin to answer."""
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.answer(self)

            def do_HEAD(self) -> None:
                host.answer(self)

            def do_OPTIONS(self) -> None:
                # Who asks for leave first is not given it, as by hosts of large files.
                self.send_response(403)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://localhost:{self.server.server_address[1]}"

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        path = to.path.split("?")[0]
        wanted = to.headers.get("Range", "")
        self.requests.append((to.command, path, wanted))
        if path in self.silent:
            self.go_on.wait(600)
        data = self.files.get(path, b"")
        status = self.status.get(path, 200 if path in self.files else 404)
        start = 0
        found = re.fullmatch(r"bytes=(\d+)-", wanted)
        if status == 200 and found and self.has_ranges:
            start, status = int(found[1]), 206
        part = data[start:] if status in (200, 206) else b""
        to.send_response(status)
        if self.is_open:
            to.send_header("Access-Control-Allow-Origin", "*")
            to.send_header("Access-Control-Expose-Headers", "ETag, Content-Range, X-Repo-Commit")
        to.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()[:16]}"')
        to.send_header("Content-Type", self.types.get(path, "application/octet-stream"))
        to.send_header("Content-Length", str(len(part)))
        if status == 206:
            to.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        to.end_headers()
        if to.command == "HEAD":
            return
        with contextlib.suppress(ConnectionError):
            self._send(to, path, part)

    def _send(self, to: BaseHTTPRequestHandler, path: str, part: bytes) -> None:
        if path in self.breaks:
            self.breaks.discard(path)
            to.wfile.write(part[: len(part) // 2])
            to.close_connection = True
        elif path in self.halves and not self.go_on.is_set():
            to.wfile.write(part[: len(part) // 2])
            to.wfile.flush()
            self.go_on.wait(600)
            to.wfile.write(part[len(part) // 2 :])
        else:
            to.wfile.write(part)

    def asked(self, ending: str, method: str = "GET") -> list[str]:
        """Return the ranges of the requests for paths that end so."""
        return [
            wanted
            for command, path, wanted in self.requests
            if command == method and path.endswith(ending)
        ]

    def stop(self) -> None:
        """Go away."""
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()
