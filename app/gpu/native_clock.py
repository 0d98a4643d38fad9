"""When compute passes began and ended, for the native host."""

from __future__ import annotations

from typing import Any

from app.gpu.device import UNIFORM_SLOT_BYTES
from app.gpu.pacing import MAX_IN_FLIGHT


class PassClock:
    """Begin and end of a compute pass on the GPU's own clock, for as many as are in flight.

    wgpu gives ticks of a length that it does not tell: shares of times are all they are for.
    """

    def __init__(self, device: Any) -> None:
        """Make room for the passes in flight on a wgpu device with `timestamp-query`."""
        self._queries = device.create_query_set(type="timestamp", count=2 * MAX_IN_FLIGHT)
        self.buffer = device.create_buffer(
            size=MAX_IN_FLIGHT * UNIFORM_SLOT_BYTES,
            usage="QUERY_RESOLVE|COPY_SRC",
            label="pass times",
        )
        self._slot = 0

    @property
    def offset_bytes(self) -> int:
        """Where the last pass has its two times."""
        return self._slot * UNIFORM_SLOT_BYTES

    def next_writes(self) -> dict[str, Any]:
        """Return what the next pass is begun with."""
        self._slot = (self._slot + 1) % MAX_IN_FLIGHT
        return {
            "query_set": self._queries,
            "beginning_of_pass_write_index": 2 * self._slot,
            "end_of_pass_write_index": 2 * self._slot + 1,
        }

    def resolve(self, encoder: Any) -> None:
        """Have the times written to the buffer, once the pass has run."""
        encoder.resolve_query_set(self._queries, 2 * self._slot, 2, self.buffer, self.offset_bytes)
