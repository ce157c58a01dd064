"""The set work of a run: plan.py with plan.sql, staging.py and database.py."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.counts import Counts
from airflow_mailchimp_export.database import Database, quoted
from airflow_mailchimp_export.errors import ConfigError, SourceError
from airflow_mailchimp_export.model import MemberStatus
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.planning import decided
from airflow_mailchimp_export.planning.decided import DecidedPlan
from airflow_mailchimp_export.planning.plan import StagedPlan, Staging
from airflow_mailchimp_export.planning.staging import (
    Layout,
    common_schema,
    empty_block,
    gathered,
    staging_block,
)
from airflow_mailchimp_export.rules import UNTAG
from airflow_mailchimp_export.settings.segments import Segment, TableSpec
from airflow_mailchimp_export.state.manifest import SegmentTally
from airflow_mailchimp_export.state.plan_file import Membership
from tests.kit.people import hash_of, people
from tests.kit.sources import FakeSource

VALID = (
    "ada@mail.eu",
    "ada+news@mail.eu",
    "o'brien@mail.ie",
    "a@b.co",
    "_ada-b.c_@mail.eu",
    "!#$%&'*+/=?^_`{|}~@mail.eu",
    "ada@sub.domain.mail.eu",
    "ada@mail--double.eu",
    "ada@4u.eu",
    "ada@mail.c1",
    "ada@bücher.de",
    "ada@例え.テスト",
    "ada@मेल.भारत",
    "ada@xn--bcher-kva.xn--p1ai",
    "zoë@mail.eu",
    "почта@почта.рф",
    f"{'l' * 64}@mail.eu",
    f"ada@{'l' * 63}.eu",
    f"{'l' * 64}@{'d' * 60}.{'d' * 60}.{'d' * 60}.eu",
)
INVALID = (
    "ada",
    "ada@",
    "@mail.eu",
    "@",
    "ada@@mail.eu",
    "ada@b@mail.eu",
    "ada lovelace@mail.eu",
    "ada@mail .eu",
    "ada\tb@mail.eu",
    "ada\u00a0b@mail.eu",
    "ada\u3000b@mail.eu",
    "ada..b@mail.eu",
    ".ada@mail.eu",
    "ada.@mail.eu",
    "ada@.mail.eu",
    "ada@mail.eu.",
    "ada@mail..eu",
    "ada@mail",
    "ada@-mail.eu",
    "ada@mail-.eu",
    "ada@mail.-eu",
    "ada@mail.eu-",
    "ada@ma_il.eu",
    "ada@mail.1",
    "ada@mail.123",
    "ada@127.0.0.1",
    "ada@[127.0.0.1]",
    "ada@mail.e",
    '"ada"@mail.eu',
    "ada,b@mail.eu",
    "ada;b@mail.eu",
    "ada(b)@mail.eu",
    "ada <ada@mail.eu>",
    "mailto:ada@mail.eu",
    "ada\\b@mail.eu",
    "ada\x00b@mail.eu",
    "ada\x7f@mail.eu",
    f"{'l' * 65}@mail.eu",
    f"{'ë' * 33}@mail.eu",
    f"ada@{'l' * 64}.eu",
    f"{'l' * 64}@{'d' * 62}.{'d' * 62}.{'d' * 62}.eu",
)
MISSING = (None, "", "   ", "\t\r\n", "\u00a0\u3000", "\u200b", "\ufeff")
BLANKS = (
    *(chr(code) for code in (9, 10, 11, 12, 13, 32, 0xA0, 0x1680)),
    *map(chr, range(0x2000, 0x200C)),
    *map(chr, (0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF)),
)

INVISIBLE = tuple("\u200e\u2060\u00ad\u200c\u200d\ufe0f\u034f\u3164\u180e\u2800\ufeff\u200b\U000e0020")


@dataclass(frozen=True)
class Sent:
    """One planned upsert."""

    email: str
    status: str
    segments: tuple[str, ...]
    tags: tuple[str, ...]
    source: str
    values: tuple[Any, ...]


@pytest.fixture
def scratch_dir(tmp_path: Path) -> Path:
    """A folder for the database."""
    return tmp_path


@contextmanager
def planned(
    scratch_dir: Path,
    segments: Mapping[str, pa.Table | Sequence[pa.Table]],
    *,
    members: Mapping[MemberStatus, Sequence[tuple[str, str]]] | None = None,
    tags: Mapping[str, str] | None = None,
    status: MemberStatus = MemberStatus.SUBSCRIBED,
    ledger: Path | None = None,
    on_leave: str = OnLeave.KEEP,
) -> Iterator[DecidedPlan]:
    """Plan segments of rows in memory."""
    sources = [
        FakeSource(name, [data] if isinstance(data, pa.Table) else list(data))
        for name, data in segments.items()
    ]
    named = [Segment(name, (tags or {}).get(name, name), TableSpec(people())) for name in segments]
    with staged(scratch_dir, sources, named, status, ledger) as plan:
        for member_status, found in (members or {}).items():
            plan.record_status(member_status, found)
        yield plan.decide(on_leave=on_leave)


@contextmanager
def staged(
    scratch_dir: Path,
    sources: Sequence[FakeSource],
    segments: Sequence[Segment],
    status: MemberStatus = MemberStatus.SUBSCRIBED,
    ledger: Path | None = None,
) -> Iterator[StagedPlan]:
    """Read sources to their ends."""
    read: list[int] = []
    with Staging(scratch_dir, ledger=ledger, new_member_status=status) as staging:
        plan = staging.stage(segments, sources, layout(sources), on_rows=lambda _, rows: read.append(rows))
        assert read == [batch.num_rows for source in sources for batch in source.batches()]
        yield plan


def layout(sources: Sequence[FakeSource]) -> Layout:
    """Lay the sources out with all their columns mapped."""
    schema = common_schema(sources)
    return Layout(schema, mapped=len(schema.names))


def upserts(plan: DecidedPlan) -> list[Sent]:
    """Everything that is to be sent, in order."""
    memberships = plan.memberships()
    sent = []
    for block in plan.upserts():
        hashes, emails, *known = (
            block.rows.column(name).to_pylist()
            for name in ("subscriber_hash", "email", "status", "membership", "source")
        )
        assert hashes == list(map(hash_of, emails))
        rows = zip(emails, *known, *block.columns, strict=True)
        for email, status, index, source, _, *values in rows:
            known = memberships[index]
            sent.append(Sent(email, status, known.segments, known.tags, source, tuple(values)))
    return sent


def addresses(plan: DecidedPlan) -> list[str]:
    """Who is to be sent, in order."""
    return [sent.email for sent in upserts(plan)]


def set_aside(plan: DecidedPlan) -> list[tuple[str, str, str, list[str], str]]:
    """Who is not sent: effect, reason, address, segments, place."""
    return [
        row
        for rows in plan.set_aside()
        for row in zip(rows.effects, rows.reasons, rows.emails, rows.segments, rows.sources, strict=True)
    ]


def totals(plan: DecidedPlan) -> tuple[Counts, int]:
    """What is known of the rows, and how many of the merged ones differ from the row that counts."""
    return plan.counts(), plan.conflicting_duplicates()


def table(**columns: Sequence[Any]) -> pa.Table:
    """Make a table of addresses and names."""
    return pa.table({name: pa.array(values) for name, values in columns.items()})


class TestAddresses:
    """Normal form and syntax."""

    def test_valid_addresses_are_sent(self, scratch_dir: Path) -> None:
        """Plain, tagged, apostrophed, international and longest addresses are all sent."""
        with planned(scratch_dir, {"S": people(*VALID)}) as plan:
            assert addresses(plan) == list(VALID)
            assert set_aside(plan) == []

    def test_invalid_addresses_are_set_aside(self, scratch_dir: Path) -> None:
        """What no mail system takes is rejected as an invalid address, and told as it was read."""
        with planned(scratch_dir, {"S": people(*INVALID)}) as plan:
            assert addresses(plan) == []
            assert [(reason, email) for _, reason, email, _, _ in set_aside(plan)] == [
                ("invalid_address", email) for email in INVALID
            ]
            assert {field for rows in plan.set_aside() for field in rows.fields} == {"EMAIL"}

    def test_missing_addresses_are_set_aside(self, scratch_dir: Path) -> None:
        """Null, empty text and nothing but blanks are a missing address."""
        with planned(scratch_dir, {"S": people(*MISSING)}) as plan:
            assert addresses(plan) == []
            assert [row[:3] for row in set_aside(plan)] == [("rejected", "missing_address", "")] * len(
                MISSING
            )

    def test_upper_case_and_padding_make_no_difference(self, scratch_dir: Path) -> None:
        """Upper case and every kind of blank around an address make no other person of it."""
        variants = [
            "ada@mail.eu",
            "ADA@MAIL.EU",
            "Ada@Mail.eu",
            *(f"{blank}ada@mail.eu{blank}" for blank in BLANKS),
        ]
        with planned(scratch_dir, {"S": people(*variants)}) as plan:
            assert addresses(plan) == ["ada@mail.eu"]
            assert totals(plan) == (Counts(rows_read=len(variants), merged=len(variants) - 1), 0)

    def test_one_person_under_one_key(self, scratch_dir: Path) -> None:
        """Spellings that differ by case, also the Turkish and the Greek one, or by what nobody sees are one person."""
        rows = people("ALİ@mail.eu", "ali@mail.eu", "a\u00adli@mail.eu", "ΝΙΚΟΣ@mail.eu", "νικοσ@mail.eu")
        with planned(scratch_dir, {"S": rows}) as plan:
            assert addresses(plan) == ["ali@mail.eu", "νικοσ@mail.eu"]
            assert totals(plan) == (Counts(rows_read=5, merged=3), 0)

    def test_letters_of_other_scripts_are_lower_cased(self, scratch_dir: Path) -> None:
        """Lower case is not only for ASCII."""
        with planned(scratch_dir, {"S": people("ZOË@mail.eu", "zoë@MAIL.eu", "ПОЧТА@ПОЧТА.РФ")}) as plan:
            assert addresses(plan) == ["zoë@mail.eu", "почта@почта.рф"]


class TestMerging:
    """The rows of one person, over all segments."""

    def test_first_row_in_source_order_wins(self, scratch_dir: Path) -> None:
        """Of a person's rows the first of the first segment is sent; the others count as merged."""
        first = table(email=["bob@mail.eu", "ada@mail.eu", "ADA@mail.eu"], name=["Bob", "Ada", "Augusta"])
        second = table(email=["cyd@mail.eu", "bob@mail.eu"], name=["Cyd", "Robert"])
        with planned(scratch_dir, {"A": first, "B": second}) as plan:
            assert upserts(plan) == [
                Sent("bob@mail.eu", "subscribed", ("A", "B"), ("A", "B"), "A row 1", ("Bob",)),
                Sent("ada@mail.eu", "subscribed", ("A",), ("A",), "A row 2", ("Ada",)),
                Sent("cyd@mail.eu", "subscribed", ("B",), ("B",), "B row 1", ("Cyd",)),
            ]
            assert totals(plan) == (Counts(rows_read=5, merged=2), 2)

    def test_merged_rows_that_differ_are_counted(self, scratch_dir: Path) -> None:
        """Merged rows count as differing only where a mapped value differs, null being a value of its own."""
        rows = table(
            email=["a@mail.eu"] * 4 + ["b@mail.eu"] * 2, name=["Ada", "Ada", None, "ada", None, None]
        )
        with planned(scratch_dir, {"S": rows}) as plan:
            assert totals(plan) == (Counts(rows_read=6, merged=4), 2)

    def test_it_is_the_same_in_every_run(self, tmp_path: Path) -> None:
        """Many batches, read by several threads, come out in source order, the same in every run."""
        names = [f"Name {number}" for number in range(12_000)]
        owners = [f"p{number * 7919 % 4_000:05d}@mail.eu" for number in range(12_000)]
        tables = [
            table(email=owners[start : start + 400], name=names[start : start + 400])
            for start in range(0, 12_000, 400)
        ]
        runs = []
        for run in ("1", "2", "3"):
            (tmp_path / run).mkdir()
            with planned(tmp_path / run, {"A": tables[:20], "B": tables[20:]}) as plan:
                runs.append(upserts(plan))
        expected = dict(reversed(list(zip(owners, names, strict=True))))
        assert runs[0] == runs[1] == runs[2]
        assert [(sent.email, sent.values[0]) for sent in runs[0]] == [
            (email, expected[email]) for email in dict.fromkeys(owners)
        ]

    def test_a_person_in_several_segments_is_sent_once_with_all_tags(self, scratch_dir: Path) -> None:
        """Someone in three segments is one row with three tags."""
        tables = {name: people("ada@mail.eu", f"{name}@mail.eu") for name in ("x", "y", "z")}
        with planned(scratch_dir, tables) as plan:
            assert {sent.email: sent.tags for sent in upserts(plan)} == {
                "ada@mail.eu": ("x", "y", "z"),
                "x@mail.eu": ("x",),
                "y@mail.eu": ("y",),
                "z@mail.eu": ("z",),
            }
            assert plan.upsert_count() == plan.new_people() == 4

    def test_segments_may_share_a_tag(self, scratch_dir: Path) -> None:
        """Two segments with the same tag give it once, and both are still named."""
        with planned(
            scratch_dir,
            {"A": people("ada@mail.eu"), "B": people("ada@mail.eu"), "C": people("ada@mail.eu")},
            tags={"A": "Same", "B": "Same"},
        ) as plan:
            assert plan.memberships() == [Membership(("A", "B", "C"), ("C", "Same"))]

    def test_rows_of_each_segment_are_counted(self, scratch_dir: Path) -> None:
        """Each segment tells its own rows, an empty one too, in the order of the definition."""
        with planned(
            scratch_dir,
            {"B": people("x", "ada@mail.eu"), "Empty": people(), "A": people(None)},
            tags={"A": "Tag A"},
        ) as plan:
            assert plan.segments() == (
                SegmentTally("B", "B", 2),
                SegmentTally("Empty", "Empty", 0),
                SegmentTally("A", "Tag A", 1),
            )

    def test_nobody(self, scratch_dir: Path) -> None:
        """Segments without a row make a plan without anybody."""
        with planned(scratch_dir, {"A": people(), "B": people()}) as plan:
            assert (upserts(plan), set_aside(plan), plan.memberships()) == ([], [], [])
            assert totals(plan) == (Counts(), 0)
            assert plan.upsert_count() == 0

    def test_many_segments(self, scratch_dir: Path) -> None:
        """Seventy segments are no problem, which is more than an integer has bits."""
        tables = {f"S{number:02d}": people("ada@mail.eu", f"s{number}@mail.eu") for number in range(70)}
        with planned(scratch_dir, tables) as plan:
            assert upserts(plan)[0].segments == tuple(tables)
            assert {len(sent.segments) for sent in upserts(plan)[1:]} == {1}

    def test_it_tells_where_each_row_stands(self, scratch_dir: Path) -> None:
        """Rows are numbered through a segment's batches and again in the next segment."""
        batches = [people("a@mail.eu", "bad"), people("c@mail.eu")]
        with planned(scratch_dir, {"A": batches, "B": people(None, "d@mail.eu")}) as plan:
            assert [sent.source for sent in upserts(plan)] == ["A row 1", "A row 3", "B row 2"]
            assert set_aside(plan) == [
                ("rejected", "invalid_address", "bad", ["A"], "A row 2"),
                ("rejected", "missing_address", "", ["B"], "B row 1"),
            ]


