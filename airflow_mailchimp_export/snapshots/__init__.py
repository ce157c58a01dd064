"""Segments as files that a refresh builds: snapshots, of which each refresh has a folder of its own."""

from __future__ import annotations
