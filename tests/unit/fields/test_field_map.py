"""The field map: read, checked against audience and source, and put to use."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mailchimp_export.counts import FieldWarning
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.fields.mapper import FieldMapper, ProfileBlock
from airflow_mailchimp_export.fields.merge_field import Blank, MergeFieldTarget
from airflow_mailchimp_export.fields.values import WarningKind
from airflow_mailchimp_export.model import Audience, Member, MemberStatus, MergeField, Reason, Reject

PARTS = {"addr1": "street", "city": "town", "state": "state", "zip": "postcode"}
MERGE_FIELDS = {
    field.tag: field
    for field in (
        MergeField("FNAME", "First Name", "text"),
        MergeField("LNAME", "Last Name", "text"),
        MergeField("AGE", "Age", "number"),
        MergeField("BORN", "Born", "date"),
        MergeField("BIRTHDAY", "Birthday", "birthday"),
        MergeField("SIZE", "Size", "dropdown", choices=("S", "M")),
        MergeField("HOME", "Home", "address"),
        MergeField("SITE", "Site", "url"),
        MergeField("PHONE", "Phone", "phone"),
        MergeField("ZIP", "Zip", "zip"),
    )
}
SCHEMA = pa.schema(
    {
        "email": pa.string(),
        "first_name": pa.string(),
        "surname": pa.large_string(),
        "age": pa.int64(),
        "born": pa.date32(),
        "size": pa.dictionary(pa.int8(), pa.string()),
        "price": pa.float32(),
        "hobbies": pa.list_(pa.string()),
        "vip": pa.bool_(),
        "address": pa.struct({name: pa.string() for name in PARTS}),
        **{column: pa.string() for column in PARTS.values()},
    }
)


def audience(merge_fields: Mapping[str, MergeField] = MERGE_FIELDS) -> Audience:
    """Take an audience with these merge fields."""
    return Audience("a1b2c3d4e5", "People", merge_fields=merge_fields)


def required(tag: str) -> dict[str, MergeField]:
    """Take the audience's merge fields, one of them required."""
    field = MERGE_FIELDS[tag]
    return MERGE_FIELDS | {tag: MergeField(tag, field.name, field.type, required=True, choices=field.choices)}


def mapper_for(
    entries: Mapping[str, object], merge_fields: Mapping[str, MergeField] = MERGE_FIELDS, **settings: Any
) -> FieldMapper:
    """Resolve a field map that has these entries beside EMAIL."""
    return parse_field_map({"EMAIL": "email", **entries}).resolve(audience(merge_fields), SCHEMA, **settings)


def to_member(mapper: FieldMapper, *values: object, tags: tuple[str, ...] = ()) -> Member | Reject:
    """Map one person with these values for the columns after the address's."""
    columns = [[value] for value in ("ann@example.org", *values)]
    block = ProfileBlock(["a" * 32], ["ann@example.org"], ["subscribed"], [tags], columns)
    (member,) = mapper.to_members(block)
    return member


def merge_fields_of(mapper: FieldMapper, *values: object) -> object:
    """Map one profile and take the merge fields out of its payload."""
    member = to_member(mapper, *values)
    assert isinstance(member, Member)
    return orjson.loads(member.payload).get("merge_fields")


def problems_of(entries: Mapping[str, object], **settings: Any) -> str:
    """Take what resolving says is wrong."""
    with pytest.raises(ConfigError) as caught:
        mapper_for(entries, **settings)
    return str(caught.value)