class TestStatuses:
    """Who is in the audience already, and who must not be touched."""

    UNTOUCHABLE = (
        MemberStatus.UNSUBSCRIBED,
        MemberStatus.CLEANED,
        MemberStatus.PENDING,
        MemberStatus.TRANSACTIONAL,
        MemberStatus.ARCHIVED,
    )

    @pytest.mark.parametrize("status", UNTOUCHABLE)
    def test_suppressed_by_id_and_by_address(self, scratch_dir: Path, status: MemberStatus) -> None:
        """Whoever stands so is left out, whether the id or the address that Mailchimp tells is theirs."""
        members = {status: [(hash_of("ada@mail.eu"), ""), ("an id of its own", " BOB@mail.eu")]}
        rows = people("Ada@mail.eu", "bob@mail.eu", "cyd@mail.eu")
        with planned(scratch_dir, {"S": rows}, members=members) as plan:
            assert addresses(plan) == ["cyd@mail.eu"]
            assert set_aside(plan) == [
                ("suppressed", status.value, "ada@mail.eu", ["S"], "S row 1"),
                ("suppressed", status.value, "bob@mail.eu", ["S"], "S row 2"),
            ]
            assert plan.new_people() == 1

    @pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
    def test_invisible_characters_hide_no_opt_out(self, scratch_dir: Path, character: str) -> None:
        """An invisible character in an address, at the source or in the audience, gets nobody past their no."""
        members = {MemberStatus.UNSUBSCRIBED: [("", "ada@mail.eu"), ("", f"b{character}ob@mail.eu")]}
        rows = people(
            f"ada@mail{character}.eu", f"{character}bob@mail.eu", f"a{character}da@mail.eu{character}"
        )
        with planned(scratch_dir, {"S": rows}, members=members) as plan:
            assert addresses(plan) == []
            assert set_aside(plan) == [
                ("suppressed", "unsubscribed", "ada@mail.eu", ["S"], "S row 1"),
                ("suppressed", "unsubscribed", "bob@mail.eu", ["S"], "S row 2"),
            ]

    def test_suppressed_people_name_all_their_segments(self, scratch_dir: Path) -> None:
        """A suppressed person stands once in the account, with every segment they are in."""
        members = {MemberStatus.CLEANED: [(hash_of("ada@mail.eu"), "ada@mail.eu")]}
        tables = {"A": people("ada@mail.eu", "ada@mail.eu"), "B": people("ada@mail.eu")}
        with planned(scratch_dir, tables, members=members) as plan:
            assert set_aside(plan) == [("suppressed", "cleaned", "ada@mail.eu", ["A", "B"], "A row 1")]
            assert totals(plan) == (Counts(rows_read=3, merged=2), 0)

    @pytest.mark.parametrize(
        "order", [("subscribed", "cleaned"), ("transactional", "subscribed", "unsubscribed")]
    )
    @pytest.mark.parametrize(
        "new_status", [MemberStatus.SUBSCRIBED, MemberStatus.PENDING, MemberStatus.TRANSACTIONAL]
    )
    def test_a_no_outweighs_a_yes(
        self, scratch_dir: Path, order: tuple[str, ...], new_status: MemberStatus
    ) -> None:
        """Who was met under several statuses is not sent if one of them is a no."""
        members = {MemberStatus(word): [(hash_of("ada@mail.eu"), "ada@mail.eu")] for word in order}
        with planned(scratch_dir, {"S": people("ada@mail.eu")}, members=members, status=new_status) as plan:
            assert addresses(plan) == []
            assert [row[0] for row in set_aside(plan)] == ["suppressed"]

    def test_archiving_hides_no_other_no(self, scratch_dir: Path) -> None:
        """Who is found archived and unsubscribed is unsubscribed: archived people may return, unsubscribed ones not."""
        members = {
            status: [(hash_of("ada@mail.eu"), "ada@mail.eu")]
            for status in (MemberStatus.ARCHIVED, MemberStatus.UNSUBSCRIBED)
        }
        with planned(scratch_dir, {"S": people("ada@mail.eu")}, members=members) as plan:
            assert [row[:2] for row in set_aside(plan)] == [("suppressed", "unsubscribed")]

    @pytest.mark.parametrize("new_status", [MemberStatus.PENDING, MemberStatus.TRANSACTIONAL])
    def test_subscribed_members_keep_their_status(self, scratch_dir: Path, new_status: MemberStatus) -> None:
        """New people get the new status, subscribed members are sent as subscribed."""
        members = {MemberStatus.SUBSCRIBED: [(hash_of("ada@mail.eu"), "ada@mail.eu")]}
        rows = people("new@mail.eu", "ada@mail.eu")
        with planned(scratch_dir, {"S": rows}, members=members, status=new_status) as plan:
            assert [(sent.email, sent.status) for sent in upserts(plan)] == [
                ("new@mail.eu", new_status.value),
                ("ada@mail.eu", "subscribed"),
            ]
            assert plan.new_people() == 1

    @pytest.mark.parametrize(
        ("new_status", "sent"),
        [
            (MemberStatus.SUBSCRIBED, []),
            (MemberStatus.PENDING, []),
            (MemberStatus.TRANSACTIONAL, [("ada@mail.eu", "transactional")]),
        ],
    )
    def test_transactional_members_are_sent_only_as_such(
        self, scratch_dir: Path, new_status: MemberStatus, sent: list[tuple[str, str]]
    ) -> None:
        """Who never agreed to marketing is sent only where the export sends everybody so."""
        members = {MemberStatus.TRANSACTIONAL: [(hash_of("ada@mail.eu"), "ada@mail.eu")]}
        with planned(scratch_dir, {"S": people("ada@mail.eu")}, members=members, status=new_status) as plan:
            assert [(one.email, one.status) for one in upserts(plan)] == sent
            assert plan.new_people() == 0

    def test_pending_members_are_not_asked_again(self, scratch_dir: Path) -> None:
        """Who has yet to confirm is left alone, also where new members are sent as pending."""
        members = {MemberStatus.PENDING: [(hash_of("ada@mail.eu"), "ada@mail.eu")]}
        with planned(
            scratch_dir, {"S": people("ada@mail.eu")}, members=members, status=MemberStatus.PENDING
        ) as plan:
            assert addresses(plan) == []
            assert [row[1] for row in set_aside(plan)] == ["pending"]


