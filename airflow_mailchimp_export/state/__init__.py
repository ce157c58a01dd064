"""What runs leave under ``exports_root``: each kind of file with its codec and its version."""

from __future__ import annotations