class TestParsing:
    """What a user may write."""

    def test_columns(self) -> None:
        """Each entry is a rule, and each needed column is named once, the address's first."""
        field_map = parse_field_map(
            {
                "fname": "first_name",
                "EMAIL": "email",
                "LNAME": {"column": "surname", "blank": "clear"},
                "NICK": {"column": "first_name", "default": "friend"},
                "HOME": {"parts": PARTS, "default": None},
                "WORK": PARTS,
            }
        )
        assert field_map.columns == ("email", "first_name", "surname", *PARTS.values())
        assert field_map.targets == (
            MergeFieldTarget("FNAME", ("first_name",)),
            MergeFieldTarget("LNAME", ("surname",), blank=Blank.CLEAR),
            MergeFieldTarget("NICK", ("first_name",), default="friend"),
            MergeFieldTarget("HOME", tuple(PARTS.values()), parts=tuple(PARTS)),
            MergeFieldTarget("WORK", tuple(PARTS.values()), parts=tuple(PARTS)),
        )

    def test_json_text(self) -> None:
        """A field map may be JSON text, as a template gives it."""
        assert parse_field_map('{"EMAIL": "email", "fname": {"column": "a"}}') == parse_field_map(
            {"EMAIL": "email", "FNAME": {"column": "a"}}
        )

    @pytest.mark.parametrize(
        ("entries", "words"),
        [
            ("EMAIL", "field_map is no mapping"),
            ("{'EMAIL': 'email'}", "field_map must be JSON where it begins with { or ["),
            ({"FNAME": "first_name"}, "EMAIL needs the name of a source column"),
            ({"EMAIL": {"column": "email"}}, "EMAIL needs the name of a source column"),
            ({"EMAIL": "email", "FNAME": "a", "fname": "b"}, "FNAME stands there twice"),
            ({"EMAIL": "email", "FIRST_NAME1": "a"}, "'FIRST_NAME1' is no merge tag: 1 to 10"),
            ({"EMAIL": "email", "F-NAME": "a"}, "'F-NAME' is no merge tag"),
            ({"EMAIL": "email", False: "a"}, "False is no merge tag"),
            ({"EMAIL": "email", "FNAME": " "}, "FNAME needs the name of a source column"),
            ({"EMAIL": "email", "FNAME": 3}, "FNAME needs the name of a source column"),
            ({"EMAIL": "email", "FNAME": {}}, "FNAME needs either 'column' or 'parts'"),
            ({"EMAIL": "email", "FNAME": {"column": "a", "parts": PARTS}}, "either 'column' or 'parts'"),
            (
                {"EMAIL": "email", "FNAME": {"colum": "a"}},
                "field_map: FNAME has unknown keys: 'colum' (did you mean 'column'?). Allowed are column,",
            ),
            (
                {"EMAIL": "email", "FNAME": {"column": "a", "xyz": 1}},
                "FNAME has unknown keys: 'xyz'. Allowed are column, parts, blank, default.",
            ),
            (
                {"EMAIL": "email", "FNAME": {"column": "a", "blank": "cler"}},
                "blank of FNAME is neither 'keep' nor 'clear' (did you mean 'clear'?)",
            ),
            ({"EMAIL": "email", "HOME": PARTS | {"contry": "c"}}, "'contry' (did you mean 'country'?)"),
            ({"EMAIL": "email", "HOME": {"addr1": "a", "zip": "z"}}, "HOME lacks city, state"),
            ({"EMAIL": "email", "HOME": PARTS | {"zip": ""}}, "zip of HOME needs the name"),
            ({"EMAIL": "email", "HOME": {"parts": "street"}}, "the parts of HOME are no mapping"),
        ],
    )
    def test_mistakes(self, entries: Any, words: str) -> None:
        """A mistake is a ConfigError that names the tag and what is wrong with it."""
        with pytest.raises(ConfigError) as caught:
            parse_field_map(entries)
        assert words in str(caught.value)


