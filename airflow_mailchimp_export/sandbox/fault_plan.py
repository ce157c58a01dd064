"""Faults for the next calls that match a pattern, so many of them and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_mailchimp_export.sandbox.faults import Fault, to_fault
from airflow_mailchimp_export.sandbox.options import to_truth
from airflow_mailchimp_export.sandbox.planned import NAMES, Plan, Planned, read_calls

_NAMES = (*NAMES, "applied")


@dataclass(slots=True, eq=False)
class PlannedFault(Planned[Fault]):
    """One fault, and the calls that it waits for; its path is without ``/3.0`` and query."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PlannedFault:
        """Read what a control call or the command line names.

        :raises ValueError: something is missing, unknown, or cannot be.
        """
        calls = read_calls(values, _NAMES)
        return cls(_fault(values), *calls)

    def to_json(self) -> dict[str, Any]:
        """Say what it is, also whether the work is done all the same."""
        # By name: a class with slots is made anew, and a bare super() still means the first one.
        return {**super(PlannedFault, self).to_json(), "applied": self.fault.applied}


FaultPlan = Plan[Fault]


def _fault(values: Mapping[str, Any]) -> Fault:
    word, applied = str(values["answer"]), to_truth(values.get("applied", False))
    fault = to_fault(word, applied=applied)
    if "applied" in values and fault.applied is not applied:
        raise ValueError(f"{word!r} says by itself whether the work is done.")
    return fault