class TestStaging:
    """Batches of several sources as rows of one table."""

    def test_columns_of_different_type_become_text(self, scratch_dir: Path) -> None:
        """Where two segments hold a column in different types, it is text for both; where not, it stays."""
        first = table(email=["a@mail.eu"], when=[date(2026, 1, 2)], age=[30])
        second = table(email=["b@mail.eu"], when=["2026-02-03"], age=[40])
        with planned(scratch_dir, {"A": first, "B": second}) as plan:
            assert [sent.values for sent in upserts(plan)] == [("2026-01-02", 30), ("2026-02-03", 40)]

    def test_a_column_without_values_takes_the_other_type(self, scratch_dir: Path) -> None:
        """A column that has no type in one segment has the other segment's."""
        first = pa.table({"email": ["a@mail.eu"], "age": pa.nulls(1)})
        second = table(email=["b@mail.eu"], age=[40])
        with planned(scratch_dir, {"A": first, "B": second}) as plan:
            assert [sent.values for sent in upserts(plan)] == [(None,), (40,)]
        assert common_schema([FakeSource("A", [first])]).field("age").type == pa.string()

    def test_addresses_are_text(self, scratch_dir: Path) -> None:
        """A column of addresses that holds numbers is read as text, and so the addresses are invalid."""
        with planned(scratch_dir, {"S": table(email=[42])}) as plan:
            assert [row[1:3] for row in set_aside(plan)] == [("invalid_address", "42")]

    def test_values_that_do_not_fit_are_a_source_error(self) -> None:
        """What cannot be told as text is an error that names segment, column and types, and no value."""
        first = pa.table({"email": ["a@mail.eu"], "place": [{"city": "Paris"}]})
        second = pa.table({"email": ["b@mail.eu"], "place": ["Rome"]})
        both = layout([FakeSource("A", [first]), FakeSource("B", [second])])
        with pytest.raises(
            SourceError, match=r"Segment 'A': column 'place' holds struct<.*> *.*string"
        ) as error:
            staging_block(first.to_batches()[0], both, segment="A", first_row=0)
        assert "Paris" not in str(error.value)

    def test_rows_are_numbered_from_the_first(self) -> None:
        """A block's rows are numbered from the given number, and only addresses make a block too."""
        batch = people("a@mail.eu", "b@mail.eu").to_batches()[0]
        block = staging_block(batch, Layout(batch.schema, mapped=1), segment="S", first_row=7)
        assert block.column("source_row").to_pylist() == [7, 8]
        assert block.column("fields").to_pylist() == [{"field_0": None}] * 2

    def test_an_empty_block_has_the_types(self) -> None:
        """A block without rows has the columns of one with rows."""
        batch = table(email=["a@mail.eu"], age=[40]).to_batches()[0]
        for place in (Layout(batch.schema, mapped=2), Layout(batch.schema, mapped=1, profile_id=1)):
            full = staging_block(batch, place, segment="S", first_row=0)
            assert empty_block(place).schema == full.schema
            assert empty_block(place).num_rows == 0

    def test_a_profile_id_is_text(self) -> None:
        """The column that identifies a profile is staged as text, whatever its type; without one it is null."""
        batch = table(email=["a@mail.eu", "b@mail.eu"], name=["Ada", "Bo"], id=[7, None]).to_batches()[0]
        block = staging_block(batch, Layout(batch.schema, mapped=2, profile_id=2), segment="S", first_row=0)
        assert block.column("profile_id").to_pylist() == ["7", None]
        assert block.column("fields").to_pylist() == [
            {"field_0": None, "field_1": "Ada"},
            {"field_0": None, "field_1": "Bo"},
        ]
        nobody = staging_block(batch, Layout(batch.schema, mapped=2), segment="S", first_row=0)
        assert nobody.column("profile_id").to_pylist() == [None, None]

    def test_a_profile_id_may_be_mapped_too(self) -> None:
        """A column may identify profiles and fill a merge field at once."""
        batch = table(email=["a@mail.eu"], id=["x"]).to_batches()[0]
        block = staging_block(batch, Layout(batch.schema, mapped=2, profile_id=1), segment="S", first_row=0)
        assert block.column("profile_id").to_pylist() == ["x"]
        assert block.column("fields").to_pylist() == [{"field_0": None, "field_1": "x"}]

    def test_a_source_that_breaks_stops_the_plan(self, scratch_dir: Path) -> None:
        """What a source raises behind its first batches comes through."""
        source = FakeSource("S", [people("a@mail.eu")], breaks=SourceError("half read"))
        read: list[int] = []
        with Staging(scratch_dir, ledger=None, new_member_status=MemberStatus.SUBSCRIBED) as staging:
            with pytest.raises(SourceError, match="half read"):
                staging.stage(
                    [Segment("S", "S", TableSpec(people()))],
                    [source],
                    layout([source]),
                    on_rows=lambda _, rows: read.append(rows),
                )
            assert read == [1]

    def test_values_of_columns(self, scratch_dir: Path) -> None:
        """Staged columns are told row by row, the address as it stands in the plan."""
        rows = table(email=["A@mail.eu", None], name=["Ada", "Bob"], age=[36, None])
        with staged(scratch_dir, [FakeSource("S", [rows])], [Segment("S", "S", TableSpec(people()))]) as plan:
            assert set(plan.values([2, 0])) == {(36, "a@mail.eu"), (None, None)}
            assert set(plan.values([1])) == {("Ada",), ("Bob",)}


