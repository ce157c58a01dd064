"""Segments, and the rows that say who is in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_mailchimp_export.sandbox.customer_insights.choices import Emptied, SegmentsForm
from airflow_mailchimp_export.sandbox.customer_insights.settings import Settings

PROVIDER, SECOND_PROVIDER, OLD_PROVIDER = "CustomerInsights", "Marketing", "Legacy"
CUSTOMER, CONTACT = "Customer", "Contact"
_TABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment and its rule.

    :param name: the name of its output table, by which members have it.
    :param where: an SQL condition over the columns of the profiles that were loaded.
    """

    name: str
    where: str
    friendly_name: str = ""

    @classmethod
    def from_text(cls, text: str) -> Segment:
        """Read ``NAME=CONDITION``.

        :raises ValueError: it is something else.
        """
        name, found, where = text.partition("=")
        if not found or not where.strip() or not _TABLE_NAME.fullmatch(name.strip()):
            raise ValueError(
                f"{text!r} is no segment: NAME=CONDITION, with letters, digits and _ in the name"
            )
        return cls(name.strip(), where.strip(), name.strip().replace("_", " "))


SAMPLE_SEGMENTS = (
    Segment("VIP", "loyalty_tier = 'platinum' OR lifetime_value >= 1000", "VIP"),
    Segment("Newsletter", "newsletter_opt_in", "Newsletter"),
    Segment(
        "Recent_buyers",
        "last_purchase >= (SELECT max(last_purchase) FROM profiles) - INTERVAL 90 DAY",
        "Recent buyers",
    ),
)
"""What the refresh of the shipped exports makes of the sample profiles, by the names of output tables."""


@dataclass(frozen=True, slots=True)
class Churn:
    """Who changes at a refresh.

    :param leave: share of each segment's members who leave it.
    :param join: share of the others who join it.
    :param turn: the number of the refresh.
    """

    leave: float = 0.0
    join: float = 0.0
    turn: int = 0


def choose(segments: Sequence[Segment], churn: Churn, seed: int) -> str:
    """SQL for the names of the segments that each customer is in."""
    chosen = [_chosen(segment, churn, seed) for segment in segments]
    names = (
        f"list_filter([{', '.join(chosen)}], lambda name: name IS NOT NULL)" if chosen else "[]::varchar[]"
    )
    return f'SELECT "_customer" AS customer_id, "_unit" AS unit, {names} AS names FROM profiles'


def to_rows(settings: Settings, segments: Sequence[Segment]) -> str:
    """SQL for the rows of the table of memberships, out of ``chosen`` and ``emptied``."""
    several = _drawn("several", settings.several_rows, settings.seed)
    contact = _drawn("contact", settings.contact_rows, settings.seed)
    nothing = _drawn("null", settings.null_segments, settings.seed)
    malformed = _drawn("malformed", settings.malformed_segments, settings.seed)
    everything = "[" + ", ".join(f"'{segment.name}'" for segment in segments) + "]::varchar[]"
    text = to_text(settings.segments_form, "names")
    parts = [
        f"SELECT customer_id, unit, '{PROVIDER}' AS provider, '{CUSTOMER}' AS kind, "
        f"if({several}, names[:-2], names) AS names, {malformed} AS malformed, false AS nothing "
        "FROM chosen WHERE len(names) > 0",
        f"SELECT customer_id, unit, '{SECOND_PROVIDER}', '{CUSTOMER}', names[-1:], false, false "
        f"FROM chosen WHERE len(names) > 0 AND {several}",
        f"SELECT customer_id, unit, '{PROVIDER}', '{CONTACT}', {everything}, false, false "
        f"FROM chosen WHERE {contact}",
        f"SELECT customer_id, unit, '{OLD_PROVIDER}', '{CUSTOMER}', []::varchar[], false, true "
        f"FROM chosen WHERE {nothing}",
        f"SELECT customer_id, unit, '{PROVIDER}', '{CUSTOMER}', []::varchar[], false, "
        f"{str(settings.emptied is Emptied.NULL).lower()} FROM emptied",
    ]
    return (
        "SELECT customer_id, unit, provider, kind, names, "
        f"CASE WHEN nothing THEN NULL WHEN malformed THEN left({text}, -2) ELSE {text} END AS segments, "
        f"{IDENTIFIER} AS identifier, md5({IDENTIFIER})::uuid AS row_id FROM ({' UNION ALL '.join(parts)})"
    )


IDENTIFIER = "concat_ws('|', customer_id, provider, kind, 'Segments')"


def to_text(form: SegmentsForm, names: str) -> str:
    """SQL for the JSON of a list of names."""
    return _FORMS[form].format(names=names)


_FORMS: Mapping[SegmentsForm, str] = {
    SegmentsForm.OBJECT: """'{{"Segments":' || to_json({names})::varchar || '}}'""",
    SegmentsForm.LIST: "to_json({names})::varchar",
    SegmentsForm.SPACED: """'{{"Segments": ' || replace(to_json({names})::varchar, ',', ', ') || '}}'""",
}


def _chosen(segment: Segment, churn: Churn, seed: int) -> str:
    condition = f"coalesce(({segment.where}), false)"
    if churn.leave or churn.join:
        draw = f"""md5_number_lower("_customer" || '{segment.name} {seed} {churn.turn}') % {_MILLION}"""
        leaves, joins = (f"{draw} < {round(share * _MILLION)}" for share in (churn.leave, churn.join))
        condition = f"if({condition}, NOT {leaves}, {joins})"
    return f"if({condition}, '{segment.name}', NULL)"


def _drawn(what: str, share: float, seed: int) -> str:
    if not share:
        return "false"
    return f"md5_number_lower(customer_id || '{what} {seed}') % {_MILLION} < {round(share * _MILLION)}"
