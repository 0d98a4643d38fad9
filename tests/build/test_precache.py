"""What the service worker keeps, and the icons of the installed app."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from tools.assemble import make_manifest
from tools.fetch import BuildError
from tools.headers import HEADERS, OWN_HEADERS
from tools.icons import MASKABLE, SIZES, draw_icon, draw_icons
from tools.precache import make_precache

STATIC = Path(__file__).resolve().parents[2] / "static"


def exported(module: str, name: str) -> Any:
    match = re.search(rf"export const {name} = (.*?);\n", module, re.DOTALL)
    assert match, name
    return json.loads(match[1])


def test_every_file_but_models_is_kept_by_hash(tmp_path: Path) -> None:
    for name in ("index.html", "ui/chat.js", "python/heap.bin", "models/big.gguf", "sw.js"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    manifest = make_manifest(tmp_path)
    module = make_precache(manifest, b"the manifest")
    files = exported(module, "FILES")
    assert set(files) == {"index.html", "ui/chat.js", "python/heap.bin", "manifest.json"}
    assert files["ui/chat.js"] == manifest["files"]["ui/chat.js"]
    assert files["manifest.json"] == {
        "size": 12,
        "sha256": hashlib.sha256(b"the manifest").hexdigest(),
    }
    assert exported(module, "BUILD") == manifest["build"]


def test_kept_answers_carry_the_servers_headers_but_its_caching() -> None:
    module = make_precache({"build": "b", "files": {}}, b"")
    headers = exported(module, "HEADERS")
    assert {**headers, "Cache-Control": "no-cache"} == HEADERS
    assert exported(module, "OWN_HEADERS") == OWN_HEADERS


def test_a_changed_file_changes_the_module(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    first = make_precache(make_manifest(tmp_path), b"{}")
    assert first == make_precache(make_manifest(tmp_path), b"{}")
    (tmp_path / "a.js").write_text("2")
    assert first != make_precache(make_manifest(tmp_path), b"{}")


def pixels(png: bytes) -> tuple[int, list[bytes]]:
    side, high = struct.unpack(">II", png[16:24])
    assert side == high
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    start = png.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", png[start - 8 : start - 4])
    data = zlib.decompress(png[start : start + length])
    rows = [data[y * (4 * side + 1) + 1 : (y + 1) * (4 * side + 1)] for y in range(side)]
    return side, rows


def at(rows: list[bytes], x: int, y: int) -> tuple[int, ...]:
    return tuple(rows[y][4 * x : 4 * x + 4])


def test_icon_is_the_drawing() -> None:
    side, rows = pixels(draw_icon(STATIC / "icon.svg", 64, 1.0))
    assert side == 64
    assert at(rows, 0, 0) == (0, 0, 0, 0)  # the round corner
    assert at(rows, 4, 32) == (0x43, 0x38, 0xCA, 255)  # the ground
    assert at(rows, 20, 30) == (255, 255, 255, 255)  # the broad bar
    assert at(rows, 38, 30) == (0xA5, 0xF3, 0xD0, 255)
    assert at(rows, 50, 20) == (0x43, 0x38, 0xCA, 255)  # above the short bar
    red, green, _, alpha = at(rows, 50, 40)  # which lets a quarter of the ground through
    assert (red, green, alpha) == (round(0xA5 * 0.75 + 0x43 / 4), 196, 255)


def test_maskable_icon_has_its_drawing_in_the_inner_circle() -> None:
    _, rows = pixels(draw_icon(STATIC / "icon.svg", 64, 0.85, is_maskable=True))
    for y in range(64):
        for x in range(64):
            assert at(rows, x, y)[3] == 255
            if (x - 31.5) ** 2 + (y - 31.5) ** 2 > (0.4 * 64 + 1) ** 2:
                assert at(rows, x, y) == (0x43, 0x38, 0xCA, 255)


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    drawing = tmp_path / "round.svg"
    drawing.write_text('<svg viewBox="0 0 8 8"><circle r="3" fill="#fff"/></svg>')
    with pytest.raises(BuildError, match="only rects"):
        draw_icon(drawing, 8, 1.0)


def test_app_manifest_names_the_icons_that_are_drawn() -> None:
    manifest = json.loads((STATIC / "app.webmanifest").read_text())
    named = {icon["src"].removeprefix("./") for icon in manifest["icons"]}
    assert named == {*SIZES, *MASKABLE, "icon.svg"}
    assert manifest["display"] == "standalone"
    for address in (manifest["start_url"], manifest["scope"], manifest["id"]):
        assert address == "./"  # any sub-path
    drawn = draw_icons(STATIC / "icon.svg")
    for icon in manifest["icons"]:
        if icon["type"] == "image/png":
            side, _ = pixels(drawn[icon["src"].removeprefix("./")])
            assert icon["sizes"] == f"{side}x{side}"