class TestResolving:
    """The check against the audience and the source."""

    def test_all_problems_at_once(self) -> None:
        """One error lists everything that does not fit, and the audience's merge fields."""
        told = problems_of(
            {
                "FNAM": "first_name",
                "BORN": "vip",
                "AGE": "ages",
                "SITE": {"column": "surname", "default": "x"},
            },
            merge_fields=required("LNAME"),
        )
        assert told.splitlines()[1:] == [
            "- FNAM is no merge field of the audience (did you mean 'FNAME'?): fix the tag, "
            "or set create_merge_fields=True",
            "- column 'vip' of type bool can never fill BORN of type date",
            "- the source has no column 'ages' for AGE (did you mean 'age'?); it has "
            + ", ".join(SCHEMA.names),
            f"- the default of SITE does not fit the type url. {WarningKind.NOT_A_URL.remedy}",
            "- LNAME is required by the audience: map a column to it, or set skip_merge_validation=True",
            "The audience's merge fields: "
            + ", ".join(f'{field.tag} "{field.name}" ({field.type})' for field in MERGE_FIELDS.values())
            + ".",
        ]

    @pytest.mark.parametrize(
        ("options", "problems"),
        [
            ({}, ["FNAM is no merge field", "SIZE is of type dropdown", "LNAME is required"]),
            ({"skip_merge_validation": True}, ["FNAM is no merge field", "SIZE is of type dropdown"]),
            ({"create_merge_fields": True}, ["SIZE is of type dropdown", "LNAME is required"]),
        ],
    )
    def test_the_audience_alone(self, options: dict[str, bool], problems: list[str]) -> None:
        """Without the source, what does not suit the audience is said, and nothing of columns."""
        fields = {"EMAIL": "email", "FNAM": "first_name", "AGE": "nowhere", "SIZE": {"parts": PARTS}}
        found = parse_field_map(fields).audience_problems(audience(required("LNAME")), **options)
        assert [said[: len(words)] for said, words in zip(found, problems, strict=True)] == problems

    def test_empty_audience(self) -> None:
        """An audience without merge fields is said to have none."""
        assert problems_of({"FNAME": "first_name"}, merge_fields={}).endswith("merge fields: none.")

    def test_email_column(self) -> None:
        """The address's column must be there and be text."""
        with pytest.raises(ConfigError, match=r"no column 'mail' for EMAIL \(did you mean 'email'\?\)"):
            parse_field_map({"EMAIL": "mail"}).resolve(audience({}), SCHEMA)
        with pytest.raises(ConfigError, match="column 'age' of type int64 can never fill EMAIL"):
            parse_field_map({"EMAIL": "age"}).resolve(audience({}), SCHEMA)

    def test_skip_merge_validation(self) -> None:
        """With skip_merge_validation a required merge field may be unmapped, blank or wrong."""
        merge_fields = required("LNAME") | {"AGE": MergeField("AGE", "Age", "number", required=True)}
        mapper = mapper_for({"AGE": "age"}, merge_fields=merge_fields, skip_merge_validation=True)
        assert merge_fields_of(mapper, None) is None
        assert merge_fields_of(mapper, "old") is None

    def test_parts_need_an_address_field(self) -> None:
        """Parts fill no field but an address."""
        assert "FNAME is of type text, which takes no parts" in problems_of({"FNAME": PARTS})

    def test_choices_are_told(self) -> None:
        """A default that is no choice is answered with the choices."""
        told = problems_of({"SIZE": {"column": "size", "default": "XXL"}})
        assert "the default of SIZE does not fit the type dropdown. Value must be one of: S, M." in told

    @pytest.mark.parametrize(
        ("arrow", "tags"),
        [
            (pa.string_view(), "FNAME LNAME AGE BORN BIRTHDAY SIZE SITE PHONE ZIP"),
            (pa.dictionary(pa.int8(), pa.string()), "FNAME LNAME AGE BORN BIRTHDAY SIZE SITE PHONE ZIP"),
            (pa.run_end_encoded(pa.int32(), pa.date32()), "FNAME LNAME BORN BIRTHDAY SIZE"),
            *(
                (getattr(pa, name)(), "FNAME LNAME AGE BORN BIRTHDAY SIZE SITE PHONE ZIP")
                for name in ("uuid", "json_")
                if hasattr(pa, name)  # the lowest pyarrow that is supported lacks them
            ),
            (pa.decimal128(9, 2), "FNAME LNAME AGE SIZE PHONE ZIP"),
            (pa.bool_(), "FNAME LNAME AGE SIZE"),
            (pa.timestamp("us", "UTC"), "FNAME LNAME BORN BIRTHDAY SIZE"),
            (pa.time64("us"), "FNAME LNAME SIZE"),
            (pa.struct({"addr1": "string", "city": "string", "state": "string", "zip": "string"}), "HOME"),
            (pa.struct({"addr1": "string"}), ""),
            (pa.list_(pa.string()), ""),
            (pa.map_(pa.string(), pa.string()), ""),
            (pa.binary(), ""),
            (pa.duration("s"), ""),
            (pa.null(), " ".join(MERGE_FIELDS)),
        ],
    )
    def test_fitting_types(self, arrow: pa.DataType, tags: str) -> None:
        """A column is refused before anything is sent where no value of its type could fit."""
        schema = pa.schema({"email": pa.string(), "column": arrow})
        field_map = parse_field_map({"EMAIL": "email", **dict.fromkeys(MERGE_FIELDS, "column")})
        told = ""
        try:
            field_map.resolve(audience(), schema)
        except ConfigError as error:
            told = str(error)
        assert [line for line in told.splitlines() if "can never fill" in line] == [
            f"- column 'column' of type {arrow} can never fill {field.tag} of type {field.type}"
            for field in MERGE_FIELDS.values()
            if field.tag not in tags.split()
        ]


