"""The plan beside the answers: what became of every row, the report, and the next ledger."""

from __future__ import annotations
