"""Segments in databases: a query's rows as a stream of Arrow batches."""

from __future__ import annotations