class TestGathering:
    """Batches are staged some at a time."""

    @pytest.mark.parametrize(
        ("rows", "length", "tables"),
        [
            ([], 1, []),
            ([3], 1, [3]),
            ([100_000] * 7, 1, [300_000, 300_000, 100_000]),
            ([5] * 5, 8_000_000, [5] * 5),
        ],
    )
    def test_by_rows_and_by_bytes(self, rows: list[int], length: int, tables: list[int]) -> None:
        """So many rows are staged together as make it worth while, and fewer where they are long."""
        blocks = [pa.record_batch({"text": ["x" * length] * count}) for count in rows]
        assert [table.num_rows for table in gathered(blocks)] == tables


def ledger_of(path: Path, sent: pa.Table, tags: Sequence[Sequence[str]]) -> Path:
    """Write a ledger of those who were sent."""
    count = len(sent)
    rows = sent.select(["subscriber_hash", "email", "profile_id", "status", "fingerprint"])
    known: dict[str, Sequence[Any]] = {
        "state": ["member"] * count,
        "tags": tags,
        "reason": [""] * count,
        "words": [""] * count,
        "attempts": [0] * count,
        "created": [True] * count,
        "changed_at": [datetime(2026, 1, 1, tzinfo=UTC)] * count,
        "run": ["run1"] * count,
    }
    for name, values in known.items():
        rows = rows.append_column(name, pa.array(values))
    pq.write_table(rows, path)
    return path


