"""The local server: headers, types, revalidation, ranges."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.fetch import BuildError
from tools.headers import HEADERS
from tools.server import Server, make_server, parse_range, serve

ROOT = Path(__file__).resolve().parents[2]
BODY = bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    dist = tmp_path / "dist"
    (dist / "models").mkdir(parents=True)
    (dist / "index.html").write_text("<!doctype html>")
    (dist / "models" / "m.gguf").write_bytes(BODY)
    (tmp_path / "secret.txt").write_text("not served")
    for name in ("a.mjs", "a.js", "a.wasm", "a.whl", "a.zip", "a.css", "a.json", "a.svg"):
        (dist / name).write_bytes(b"{}")
    with make_server(dist) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


class Answer:
    def __init__(self, server: Server, path: str, method: str = "GET", **headers: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=sent)
        response = connection.getresponse()
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        connection.close()


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/models/m.gguf", 200), ("/none", 404), ("/models/", 404)]
)
def test_every_answer_is_isolated(server: Server, path: str, status: int) -> None:
    answer = Answer(server, path)
    assert answer.status == status
    for name, value in HEADERS.items():
        assert answer.headers.get_all(name) == [value]
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert answer.headers["Cache-Control"] == "no-cache"


def test_policy_allows_webassembly_but_no_inline_code() -> None:
    directives = dict(
        part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";")
    )
    assert directives["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert directives["default-src"] == directives["style-src"] == "'self'"
    assert directives["object-src"] == directives["base-uri"] == "'none'"


def test_only_the_worker_that_fetches_models_may_connect_elsewhere(server: Server) -> None:
    def allowed(path: str) -> list[str]:
        policy = Answer(server, path).headers["Content-Security-Policy"]
        directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        return directives["connect-src"].split()

    for path in ("/", "/worker.js", "/ui/download-worker.js", "/none"):
        assert allowed(path) == ["'self'", "blob:", "data:"]
    assert allowed("/download-worker.js?1") == ["'self'", "https:", "http:"]
    page = (ROOT / "static/index.html").read_text(encoding="utf-8")
    bench = (ROOT / "static/bench.html").read_text(encoding="utf-8")
    assert page.count("connect-src 'self' blob: data:;") == 1
    assert bench.count("connect-src 'self' blob: data:;") == 1


@pytest.mark.parametrize(
    ("path", "mime"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/a.mjs", "text/javascript"),
        ("/a.js", "text/javascript"),
        ("/a.wasm", "application/wasm"),
        ("/a.whl", "application/octet-stream"),
        ("/a.zip", "application/zip"),
        ("/a.css", "text/css"),
        ("/a.json", "application/json"),
        ("/a.svg", "image/svg+xml"),
        ("/models/m.gguf", "application/octet-stream"),
    ],
)
def test_types(server: Server, path: str, mime: str) -> None:
    assert Answer(server, path).headers["Content-Type"] == mime


def test_unchanged_file_is_not_sent_again(server: Server, tmp_path: Path) -> None:
    first = Answer(server, "/models/m.gguf")
    assert first.body == BODY
    again = Answer(server, "/models/m.gguf", If_None_Match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    (tmp_path / "dist/models/m.gguf").write_bytes(BODY[::-1])  # same size
    changed = Answer(server, "/models/m.gguf", If_None_Match=first.headers["ETag"])
    assert (changed.status, changed.body) == (200, BODY[::-1])


def test_head_sends_no_body(server: Server) -> None:
    answer = Answer(server, "/models/m.gguf", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(BODY))


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-299", 100, 299),
        ("bytes=10000-", 10000, len(BODY) - 1),
        ("bytes=-7", len(BODY) - 7, len(BODY) - 1),
        ("bytes=10000-99999999", 10000, len(BODY) - 1),
    ],
)
def test_range(server: Server, asked: str, first: int, last: int) -> None:
    answer = Answer(server, "/models/m.gguf", Range=asked)
    assert answer.status == 206
    assert answer.body == BODY[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(BODY)}"
    assert answer.headers["Content-Length"] == str(last - first + 1)


def test_interrupted_download_resumes(server: Server) -> None:
    start = Answer(server, "/models/m.gguf", Range="bytes=0-999")
    rest = Answer(server, "/models/m.gguf", Range="bytes=1000-", If_Range=start.headers["ETag"])
    assert rest.status == 206
    assert start.body + rest.body == BODY
    other = Answer(server, "/models/m.gguf", Range="bytes=1000-", If_Range='"another file"')
    assert (other.status, other.body) == (200, BODY)


@pytest.mark.parametrize("asked", [f"bytes={len(BODY)}-", "bytes=9-3", "bytes=-0"])
def test_range_outside_the_file(server: Server, asked: str) -> None:
    answer = Answer(server, "/models/m.gguf", Range=asked)
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["Content-Range"] == f"bytes */{len(BODY)}"


@pytest.mark.parametrize("header", [None, "", "bytes=-", "lines=1-2", "bytes=0-1,5-6"])
def test_other_ranges_mean_the_whole_file(header: str | None) -> None:
    assert parse_range(header, 100) is None


@pytest.mark.parametrize("path", ["/../secret.txt", "/%2e%2e/secret.txt", "//../secret.txt"])
def test_nothing_outside_is_served(server: Server, path: str) -> None:
    assert Answer(server, path).status == 404


def test_taken_port_is_one_clear_error(server: Server) -> None:
    port = int(server.server_address[1])
    with pytest.raises(BuildError, match=f"port {port} is in use"):
        serve(port)
