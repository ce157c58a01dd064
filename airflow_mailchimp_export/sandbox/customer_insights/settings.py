"""Everything that can be turned: each is a command-line option and a key of ``POST /sandbox/settings``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from airflow_mailchimp_export.sandbox import options
from airflow_mailchimp_export.sandbox.customer_insights.choices import (
    PASSING,
    Emptied,
    ExportDefect,
    FaultKind,
    FilterReading,
    HeaderForm,
    RetryAfter,
    SegmentsForm,
    TableType,
    User,
)


@dataclass(slots=True)
class Settings:
    """All toggles; the defaults follow what Microsoft documents."""

    tenant_id: Annotated[str, "the one tenant"] = "11111111-2222-3333-4444-555555555555"
    client_id: Annotated[str, "the one application"] = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
    client_secret: Annotated[str, "its one valid client secret"] = "sandbox~secret"
    secret_expired: Annotated[bool, "the client secret is right, but has expired"] = False
    token_lifetime: Annotated[float, "seconds for which a token is valid"] = 3599.0
    user: Annotated[User, "what the application user may do"] = User.READER
    unknown_user_status: Annotated[int, "the status for a user whom the organisation does not know"] = 403
    unit_share: Annotated[float, "share of the customers whom the user of a business unit sees"] = 0.4
    units_readable: Annotated[bool, "the user may read `systemusers` and `businessunits`"] = True

    table_type: Annotated[TableType, "what the tables are"] = TableType.ELASTIC
    extra_columns: Annotated[bool, "elastic tables answer with columns that were not selected"] = True
    null_columns: Annotated[bool, "columns without a value are there, as null"] = True
    provider_column: Annotated[str, "the column of the segment provider; empty: there is none"] = (
        "msdynci_segmentprovider"
    )
    type_column: Annotated[str, "the column of the membership type; empty: there is none"] = (
        "msdynci_segmentmembershiptype"
    )
    segment_metadata: Annotated[bool, "there is a table of segments, `mscipriv_segmentmetadata`"] = False
    count_column: Annotated[str, "its column with the number of members; empty: there is none"] = (
        "mscipriv_membercount"
    )

    filter_reading: Annotated[FilterReading, "how text is compared in `$filter`"] = FilterReading.LIKE
    contains_refused: Annotated[bool, "answer 400 to `contains`, `startswith` and `endswith`"] = False
    in_function: Annotated[bool, "`Microsoft.Dynamics.CRM.In` works for these tables"] = True
    backslash_escapes: Annotated[bool, "a backslash in a literal is dropped, as before a quote"] = False
    condition_limit: Annotated[int, "conditions that a filter may have"] = 500
    url_limit: Annotated[int, "characters that a URL may have"] = 32_768
    page_limit: Annotated[int, "rows that a page holds at most"] = 5000
    count_limit: Annotated[int, "the highest number that `$count` says"] = 5000
    trailing_page: Annotated[bool, "the last full page links to an empty one"] = False
    short_pages: Annotated[float, "share of the pages that are short or empty and yet link to a next one"] = (
        0.0
    )
    cookie_lifetime: Annotated[float, "seconds for which a link to a next page works"] = 86_400.0
    link_host: Annotated[str, "the host in links to next pages; empty: that of the call"] = ""

    segments_form: Annotated[SegmentsForm, "how `msdynci_segments` is written, from the next refresh on"] = (
        SegmentsForm.OBJECT
    )
    emptied: Annotated[Emptied, "what becomes of the row of who is in no segment any more"] = Emptied.GONE
    several_rows: Annotated[float, "share of the members with a second row, by another provider"] = 0.0
    contact_rows: Annotated[float, "share of the customers with a row of type Contact, in all segments"] = 0.0
    null_segments: Annotated[float, "share of the customers with a further row without segments"] = 0.0
    malformed_segments: Annotated[float, "share of the members whose segments are no JSON"] = 0.0
    unhydrated: Annotated[float, "share of the customers without a profile row"] = 0.0

    latency: Annotated[float, "seconds that every call takes"] = 0.0
    compress: Annotated[bool, "gzip answers for clients that accept it"] = True
    request_limit: Annotated[int, "requests in the window"] = 6000
    time_limit: Annotated[float, "seconds of execution in the window"] = 1200.0
    concurrency_limit: Annotated[int, "requests at once"] = 52
    limit_window: Annotated[float, "seconds of the sliding window"] = 300.0
    execution_time: Annotated[float, "seconds of execution that a call counts for beside its own"] = 0.0
    retry_after: Annotated[RetryAfter, "how a 429 or 503 says when to come back"] = RetryAfter.SECONDS
    retry_after_seconds: Annotated[int, "seconds that a fault says"] = 1

    fault_rate: Annotated[float, "share of the calls that go wrong"] = 0.0
    faults: Annotated[tuple[FaultKind, ...], "which ways of going wrong are used"] = PASSING
    fault_delay: Annotated[float, "seconds that the fault `delay` adds"] = 2.0
    seed: Annotated[int, "seed of everything that is drawn"] = 0

    export_name: Annotated[str, "the name of the file export"] = "BlobExport"
    export_header: Annotated[HeaderForm, "a line with the names of columns in the files"] = (
        HeaderForm.UNMENTIONED
    )
    export_delimiter: Annotated[str, "what stands between the values"] = ","
    export_quote_all: Annotated[bool, "quote every value, not only where it is needed"] = True
    export_bom: Annotated[bool, "files and `model.json` begin with a byte order mark"] = False
    export_part_rows: Annotated[int, "rows of one file"] = 100_000
    export_defect: Annotated[ExportDefect, "how the next export is incomplete"] = ExportDefect.NONE

    clock_shift: Annotated[float, "seconds by which the sandbox's clock runs ahead"] = 0.0

    def change(self, values: Mapping[str, Any]) -> None:
        """Set what is named, all or nothing.

        :raises ValueError: a name is unknown, or a value does not fit; nothing is changed then.
        """
        options.change(self, OPTIONS, values)


OPTIONS: Mapping[str, options.Option] = options.describe(Settings)