class TestMissing:
    """What create_merge_fields has to create."""

    @pytest.mark.parametrize(
        ("given_column", "name", "merge_type"),
        [
            ("first_name", "First name", "text"),
            ("price", "Price", "number"),
            ("born", "Born", "date"),
            ("vip", "Vip", "text"),
            ("address", "Address", "address"),
            ("nowhere", "Nowhere", "text"),
            (PARTS, "New", "address"),
        ],
    )
    def test_guesses(self, given_column: object, name: str, merge_type: str) -> None:
        """A missing merge field is named after its column and typed like it."""
        field_map = parse_field_map({"EMAIL": "email", "FNAME": "first_name", "NEW": given_column})
        assert field_map.missing(audience(), SCHEMA) == (MergeField("NEW", name, merge_type),)

    def test_nameless_column(self) -> None:
        """A column whose name has no word gives its merge field the tag as name."""
        (field,) = parse_field_map({"EMAIL": "email", "NEW": "__"}).missing(audience({}), SCHEMA)
        assert field.name == "NEW"

    def test_then_resolves(self) -> None:
        """With the missing merge fields added, the map resolves."""
        field_map = parse_field_map({"EMAIL": "email", "NEW": "born", "PLACE": PARTS})
        merge_fields = {field.tag: field for field in field_map.missing(audience({}), SCHEMA)}
        assert isinstance(field_map.resolve(audience(merge_fields), SCHEMA), FieldMapper)


