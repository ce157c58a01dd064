"""What users set: connections, segments, and the values that people and programs type."""

from __future__ import annotations
