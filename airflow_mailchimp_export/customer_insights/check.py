"""What stands in the way of reading segments by a connection: what the Test button shows."""

from __future__ import annotations

from airflow_mailchimp_export.customer_insights.identity import ApplicationUser, who_am_i
from airflow_mailchimp_export.customer_insights.memberships import segments_of
from airflow_mailchimp_export.customer_insights.pages import Row
from airflow_mailchimp_export.customer_insights.reader import Reader
from airflow_mailchimp_export.customer_insights.tables import (
    CUSTOMER_ID,
    MEMBERSHIP,
    PROFILE,
    SEGMENTS,
    Table,
    read_table,
)
from airflow_mailchimp_export.errors import ExportError, sentences
from airflow_mailchimp_export.findings import Findings
from airflow_mailchimp_export.settings.insights import InsightsSettings


def check_connection(client: Reader, settings: InsightsSettings) -> tuple[bool, str]:
    """Say whether segments could be read, what stands in the way, and who reads them.

    :raises ExportError: there is no token, or the organisation knows nobody of that name.
    """
    found = Findings()
    user = who_am_i(client)
    _check_unit(user, found)
    found.facts.append(f"Application user {user.name} of {settings.organisation.host}")
    if user.is_in_root is None:
        found.facts.append(
            "Whether its business unit is the root cannot be told: compare what it reads with the counts that Customer "
            "Insights shows (python -m airflow_mailchimp_export.customer_insights segments CONN)"
        )
    elif user.unit:
        found.facts.append(f"Business unit {user.unit}")
    for name in (MEMBERSHIP, PROFILE):
        _check_table(client, name, found)
    if settings.unknown_extra:
        found.facts.append(f"Unknown extra fields, perhaps mistyped: {', '.join(settings.unknown_extra)}")
    return found.result()


def failed_check(error: ExportError) -> tuple[bool, str]:
    """Say why a connection could not be tried out."""
    return False, sentences(error.happened, error.remedy or error.usual_remedy)


def _check_unit(user: ApplicationUser, found: Findings) -> None:
    if user.is_in_root is False:
        found.stop(
            f"The application user is in business unit {user.unit or 'below the root'}, and where Customer Insights "
            "parts its data by business units, it sees only that one's people, without any error",
            "Move it to the root business unit, with roles that read the whole organisation",
        )


def _check_table(client: Reader, name: str, found: Findings) -> None:
    try:
        table = read_table(client, name)
        row = _first_row(client, table)
    except ExportError as error:
        found.stop(f"Table {name}: {error.happened}", error.remedy or error.usual_remedy)
        return
    kind = f" ({table.kind})" if table.kind else ""
    if row is None:
        found.stop(
            f"Table {name}{kind} shows no row",
            "Let Customer Insights refresh once, and check that the application user's roles read the whole "
            "organisation",
        )
        return
    found.facts.append(f"Table {name}{kind}: {len(table.columns)} columns, a row was read")


def _first_row(client: Reader, table: Table) -> Row | None:
    columns = [CUSTOMER_ID, *table.has(SEGMENTS)]
    # Dataverse may ignore $top beside a page size, so only the first row is looked at.
    for rows in client.pages(
        f"{table.entity_set}?$select={','.join(columns)}&$top=1", what=f"A row of {table.entity_set}"
    ):
        for row in rows:
            if table.name == MEMBERSHIP:
                segments_of(row)
            return row
    return None
