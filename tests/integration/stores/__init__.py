"""Exports from and to object stores that run on this machine."""

from __future__ import annotations
