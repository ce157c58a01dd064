"""Files that are not what they were."""

from __future__ import annotations

from collections.abc import Callable

Damage = Callable[[bytes], bytes]

DAMAGES: dict[str, Damage] = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) * 2 // 3],
    "zeros": lambda content: bytes(len(content)),
    "zeros inside": lambda content: content[:40] + bytes(max(len(content) - 80, 0)) + content[-40:],
    "something else": lambda content: b'["something", "else"]',
}
"""What a disk, a copy or a person may make of a file."""
