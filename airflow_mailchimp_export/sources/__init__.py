"""Where segments come from: files, folders and globs, data frames and tables, as streams of Arrow batches."""

from __future__ import annotations
