"""How often something happened in a row."""

from __future__ import annotations

import threading


class Streak:
    """Counts what happens in a row, from any thread.

    :param longest: how many in a row are too many.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._length = 0
        self._lock = threading.Lock()

    def extend(self) -> bool:
        """Count one more; return whether that is too many."""
        with self._lock:
            self._length += 1
            return self._length >= self._longest

    def end(self) -> None:
        """Begin again at none."""
        with self._lock:
            self._length = 0