def test_who_is_unchanged_is_left_out(tmp_path: Path) -> None:
    """What is decided holds no row of those of whom there is nothing to say, and they are counted all the same."""
    emails = ["ada@mail.eu", "bob@mail.eu", "cy@mail.eu", "dot@mail.eu"]
    with planned(tmp_path, {"S": people(*emails, name=["A", "B", "C", "D"])}) as first:
        sent = pa.Table.from_batches([block.rows for block in first.upserts()])
    ledger = ledger_of(tmp_path / "ledger.parquet", sent, [["S"], ["S"], ["S", "T"], ["S"]])
    again = tmp_path / "again"
    again.mkdir()
    later = {"S": people(*emails[:3], name=["A", "Bea", "C"])}
    with planned(again, later, ledger=ledger, on_leave=UNTAG.name) as plan:
        decisions = "SELECT disposition, count(*) FROM decisions GROUP BY ALL ORDER BY ALL"
        assert plan._database._connection.sql(decisions).fetchall() == [
            ("send", 1),
            ("unchanged", 1),
            (None, 1),
        ]
        assert plan.counts() == Counts(rows_read=3, unchanged=2)
        assert plan.segments() == (SegmentTally("S", "S", 3, 2),)
        assert addresses(plan) == ["bob@mail.eu"]
        assert [(removal.email, removal.tag) for removal in plan.removals()] == [("dot@mail.eu", "S")]


