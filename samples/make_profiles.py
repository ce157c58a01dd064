"""Makes the sample data: unified customer profiles, and who is already in the sandbox's audience.

Run as ``python -m samples.make_profiles``. The same content comes out every time: everything is drawn from
one seed, by means of :meth:`random.Random.random` alone, whose sequence Python promises not to change.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from samples.people import HERE, Country, Dice, Mint, read_countries, read_yaml

SEED = 20261101
TODAY = datetime(2026, 11, 1)
PEOPLE = 19_400
REPEATED = 600
OUTSIDERS = 400
"""Members of the audience of whom the profiles know nothing."""

Flaws = Mapping[str, Sequence[Any]]

SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("email", pa.string()),
        ("first_name", pa.string()),
        ("last_name", pa.string()),
        ("phone", pa.string()),
        ("birthday", pa.date32()),
        ("street", pa.string()),
        ("city", pa.string()),
        ("region", pa.string()),
        ("postal_code", pa.string()),
        ("country", pa.string()),
        ("lifetime_value", pa.float64()),
        ("loyalty_tier", pa.string()),
        ("last_purchase", pa.timestamp("us")),
        ("signed_up", pa.string()),
        ("newsletter_opt_in", pa.bool_()),
        ("note", pa.string()),
    ]
)

OFTEN_BLANK = (
    "phone", "birthday", "street", "postal_code", "lifetime_value", "last_purchase", "signed_up",
)  # fmt: skip
TIERS = ("bronze", "bronze", "bronze", "silver", "silver", "gold", "platinum", "Gold ", "", None)


@dataclass(frozen=True, slots=True)
class Listed:
    """A member of the sandbox's audience before anything was exported to it."""

    email: str
    status: str
    compliance: bool = False
    forgotten: bool = False
    fname: str = ""
    lname: str = ""
    tags: tuple[str, ...] = ()


def make_profiles(dice: Dice, countries: Sequence[Country], mint: Mint) -> list[dict[str, Any]]:
    """All profiles: people first seen, each with the flaws real data has, then the same people once more."""
    flaws = read_yaml("flaws.yaml")
    people = [make_person(dice, dice.pick(countries), mint) for _ in range(PEOPLE)]
    rows = [spoil(dice, person, flaws) for person in people]
    rows += [seen_again(dice, dice.pick(people)) for _ in range(REPEATED)]
    return [{"customer_id": f"C{number:06}", **row} for number, row in enumerate(rows, start=1)]


def make_person(dice: Dice, country: Country, mint: Mint) -> dict[str, Any]:
    """A profile as it should be."""
    given, family = dice.pick(country.given), dice.pick(country.family)
    city, region, postal_code = dice.pick(country.towns)
    return {
        "email": mint.address(dice, given.latin, family.latin),
        "first_name": given.written,
        "last_name": family.written,
        "phone": f"{country.phone} {dice.between(1_000_000, 9_999_999)}",
        "birthday": TODAY.date() - timedelta(days=dice.between(18 * 365, 85 * 365)),
        "street": country.street.format(dice.between(1, 180)),
        "city": city,
        "region": region,
        "postal_code": postal_code,
        "country": country.code,
        **make_purchases(dice),
    }


def make_purchases(dice: Dice) -> dict[str, Any]:
    """What the shop knows of a person; a few spend much, many little."""
    signed_up = (TODAY - timedelta(days=dice.between(1, 3000))).date()
    return {
        "lifetime_value": round(20 / (1.001 - dice.random()), 2),
        "loyalty_tier": dice.pick(TIERS),
        "last_purchase": TODAY - timedelta(minutes=dice.between(1, 900_000)),
        "signed_up": signed_up.isoformat() + ("T08:15:00Z" if dice.chance(0.2) else ""),
        "newsletter_opt_in": dice.pick((True, True, True, False, None)),
        "note": None,
    }


def spoil(dice: Dice, person: Mapping[str, Any], flaws: Flaws) -> dict[str, Any]:
    """The person with the flaws that real data has, most often with none."""
    row = dict(person)
    spoil_address(dice, row, flaws)
    spoil_name(dice, row, flaws)
    for column, share in (("birthday", 0.02), ("signed_up", 0.02), ("note", 0.03)):
        if dice.chance(share):
            row[column] = dice.pick(flaws[f"{column}s"])
    for column in OFTEN_BLANK:
        if dice.chance(0.04):
            row[column] = dice.pick(flaws["blanks"]) if isinstance(row[column], str) else None
    return row


