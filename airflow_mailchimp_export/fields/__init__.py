"""From a profile's values to the merge fields of a member; nothing here does any I/O."""

from __future__ import annotations
