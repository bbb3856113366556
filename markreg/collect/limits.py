"""What a live run may take from a node: seconds and bytes, over all its captures."""

from __future__ import annotations

import time

SECONDS = 60.0
BYTES = 256 << 20
# Connections and sockets, each.
ENTRIES = 200_000


class Budget:
    """The time and the output that are left. ``entries``: how many connections, and how many sockets, are read."""

    def __init__(self, seconds: float = SECONDS, size: int = BYTES, entries: int = ENTRIES) -> None:
        self._end = time.monotonic() + seconds
        self.seconds = seconds
        self.bytes = size
        self.entries = entries

    @property
    def left(self) -> float:
        """Seconds until the run must end; 0 when it should have."""
        return max(0.0, self._end - time.monotonic())
