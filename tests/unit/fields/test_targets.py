"""What a new kind of target takes: a class and a row of the table, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.fields.columns import column_problems, parse_column
from airflow_mailchimp_export.fields.field_map import TARGETS, FieldMap, parse_field_map
from airflow_mailchimp_export.fields.mapper import FieldWarning, ProfileBlock
from airflow_mailchimp_export.fields.targets import ResolvedTarget, Target
from airflow_mailchimp_export.fields.text import Converted, Problem, WarningKind, spelled
from airflow_mailchimp_export.mailchimp.wire import Section, Slot
from airflow_mailchimp_export.model import Audience, FingerprintBasis, Member, MergeField
from airflow_mailchimp_export.planning.fingerprint import basis_of, in_order

LANGUAGES = ("de", "en", "pt")
SCHEMA = pa.schema({"email": pa.string(), "name": pa.string(), "speaks": pa.string(), "born": pa.date32()})
AUDIENCE = Audience("a1b2c3d4e5", "People", merge_fields={"FNAME": MergeField("FNAME", "First Name", "text")})


@dataclass(frozen=True, slots=True)
class LanguageTarget(Target):
    """The language that Mailchimp writes to a member in: ``"member:language": "speaks"``."""

    def problems(self, audience: Audience, schema: pa.Schema) -> Iterator[str]:
        """Say that a language is text."""
        yield from column_problems(self.name, self.columns, schema, kinds={"text"}, of_type="language")

    def resolve(self, audience: Audience, schema: pa.Schema, positions: tuple[int, ...]) -> ResolvedTarget:
        """Say that it stands beside the address."""
        return ResolvedTarget(
            name=self.name,
            slot=Slot(Section.MEMBER, "language"),
            columns=positions,
            type="language",
            convert=to_language,
            choices=LANGUAGES,
        )

    def shape(self, audience: Audience, positions: tuple[int, ...]) -> list[object]:
        """List all that shapes what is sent."""
        return [self.name, list(positions)]


def to_language(value: object) -> Converted:
    """Take the language of a locale: "pt-BR" is "pt"."""
    code = (spelled(value) or "")[:2].lower()
    return (code if code in LANGUAGES else Problem(WarningKind.NOT_A_CHOICE)) if code else None


def parse_language(key: str, given: object) -> Target:
    """Read its entry."""
    return LanguageTarget(key, (parse_column(key, given),))


WITH_LANGUAGE: Mapping[str, Callable[[str, object], Target]] = {**TARGETS, "member": parse_language}


@pytest.fixture
def field_map() -> FieldMap:
    """A field map with a merge field and a language."""
    entries = {"EMAIL": "email", "member:language": "speaks", "FNAME": "name"}
    return parse_field_map(entries, WITH_LANGUAGE)


class TestANewTarget:
    """A language, which the package does not know."""

    def test_it_is_sent(self, field_map: FieldMap) -> None:
        """Its values are converted, written where the member object has them, and warned of."""
        mapper = field_map.resolve(AUDIENCE, SCHEMA)
        assert field_map.columns == ("email", "speaks", "name")
        emails = ["ada@x.org", "bob@x.org", "cy@x.org"]
        block = ProfileBlock(
            subscriber_hashes=["a", "b", "c"],
            emails=emails,
            statuses=["subscribed"] * 3,
            tags=[("VIP",), None, None],
            columns=[emails, ["pt-BR", None, "Klingon"], ["Ada", None, "Cy"]],
            sources=["row 1", "row 2", "row 3"],
        )
        members = [member for member in mapper.to_members(block) if isinstance(member, Member)]
        assert [member.payload for member in members] == [
            b'{"email_address":"ada@x.org","status":"subscribed","language":"pt",'
            b'"merge_fields":{"FNAME":"Ada"},"tags":["VIP"]}',
            b'{"email_address":"bob@x.org","status":"subscribed"}',
            b'{"email_address":"cy@x.org","status":"subscribed","merge_fields":{"FNAME":"Cy"}}',
        ]
        assert mapper.warnings == (
            FieldWarning(
                "member:language",
                WarningKind.NOT_A_CHOICE,
                1,
                ("row 3",),
                "Value must be one of: de, en, pt.",
            ),
        )

    def test_it_is_checked(self) -> None:
        """What does not suit the source is said beside what is wrong with merge fields."""
        wrong = parse_field_map({"EMAIL": "email", "member:language": "born", "FNAME": "nam"}, WITH_LANGUAGE)
        with pytest.raises(ConfigError) as caught:
            wrong.resolve(AUDIENCE, SCHEMA)
        assert str(caught.value).splitlines()[1:3] == [
            "- column 'born' of type date32[day] can never fill member:language of type language",
            "- the source has no column 'nam' for FNAME (did you mean 'name'?); "
            "it has email, name, speaks, born",
        ]

    def test_its_column_is_checked(self, field_map: FieldMap) -> None:
        """A column of 50 values of which none fits stops the run, in the target's words."""
        with pytest.raises(ConfigError) as caught:
            field_map.resolve(AUDIENCE, SCHEMA).check_column(
                "member:language", [(None,), *[("Klingon",)] * 50]
            )
        assert str(caught.value) == (
            "no value of the column for member:language fits the type language. Value must be one of: de, en, pt."
        )

    def test_nothing_is_created_for_it(self, field_map: FieldMap) -> None:
        """create_merge_fields has to do with merge fields alone."""
        bare = replace(AUDIENCE, merge_fields={})
        assert [field.tag for field in field_map.missing(bare, SCHEMA)] == ["FNAME"]

    def test_it_is_part_of_the_fingerprint(self, field_map: FieldMap) -> None:
        """People are sent again once it is mapped, and not when their source is called otherwise."""
        bare = basis(parse_field_map({"EMAIL": "email", "FNAME": "name"}))
        mapped = basis(field_map)
        renamed = parse_field_map({"EMAIL": "e", "member:language": "s", "FNAME": "n"}, WITH_LANGUAGE)
        assert mapped.shape != bare.shape
        assert mapped.order == ("FNAME", "member:language")
        assert in_order(field_map, mapped.order).columns == ("email", "name", "speaks")
        assert basis(renamed) == mapped

    def test_release_0_1_0_did_not_know_it(self, field_map: FieldMap) -> None:
        """With a ledger of release 0.1.0, mapping it sends everybody once."""
        assert basis(field_map, FingerprintBasis()) == basis(field_map)

    def test_its_key_is_named_once(self) -> None:
        """The key of a target may stand there once."""
        with pytest.raises(ConfigError, match="FNAME stands there twice"):
            parse_field_map({"EMAIL": "email", "FNAME": "name", "fname": "speaks"}, WITH_LANGUAGE)

    def test_without_its_row(self) -> None:
        """What stands before a colon and is in no row is no merge tag."""
        with pytest.raises(ConfigError, match="'member:language' is no merge tag"):
            parse_field_map({"EMAIL": "email", "member:language": "speaks"})


def basis(field_map: FieldMap, known: FingerprintBasis | None = None) -> FingerprintBasis:
    """What the fingerprints of a run are based on."""
    return basis_of(field_map, AUDIENCE, known, skip_merge_validation=False, profile_id=None)