def spoil_address(dice: Dice, row: dict[str, Any], flaws: Flaws) -> None:
    """One address in eight is in capitals, padded, blank, not an address, or of a domain that nobody has."""
    address, fate = row["email"], dice.random()
    local, _, domain = address.partition("@")
    if fate < 0.04:
        row["email"] = dice.pick((address.upper(), address.title()))
    elif fate < 0.07:
        row["email"] = dice.pick(flaws["paddings"]).format(address)
    elif fate < 0.09:
        row["email"] = dice.pick(flaws["blanks"])
    elif fate < 0.11:
        shapes = flaws["undeliverable"] if fate < 0.107 else flaws["international"]
        row["email"] = dice.pick(shapes).format(local=local, domain=domain, long="x" * 65 + local)
    elif fate < 0.12:
        row["email"] = f"{local}@{dice.pick(flaws['fake_domains'])}"


def spoil_name(dice: Dice, row: dict[str, Any], flaws: Flaws) -> None:
    """One name in sixteen is blank, odd, in capitals, or longer than 255 bytes."""
    column, fate = dice.pick(("first_name", "last_name")), dice.random()
    if fate < 0.03:
        row[column] = dice.pick(flaws["blanks"])
    elif fate < 0.05:
        row[column] = dice.pick(flaws["names"])
    elif fate < 0.06:
        row[column] = row[column].upper()
    elif fate < 0.062:
        row[column] = " ".join([row[column]] * 60)


def seen_again(dice: Dice, person: Mapping[str, Any]) -> dict[str, Any]:
    """A second profile of the same person, that the unification left behind."""
    address = person["email"]
    return {
        **person,
        "email": dice.pick((address, address.upper(), f" {address}", address.capitalize())),
        "last_name": dice.pick((person["last_name"], person["last_name"].upper(), None)),
        "phone": dice.pick((person["phone"], None, "")),
        "lifetime_value": round(person["lifetime_value"] / 2, 2),
    }


def make_audience(dice: Dice, profiles: Sequence[Mapping[str, Any]], mint: Mint) -> list[Listed]:
    """Who is in the audience already: customers of every status, and people the profiles do not know."""
    known = [row for row in profiles[:PEOPLE] if row["email"] in mint.taken]
    members = [to_listed(dice, row) for row in known if dice.chance(0.2)]
    strangers = [Listed(mint.address(dice, "reader", "of-the-blog"), "subscribed") for _ in range(OUTSIDERS)]
    return members + [replace(stranger, tags=("Blog",)) for stranger in strangers]


def to_listed(dice: Dice, row: Mapping[str, Any]) -> Listed:
    """A customer as a member of the audience; two in three are subscribed."""
    fate = dice.random()
    email = row["email"].upper() if dice.chance(0.05) else row["email"]
    member = Listed(email, "subscribed", fname=row["first_name"] or "", lname=row["last_name"] or "")
    if fate < 0.65:
        return replace(member, tags=dice.pick(((), (), ("Spring fair 2026",), ("Spring fair 2026", "Blog"))))
    if fate < 0.8:
        return replace(member, status="unsubscribed", compliance=dice.chance(0.7))
    if fate < 0.98:
        return replace(member, status=dice.pick(("cleaned", "pending", "transactional", "archived")))
    return replace(member, status="archived", forgotten=True)


def make_samples() -> tuple[pa.Table, list[Listed]]:
    """The profiles and the audience."""
    dice = Dice(SEED)
    people = read_yaml("people.yaml")
    mint = Mint(people["mail_domains"])
    profiles = make_profiles(dice, read_countries(people["countries"]), mint)
    audience = make_audience(dice, profiles, mint)
    return pa.Table.from_pylist(profiles, schema=SCHEMA), audience


def audience_rows(audience: Sequence[Listed]) -> Iterator[tuple[str, ...]]:
    """The lines of ``audience.csv``."""
    yield "email", "status", "compliance", "forgotten", "fname", "lname", "tags"
    for member in audience:
        flags = (str(member.compliance).lower(), str(member.forgotten).lower())
        yield member.email, member.status, *flags, member.fname, member.lname, ";".join(member.tags)


def main() -> None:
    """Write both files beside this script."""
    table, audience = make_samples()
    pq.write_table(table, HERE / "profiles.parquet", compression="zstd")
    with (HERE / "audience.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(audience_rows(audience))
    print(f"{table.num_rows} profiles and {len(audience)} members of the audience written to {HERE}")


if __name__ == "__main__":
    main()