class TestMembers:
    """Profiles as members."""

    def test_payload(self) -> None:
        """A member is sent with address, status, merge fields and tags, and nothing else."""
        mapper = mapper_for({"FNAME": "first_name", "AGE": "age"})
        member = to_member(mapper, "Zoë", 7, tags=("VIP", "News"))
        assert isinstance(member, Member)
        assert (member.subscriber_hash, member.email) == ("a" * 32, "ann@example.org")
        assert member.status is MemberStatus.SUBSCRIBED
        assert orjson.loads(member.payload) == {
            "email_address": "ann@example.org",
            "status": "subscribed",
            "merge_fields": {"FNAME": "Zoë", "AGE": 7},
            "tags": ["VIP", "News"],
        }

    @pytest.mark.parametrize("entries", [{}, {"FNAME": "first_name"}])
    def test_bare_payload(self, entries: dict[str, object]) -> None:
        """Merge fields and tags are left out where there are none."""
        member = to_member(mapper_for(entries), *[None] * len(entries))
        assert isinstance(member, Member)
        assert orjson.loads(member.payload) == {"email_address": "ann@example.org", "status": "subscribed"}

    def test_block(self) -> None:
        """A block gives one member or reject for each profile, in order, the first wrong field named."""
        mapper = mapper_for({"FNAME": "first_name", "AGE": "age"}, merge_fields=required("AGE"))
        block = ProfileBlock(
            subscriber_hashes=["a", "b", "c", "d"],
            emails=["a@x.org", "b@x.org", "c@x.org", "d@x.org"],
            statuses=["subscribed", "pending", "subscribed", "transactional"],
            tags=[["VIP"], None, [], ["News"]],
            columns=[["A@x.org"] * 4, ["Ann", None, "Cy", b"D"], [1, 2, None, "many"]],
        )
        assert [*mapper.to_members(block)] == [
            Member(
                "a",
                "a@x.org",
                MemberStatus.SUBSCRIBED,
                b'{"email_address":"a@x.org","status":"subscribed",'
                b'"merge_fields":{"FNAME":"Ann","AGE":1},"tags":["VIP"]}',
            ),
            Member(
                "b",
                "b@x.org",
                MemberStatus.PENDING,
                b'{"email_address":"b@x.org","status":"pending","merge_fields":{"AGE":2}}',
            ),
            Reject(Reason.REQUIRED_FIELD, "AGE"),
            Reject(Reason.INVALID_FIELD, "AGE"),
        ]

    def test_first_reject_counts(self) -> None:
        """A profile with two wrong required fields is rejected for the first of them."""
        both = required("AGE") | {"FNAME": MergeField("FNAME", "First Name", "text", required=True)}
        mapper = mapper_for({"FNAME": "first_name", "AGE": "age"}, merge_fields=both)
        assert to_member(mapper, None, "old") == Reject(Reason.REQUIRED_FIELD, "FNAME")

    def test_block_of_uneven_columns(self) -> None:
        """A block whose columns differ in length is an error, and nobody is lost silently."""
        block = ProfileBlock(["a"], ["a@x.org"], ["subscribed"], [None], [["a@x.org"], ["Ann", "Ben"]])
        with pytest.raises(ValueError, match="longer"):
            list(mapper_for({"FNAME": "first_name"}).to_members(block))

    @pytest.mark.parametrize(
        ("options", "sent"),
        [
            ({}, None),
            ({"blank": "keep"}, None),
            ({"blank": "clear"}, {"LNAME": ""}),
            ({"default": "friend"}, {"LNAME": "friend"}),
            ({"default": "friend", "blank": "clear"}, {"LNAME": "friend"}),
            ({"default": " ", "blank": "clear"}, {"LNAME": ""}),
        ],
    )
    def test_blank(self, options: dict[str, object], sent: object) -> None:
        """A blank keeps what Mailchimp has, or clears it, or becomes the default, as the map says."""
        assert merge_fields_of(mapper_for({"LNAME": {"column": "surname", **options}}), " ") == sent

    def test_zero_default(self) -> None:
        """A default of zero is sent, for a required field too."""
        mapper = mapper_for({"AGE": {"column": "age", "default": 0}}, merge_fields=required("AGE"))
        assert merge_fields_of(mapper, None) == {"AGE": 0}

    def test_required_is_never_cleared(self) -> None:
        """A blank that would clear a required field rejects the profile."""
        mapper = mapper_for({"AGE": {"column": "age", "blank": "clear"}}, merge_fields=required("AGE"))
        assert to_member(mapper, None) == Reject(Reason.REQUIRED_FIELD, "AGE")

    def test_address_from_parts(self) -> None:
        """An address is put together from the columns of its parts."""
        mapper = mapper_for({"HOME": {"parts": PARTS, "blank": "clear"}})
        sent = merge_fields_of(mapper, "1 Main St", "Springfield", "IL", "62701")
        assert sent == {"HOME": {"addr1": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701"}}
        assert merge_fields_of(mapper, None, "", None, " ") == {"HOME": ""}

    def test_address_from_struct(self) -> None:
        """An address is also taken from one column that holds its parts."""
        home = {"addr1": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701"}
        assert merge_fields_of(mapper_for({"HOME": "address"}), home) == {"HOME": home}

    def test_one_column_for_two_fields(self) -> None:
        """A column, the address's too, may fill several merge fields."""
        mapper = mapper_for({"FNAME": "email", "BORN": "born", "BIRTHDAY": "born"})
        assert merge_fields_of(mapper, date(1980, 2, 29)) == {
            "FNAME": "ann@example.org",
            "BORN": "1980-02-29",
            "BIRTHDAY": "02/29",
        }

    def test_single_precision(self) -> None:
        """A price of a 32-bit column is sent as it was written."""
        price = pa.array([19.99], pa.float32()).to_pylist()[0]
        assert merge_fields_of(mapper_for({"FNAME": "price"}), price) == {"FNAME": "19.99"}

    @given(
        st.lists(
            st.tuples(*[st.none() | st.integers() | st.floats() | st.text() | st.binary()] * 3), max_size=9
        )
    )
    def test_payloads(self, rows: list[tuple[object, ...]]) -> None:
        """Whatever the columns hold, each payload is JSON that has the allowed keys and no null."""
        mapper = mapper_for(
            {"FNAME": "first_name", "LNAME": {"column": "surname", "blank": "clear"}, "AGE": "age"}
        )
        for values in rows:
            member = to_member(mapper, *values, tags=("VIP",))
            assert isinstance(member, Member)
            payload = orjson.loads(member.payload)
            assert payload.keys() <= {"email_address", "status", "merge_fields", "tags"}
            assert payload.get("merge_fields", {"FNAME": "x"}).keys() <= {"FNAME", "LNAME", "AGE"}
            assert None not in payload.get("merge_fields", {"FNAME": "x"}).values()


class TestWarnings:
    """What was left out or cut."""

    def test_tally(self) -> None:
        """Wrong values are counted by tag and kind, with the first five profiles and no value."""
        mapper = mapper_for({"FNAME": "first_name", "SIZE": "size"})
        for first_row in (0, 10):
            sources = [f"row {first_row + row}" for row in range(4)]
            block = ProfileBlock(
                ["h"] * 4,
                ["a@x.org"] * 4,
                ["subscribed"] * 4,
                [None] * 4,
                [["a@x.org"] * 4, ["x" * 300, b"", "Ann", None], ["XL", "XL", "S", "XL"]],
                sources,
            )
            assert all(isinstance(member, Member) for member in mapper.to_members(block))
        assert mapper.warnings == (
            FieldWarning("FNAME", WarningKind.TEXT_CUT, 2, ("row 0", "row 10"), WarningKind.TEXT_CUT.remedy),
            FieldWarning("FNAME", WarningKind.NOT_TEXT, 2, ("row 1", "row 11"), WarningKind.NOT_TEXT.remedy),
            FieldWarning(
                "SIZE",
                WarningKind.NOT_A_CHOICE,
                6,
                ("row 0", "row 1", "row 3", "row 10", "row 11"),
                "Value must be one of: S, M.",
            ),
        )

    def test_cut_text_is_sent(self) -> None:
        """A text that is too long is sent as far as it fits, for a required field too."""
        mapper = mapper_for({"LNAME": "surname"}, merge_fields=required("LNAME"))
        assert merge_fields_of(mapper, "x" * 300) == {"LNAME": "x" * 255}
        assert [warning.kind for warning in mapper.warnings] == [WarningKind.TEXT_CUT]

    def test_rejects_are_no_warnings(self) -> None:
        """A value that rejects its profile is not also a warning."""
        mapper = mapper_for({"AGE": "age"}, merge_fields=required("AGE"))
        assert to_member(mapper, "old") == Reject(Reason.INVALID_FIELD, "AGE")
        assert mapper.warnings == ()


class TestColumnCheck:
    """A column that is wrong from end to end."""

    def test_no_value_fits(self) -> None:
        """A column with 50 values of which none fits is a ConfigError that holds none of them."""
        with pytest.raises(ConfigError) as caught:
            mapper_for({"AGE": "age"}).check_column("AGE", [(None,), *[("old",)] * 49, ("young",)])
        told = str(caught.value)
        assert (
            told == f"no value of the column for AGE fits the type number. {WarningKind.NOT_A_NUMBER.remedy}"
        )

    @pytest.mark.parametrize("values", [[], [(None,), (" ",)]])
    def test_blank_column(self, values: list[tuple[object]]) -> None:
        """A column without values is right."""
        mapper = mapper_for({"AGE": "age"})
        mapper.check_column("AGE", values)
        assert mapper.warnings == ()

    def test_stops_at_the_first_that_fits(self) -> None:
        """Reading stops at the first value that fits."""
        values = iter([(None,), ("old",), (7,), ("young",)])
        mapper_for({"AGE": "age"}).check_column("AGE", values)
        assert [*values] == [("young",)]

    def test_cut_text_fits(self) -> None:
        """A column of texts that are all too long is right: they are cut."""
        values = iter([("x" * 300,), ("y" * 300,)])
        mapper_for({"FNAME": "first_name"}).check_column("FNAME", values)
        assert len([*values]) == 1

    def test_parts(self) -> None:
        """An address in parts is checked as a whole; one that lacks a part is an address anyway."""
        mapper = mapper_for({"HOME": PARTS})
        mapper.check_column("HOME", [("1 Main St", "Springfield", "", None), ("", "", "", "")] * 60)
        mapper.check_column("HOME", [("", "", "", ""), ("1 Main St", "Springfield", "IL", "62701")])
