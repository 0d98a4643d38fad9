"""The processes of a browser, as `ps` tells of them."""

from __future__ import annotations

import os
import re
import subprocess


def processes() -> list[tuple[int, int, str]]:
    """Return pid, pid of the parent and command line of all processes."""
    rows = [line.split(None, 2) for line in _ps("pid,ppid,args")]
    return [(int(pid), int(parent), args) for pid, parent, args in rows]


def descendants(process: int) -> set[int]:
    """Return a process and all that it and they have started."""
    rows, mine = processes(), {process}
    while more := {pid for pid, parent, _ in rows if parent in mine} - mine:
        mine |= more
    return mine


def processor_seconds() -> float:
    """Return the time that all cores together have spent on what this process has started.

    However many other processes want the cores, and however long it takes by the clock.
    """
    mine = descendants(os.getpid()) - {os.getpid()}
    rows = [line.split() for line in _ps("pid,time")]
    return sum(_seconds(time) for pid, time in rows if int(pid) in mine)


def _ps(columns: str) -> list[str]:
    found = subprocess.run(["ps", "-eo", columns], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()[1:]


def _seconds(time: str) -> float:
    """Return `[days-][hours:]minutes:seconds` in seconds."""
    *days, clock = time.split("-")
    parts = [float(part) for part in re.split(":", clock)]
    seconds = sum(part * 60**power for power, part in enumerate(reversed(parts)))
    return seconds + 86_400 * sum(map(float, days))
