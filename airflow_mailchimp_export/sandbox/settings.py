"""Everything that can be turned: each is a command-line option and a key of ``POST /sandbox/settings``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from airflow_mailchimp_export.sandbox import options
from airflow_mailchimp_export.sandbox.choices import (
    ArchiveFault,
    ComplianceWords,
    FaultKind,
    MergeWords,
    MissingStatus,
    OnPost,
    OverLimit,
    Plan,
    Resubscribe,
    Role,
    StrangerInSegment,
)
from airflow_mailchimp_export.sandbox.planned import FOR_EVER

DEFAULT_KEY = "0123456789abcdef0123456789abcdef-us0"


@dataclass(slots=True)
class Settings:
    """All toggles with their defaults, which follow the documented behaviour."""

    key: Annotated[str, "the one valid API key; its suffix is the data centre"] = DEFAULT_KEY
    oauth_token: Annotated[str, "an OAuth token that is valid without a sign-in"] = (
        "fedcba9876543210fedcba9876543210"
    )
    oauth_client_id: Annotated[str, "the app's client id"] = "123456789012"
    oauth_client_secret: Annotated[str, "the app's client secret"] = "sandbox-client-secret"
    oauth_redirect_uri: Annotated[str, "where the app is registered to be sent; empty: anywhere"] = ""
    oauth_code_lifetime: Annotated[float, "seconds for which the code of a sign-in is valid"] = 60.0
    role: Annotated[Role, "role of the key's user"] = Role.ADMIN
    plan: Annotated[Plan, "pricing plan of the account"] = Plan.MONTHLY
    account_disabled: Annotated[bool, "answer 403 User Disabled"] = False
    compliance_review: Annotated[bool, "answer writes with 503 ComplianceRelated"] = False

    latency: Annotated[float, "seconds that every API call takes"] = 0.0
    latency_per_member: Annotated[float, "further seconds per member sent in a bulk call"] = 0.0
    timeout: Annotated[float, "seconds after which a call is answered 502 while its work goes on"] = 120.0
    max_connections: Annotated[int, "requests of one user that may be in flight"] = 10
    over_limit: Annotated[OverLimit, "the answer past that limit"] = OverLimit.JSON_429
    over_limit_flush: Annotated[bool, "past that limit, also cut every running connection"] = False
    retry_after: Annotated[int, "seconds of a Retry-After header on 429 answers; 0: no header"] = 0
    compress: Annotated[bool, "gzip answers for clients that accept it"] = True

    fault_rate: Annotated[float, "share of the API calls that go wrong"] = 0.0
    faults: Annotated[tuple[FaultKind, ...], "which ways of going wrong are used"] = tuple(FaultKind)
    fault_delay: Annotated[float, "seconds that the fault `delay` adds"] = 2.0
    seed: Annotated[int, "seed of everything that is drawn"] = 0

    unsubscribed: Annotated[
        Resubscribe, "unsubscribed by an admin or by the API, then sent as subscribed"
    ] = Resubscribe.ACCEPT
    compliance: Annotated[Resubscribe, "opted out themselves or cleaned, then subscribed"] = Resubscribe.ERROR
    compliance_words: Annotated[ComplianceWords, "the words for who may not come back"] = (
        ComplianceWords.CANNOT_BE_SUBSCRIBED
    )
    merge_words: Annotated[MergeWords, "the words for merge values that do not fit"] = MergeWords.MERGE_FIELDS
    fields_on_post: Annotated[OnPost, "`fields=` on bulk POSTs"] = OnPost.HONOUR
    tags_fold_case: Annotated[
        bool, "names of tags that differ only by case, or by blanks around them, are one tag"
    ] = True
    tags_on_post: Annotated[bool, "apply `tags` of members in batch-subscribe"] = True
    missing_status: Annotated[MissingStatus, "batch-subscribe without a status"] = MissingStatus.KEEP
    status_if_new_on_post: Annotated[bool, "heed `status_if_new` in batch-subscribe"] = False
    fake_domains: Annotated[tuple[str, ...], "domains whose addresses look fake"] = (
        "example.com",
        "test.com",
        "gmil.com",
    )
    refuse_role_addresses: Annotated[bool, "refuse admin@ and the like in batch-subscribe"] = False
    segment_strangers: Annotated[StrangerInSegment, "addresses that a segment cannot take"] = (
        StrangerInSegment.ERROR
    )
    unfiltered_archived: Annotated[bool, "list archived members too when no status is asked for"] = False
    double_optin: Annotated[bool, "the audience asks for confirmation"] = False
    merge_field_limit: Annotated[int, "merge fields per audience"] = 30
    stats_cache: Annotated[float, "seconds for which an audience's stats are cached"] = 300.0
    count_distinct: Annotated[bool, "count distinct addresses received (memory per address)"] = True

    batch_pending: Annotated[float, "seconds that a batch stays pending at least"] = 0.1
    batch_preprocessing: Annotated[float, "seconds of preprocessing"] = 0.1
    batch_finalizing: Annotated[float, "seconds of finalizing"] = 0.1
    batch_latency_tail: Annotated[float, "mean of further, exponentially drawn seconds of finalizing"] = 0.0
    batch_operation_latency: Annotated[float, "seconds per operation"] = 0.0
    batch_operation_latency_per_member: Annotated[float, "further seconds per member in an operation"] = 0.0
    batch_operation_fault_rate: Annotated[float, "share of the operations that answer 500"] = 0.0
    batch_stuck: Annotated[float, "stay in finalizing for so many seconds; -1: for ever"] = 0.0
    batch_endless: Annotated[bool, "batches never end: each look finds more operations, and more done"] = (
        False
    )
    batch_stopped_status: Annotated[
        str, "the status under which a batch that was stopped is still shown; empty: it is gone"
    ] = ""
    batch_without_link: Annotated[int, "so many reads of a finished batch lack the link; -1: all"] = 0
    batch_gone: Annotated[bool, "answer 404 for batches that are finished"] = False
    batch_limit: Annotated[int, "batches that may be pending"] = 500
    batch_retention: Annotated[float, "seconds for which batches are kept"] = 7 * 86400.0
    batch_url_lifetime: Annotated[float, "seconds for which a result link is valid"] = 600.0
    batch_download_failures: Annotated[int, "so many first downloads of an archive answer 400; -1: all"] = 0
    archive_fault: Annotated[ArchiveFault, "how result archives are spoilt"] = ArchiveFault.NONE
    archive_fault_count: Annotated[int, "how many downloads of an archive are spoilt; -1: all"] = FOR_EVER
    archive_operations_per_file: Annotated[int, "operations per JSON file of an archive"] = 100
    archive_empty_file: Annotated[bool, "put an empty file into every archive"] = True
    archive_refuses_authorization: Annotated[bool, "refuse downloads that carry credentials"] = True

    clock_shift: Annotated[float, "seconds by which the sandbox's clock runs ahead"] = 0.0

    def change(self, values: Mapping[str, Any]) -> None:
        """Set what is named, all or nothing.

        :raises ValueError: a name is unknown, or a value does not fit; nothing is changed then.
        """
        options.change(self, OPTIONS, values)

    @property
    def datacenter(self) -> str:
        """What stands after the key's last hyphen."""
        return self.key.rpartition("-")[2]


OPTIONS: Mapping[str, options.Option] = options.describe(Settings)
