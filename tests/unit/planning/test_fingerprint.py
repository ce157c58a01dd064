"""What fingerprints are based on: these digests stand in ledgers, so none of them may change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_mailchimp_export.fields.field_map import FieldMap, parse_field_map
from airflow_mailchimp_export.model import Audience, FingerprintBasis, MergeField
from airflow_mailchimp_export.planning.fingerprint import basis_of, in_order

AUDIENCE = Audience(
    "a1b2c3d4e5",
    "People",
    merge_fields={
        "FNAME": MergeField("FNAME", "First", "text", required=True),
        "SIZE": MergeField("SIZE", "Size", "dropdown", choices=("S", "M")),
        "HOME": MergeField("HOME", "Home", "address", default_country="US"),
        "PHONE": MergeField("PHONE", "Phone", "phone", phone_format="US"),
        "OTHER": MergeField("OTHER", "Other", "text", required=True),
    },
)
ENTRIES: dict[str, object] = {
    "EMAIL": "email",
    "SIZE": {"column": "size", "default": "M"},
    "FNAME": {"column": "first_name", "blank": "clear"},
    "HOME": {"addr1": "street", "city": "town", "state": "state", "zip": "postcode"},
    "PHONE": "phone",
}
BASIS = FingerprintBasis(
    shape="23b7710502843c85",
    salt="23b7710502843c85",
    order=("FNAME", "HOME", "PHONE", "SIZE"),
    rules="a172641c574a2e66",
)


def basis(
    entries: dict[str, object] = ENTRIES,
    audience: Audience = AUDIENCE,
    known: FingerprintBasis | None = None,
    profile_id: str | None = None,
) -> FingerprintBasis:
    """What the fingerprints of a run are based on."""
    return basis_of(
        parse_field_map(entries), audience, known, skip_merge_validation=False, profile_id=profile_id
    )


def with_field(tag: str, **changed: object) -> Audience:
    """Take the audience with one merge field changed."""
    field = replace(AUDIENCE.merge_fields[tag], **changed)  # type: ignore[arg-type]
    return replace(AUDIENCE, merge_fields={**AUDIENCE.merge_fields, tag: field})


def test_a_first_run() -> None:
    """Without a ledger the digest of the shape is the salt, and values count in the order of the tags."""
    assert basis() == BASIS


def test_a_ledger_of_release_0_1_0() -> None:
    """With a ledger that knows no shape the salt is the release's own, and values count as they were mapped."""
    assert basis(known=FingerprintBasis(), profile_id="id") == FingerprintBasis(
        shape="23b7710502843c85",
        salt="f7cd99117f9319d6",
        order=("SIZE", "FNAME", "HOME", "PHONE"),
        rules="a172641c574a2e66",
    )


def test_a_ledger_of_the_same_shape() -> None:
    """A ledger's salt and order are kept as long as the shape is the same."""
    known = replace(BASIS, salt="of old", order=("SIZE", "PHONE", "HOME", "FNAME"), rules="others")
    assert basis(known=known) == replace(known, rules=BASIS.rules)


@pytest.mark.parametrize(
    "audience",
    [
        with_field("FNAME", name="Given name"),
        with_field("SIZE", choices=("M", "S")),
        with_field("FNAME", phone_format="US"),
        replace(AUDIENCE, merge_fields={**AUDIENCE.merge_fields, "NEW": MergeField("NEW", "New", "text")}),
    ],
    ids=["label", "order of choices", "format of another type", "a field that is not mapped"],
)
def test_what_makes_no_difference(audience: Audience) -> None:
    """What no request is made of changes no fingerprint."""
    assert basis(audience=audience) == BASIS


@pytest.mark.parametrize(
    "audience",
    [
        with_field("FNAME", type="number"),
        with_field("SIZE", choices=("S", "M", "L")),
        with_field("PHONE", phone_format="none"),
        with_field("HOME", default_country="AT"),
    ],
    ids=["type", "choices", "phone format", "default country"],
)
def test_what_shapes_a_request(audience: Audience) -> None:
    """What decides how a value is written changes the shape."""
    assert basis(audience=audience).shape != BASIS.shape


@pytest.mark.parametrize(
    "changed",
    [
        {"SIZE": "size"},
        {"FNAME": "first_name"},
        {"PHONE": "size"},
        {"OTHER": "other"},
    ],
    ids=["default", "blank", "a column of two fields", "one more field"],
)
def test_what_the_map_says_of_values(changed: dict[str, object]) -> None:
    """What the field map does with values changes the shape."""
    assert basis(ENTRIES | changed).shape != BASIS.shape


def test_names_of_columns() -> None:
    """Columns may be called otherwise and stand in another order."""
    renamed = {
        "PHONE": "tel",
        "EMAIL": "mail",
        "HOME": {"addr1": "a", "city": "b", "state": "c", "zip": "d"},
        "FNAME": {"column": "given", "blank": "clear"},
        "SIZE": {"column": "s", "default": "M"},
    }
    assert basis(renamed) == BASIS


def test_required_fields_are_rules() -> None:
    """A merge field that becomes required changes the rules, by which refused people are tried again."""
    assert basis(audience=with_field("SIZE", required=True)) == replace(BASIS, rules="d926a87e17b59fc8")


def test_order() -> None:
    """A field map is brought into the order in which a ledger's fingerprints took its values."""
    ordered: FieldMap = in_order(parse_field_map(ENTRIES), BASIS.order)
    assert [target.name for target in ordered.targets] == ["FNAME", "HOME", "PHONE", "SIZE"]
    assert ordered.columns[1] == "first_name"
