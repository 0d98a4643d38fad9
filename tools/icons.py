"""Draw static/icon.svg as PNG files: installing a page as an app wants them in pixels."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tools.fetch import BuildError

SIZES = {"icons/icon-192.png": (192, 1.0), "icons/icon-512.png": (512, 1.0)}
"""Path in dist/ → side in pixels, scale of what is drawn on the ground."""
MASKABLE = {"icons/maskable-512.png": (512, 0.85)}
"""The same for launchers that cut their own shape: nothing may lie outside the inner 80 %."""

_BAR = re.compile(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)(?:H[\d.]+|h-[\d.]+)z")


@dataclass(frozen=True)
class _Box:
    """A rectangle in units of the drawing, with one colour and round corners."""

    left: float
    top: float
    width: float
    height: float
    radius: float
    color: tuple[int, int, int]
    opacity: float


def _read_boxes(svg: Path) -> tuple[float, list[_Box]]:
    """Return the drawing's side and its boxes, the ground first.

    Raises:
        BuildError: It holds a shape other than a rect or an upright box as a path.
    """
    root = ElementTree.fromstring(svg.read_text(encoding="utf-8"))
    side = float(root.attrib["viewBox"].split()[2])
    boxes = []
    for node in root:
        what = node.attrib
        bar = _BAR.fullmatch(what.get("d", ""))
        if bar:
            left, top, width, height = (float(number) for number in bar.groups())
        elif node.tag.endswith("rect"):
            left, top = float(what.get("x", 0)), float(what.get("y", 0))
            width, height = float(what["width"]), float(what["height"])
        else:
            raise BuildError(f"{svg.name}: only rects and upright boxes can be drawn as PNG")
        color = what["fill"].lstrip("#")
        color = color if len(color) == 6 else "".join(digit * 2 for digit in color)
        red, green, blue = bytes.fromhex(color)
        radius, opacity = float(what.get("rx", 0)), float(what.get("opacity", 1))
        boxes.append(_Box(left, top, width, height, radius, (red, green, blue), opacity))
    return side, boxes


def _coverage(box: _Box, x: int, y: int, scale: float) -> float:
    """Return the share of pixel (x, y) that a box covers; round corners by 4 × 4 samples."""
    across = min(x + 1, (box.left + box.width) * scale) - max(x, box.left * scale)
    down = min(y + 1, (box.top + box.height) * scale) - max(y, box.top * scale)
    if across <= 0 or down <= 0:
        return 0.0
    radius = box.radius * scale
    near_x = min(x + 0.5 - box.left * scale, (box.left + box.width) * scale - x - 0.5)
    near_y = min(y + 0.5 - box.top * scale, (box.top + box.height) * scale - y - 0.5)
    if near_x >= radius or near_y >= radius:
        return across * down
    inside = 0
    for step in range(16):
        dx = radius - near_x + (step % 4 - 1.5) / 4
        dy = radius - near_y + (step // 4 - 1.5) / 4
        inside += max(0.0, dx) ** 2 + max(0.0, dy) ** 2 <= radius * radius
    return inside / 16


def draw_icon(svg: Path, side_pixels: int, scale: float, *, is_maskable: bool = False) -> bytes:
    """Return a square RGBA PNG of the drawing.

    `scale` shrinks what lies on the ground towards the middle; a maskable icon's ground has no
    corners and fills the square.
    """
    side, boxes = _read_boxes(svg)
    unit = side_pixels / side

    def place(box: _Box, index: int) -> _Box:
        if index == 0:
            return _Box(0, 0, side, side, 0, box.color, 1) if is_maskable else box
        middle = side / 2
        left, top = middle + (box.left - middle) * scale, middle + (box.top - middle) * scale
        size = box.width * scale, box.height * scale
        return _Box(left, top, *size, box.radius * scale, box.color, box.opacity)

    placed = [place(box, index) for index, box in enumerate(boxes)]
    rows: list[bytes] = []
    drawn: dict[tuple[float, ...], bytes] = {}
    ground = placed[0]
    for y in range(side_pixels):
        # Away from the corners a row is known by how much of it each box covers.
        is_corner = min(y, side_pixels - 1 - y) < ground.radius * unit
        kind = tuple(
            max(0.0, min(y + 1, (box.top + box.height) * unit) - max(y, box.top * unit))
            for box in placed
        )
        row = None if is_corner else drawn.get(kind)
        if row is None:
            row = _draw_row(placed, y, side_pixels, unit)
            if not is_corner:
                drawn[kind] = row
        rows.append(b"\0" + row)
    return _png(side_pixels, b"".join(rows))


def _draw_row(boxes: list[_Box], y: int, side_pixels: int, unit: float) -> bytes:
    row = bytearray()
    for x in range(side_pixels):
        red = green = blue = alpha = 0.0  # premultiplied
        for box in boxes:
            share = _coverage(box, x, y, unit) * box.opacity
            if share:
                rest = 1 - share
                red = red * rest + box.color[0] * share
                green = green * rest + box.color[1] * share
                blue = blue * rest + box.color[2] * share
                alpha = alpha * rest + share
        whole = alpha or 1.0
        channels = (red / whole, green / whole, blue / whole, alpha * 255)
        row += bytes(min(255, round(value)) for value in channels)
    return bytes(row)


def _png(side_pixels: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", side_pixels, side_pixels, 8, 6, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def draw_icons(svg: Path) -> dict[str, bytes]:
    """Return path in dist/ → PNG."""
    plain = {path: draw_icon(svg, *shape) for path, shape in SIZES.items()}
    masked = {path: draw_icon(svg, *shape, is_maskable=True) for path, shape in MASKABLE.items()}
    return plain | masked
