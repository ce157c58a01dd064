"""Everything before the first profile leaves: read, merge, compare with the ledger, check, write the plan."""

from __future__ import annotations
