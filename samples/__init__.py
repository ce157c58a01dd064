"""The sample data, and how it is made."""

from __future__ import annotations