def test_fingerprints_are_those_of_ledgers(scratch_dir: Path) -> None:
    """Half of the md5 of the values, as a number whose first byte is the least; or everybody would be sent again."""
    names = [f"Ada{number}" for number in range(1_000)]
    rows = people(*(f"{name}@mail.eu" for name in names), name=names)
    with planned(scratch_dir, {"S": rows}) as plan:
        found = [
            number for block in plan.upserts() for number in block.rows.column("fingerprint").to_pylist()
        ]
    texts = (f"{{'field_0': NULL, 'field_1': {name}}}" for name in names)
    digests = (hashlib.md5(text.encode(), usedforsecurity=False).digest() for text in texts)
    assert found == [int.from_bytes(digest[8:], "little") for digest in digests]


class TestDatabase:
    """The database of one run."""

    def test_incoming_data_is_let_go(self, scratch_dir: Path) -> None:
        """Arrow data are known only inside the with block, also after one that failed."""
        block = empty_block(Layout(people().schema, mapped=1))
        with Database(scratch_dir, "planning/plan.sql") as database:
            with pytest.raises(ZeroDivisionError), database.incoming(block):
                raise ZeroDivisionError
            with pytest.raises(duckdb.CatalogException, match="incoming"):
                database.run("tables")
            with database.incoming(block):
                database.run("tables")

    def test_what_the_machine_lacks(self, scratch_dir: Path) -> None:
        """What DuckDB cannot read or write is a ConfigError that names the place to look at, not a bare error."""
        nowhere = str(scratch_dir / "nowhere.parquet")
        missing = quoted(scratch_dir / "nowhere.parquet")
        with (
            Database(scratch_dir, "planning/plan.sql") as database,
            pytest.raises(ConfigError, match=r"temporary folder .* \(IOException\)\. Free space"),
        ):
            database.script("ledger", path=missing)
        with (
            Database(scratch_dir, "accounting/accounts.sql") as database,
            pytest.raises(ConfigError, match="temporary"),
        ):
            database.run("outcomes", plan=nowhere, dry_run=False, nothing_sent=False, begun=0)

    def test_paths_are_quoted(self) -> None:
        """A path with a quote in it is one SQL string."""
        assert quoted(Path("/data/o'brien")) == "'/data/o''brien'"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_ranges_lose_nobody(scratch_dir: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Whoever is sent comes once and in order, however few are put in order at a time and wherever others are not."""
    monkeypatch.setattr(decided, "RANGE_ROWS", size)
    emails = [f"a{number:02}@mail.eu" if number % 5 < 3 else "nobody" for number in range(23)]
    with planned(scratch_dir, {"S": people(*emails)}) as plan:
        assert addresses(plan) == [email for email in emails if email != "nobody"]


def test_wide_rows_fit_into_the_memory(scratch_dir: Path) -> None:
    """Of rows with sixty long texts fewer are put in order at a time, so that they need no more than short ones."""
    many = 20_000
    texts = pa.array([f"{number:05}" + "x" * 195 for number in range(many)])
    emails = (f"a{number}@mail.eu" for number in range(many))
    rows = people(*emails, **{f"text_{column}": texts for column in range(60)})
    with planned(scratch_dir, {"S": rows}) as plan:
        assert sum(block.rows.num_rows for block in plan.upserts()) == many
