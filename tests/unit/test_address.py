"""One address: what makes two spellings the same person, in Python and in SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mailchimp_export.address import normal_address, normal_addresses, stored_hash, subscriber_hash
from airflow_mailchimp_export.database import connect

INVISIBLE = tuple(
    chain(
        (0xAD, 0x34F, 0x61C, 0x2800, 0x3164, 0xFEFF, 0xFFA0),
        range(0x115F, 0x1161),
        range(0x17B4, 0x17B6),
        range(0x180B, 0x1810),
        range(0x200B, 0x2010),
        range(0x202A, 0x202F),
        range(0x2060, 0x2070),
        range(0xFE00, 0xFE10),
        range(0xFFF0, 0xFFF9),
        range(0x1BCA0, 0x1BCA4),
        range(0x1D173, 0x1D17B),
        range(0xE0000, 0xE1000),
    )
)
CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
WHITE_SPACE = (0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
SURROGATES = range(0xD800, 0xE000)

OLD_RULE = """lower(trim(address, ' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(160) || chr(5760)
    || chr(8192) || chr(8193) || chr(8194) || chr(8195) || chr(8196) || chr(8197) || chr(8198)
    || chr(8199) || chr(8200) || chr(8201) || chr(8202) || chr(8203) || chr(8232) || chr(8233)
    || chr(8239) || chr(8287) || chr(12288) || chr(65279)))"""
"""How release 0.1.0 normalised what it sent."""

ODD = (
    "\u0130\u0131\u03a3\u03c2\u00df\u1e9e\u212a\u01c5\ufb01"
    + "".join(map(chr, INVISIBLE[:40]))
    + " \t\x00\x85\xa0"
)
letters = st.characters(exclude_categories=["Cs"]) | st.sampled_from(ODD)
anything = st.text(letters)
addresses = st.tuples(anything, st.sampled_from(("ada@mail.eu", "ADA@mail.eu", "@")), anything).map("".join)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database as every run has one."""
    with connect(tmp_path_factory.mktemp("database") / "addresses.duckdb") as connection:
        yield connection


def in_sql(database: duckdb.DuckDBPyConnection, rule: str, texts: list[str | None]) -> list[str | None]:
    """Apply a rule to many addresses at once."""
    database.register("incoming", pa.table({"address": pa.array(texts, pa.string())}))
    rows: list[tuple[str | None]] = database.sql(f"SELECT {rule} FROM incoming").fetchall()
    return [row[0] for row in rows]


class TestRule:
    """What the normal form is."""

    @pytest.mark.parametrize(
        ("written", "normal"),
        [
            ("ada@mail.eu", "ada@mail.eu"),
            (" Ada@Mail.EU\t\r\n", "ada@mail.eu"),
            ("\u00a0ADA@MAIL.EU\u3000\x00\x85", "ada@mail.eu"),
            ("ZOË@bücher.DE", "zoë@bücher.de"),
            ("ПОЧТА@почта.РФ", "почта@почта.рф"),
            ("ALİ@mail.eu", "ali@mail.eu"),
            ("ılgaz@mail.eu", "ılgaz@mail.eu"),
            ("ΝΙΚΟΣ@mail.gr", "νικοσ@mail.gr"),
            ("νικος@mail.gr", "νικος@mail.gr"),
            ("a\u00adda@mail.eu", "ada@mail.eu"),
            ("\ufeff\u200b ada@mail.eu \u200b\u2060", "ada@mail.eu"),
            ("a d\u200d a @mail.eu", "a d a @mail.eu"),
            (" \u2800\u3164\ufeff ", ""),
            ("", ""),
        ],
    )
    def test_examples(self, written: str, normal: str) -> None:
        """What nobody sees is taken out, the ends are trimmed, and each letter is in lower case by itself."""
        assert normal_address(written) == normal

    def test_invisible_characters_make_no_other_person(self) -> None:
        """In an address, before it and behind it they make no difference."""
        written = [f"{chr(code)}ada@ma{chr(code)}il.eu {chr(code)}" for code in INVISIBLE]
        assert set(map(normal_address, written)) == {"ada@mail.eu"}

    def test_what_is_trimmed(self) -> None:
        """Around an address all white space and all control characters go, and nothing else but what is invisible."""
        gone = {
            code
            for code in range(0x10000)
            if code not in SURROGATES and normal_address(f"{chr(code)}a") == "a"
        }
        assert gone == {*WHITE_SPACE, *CONTROLS, *(code for code in INVISIBLE if code < 0x10000)}

    def test_it_is_the_rule_of_release_0_1_0(self, database: duckdb.DuckDBPyConnection) -> None:
        """Of every character in an address comes what came of it in release 0.1.0, but for the invisible ones.

        So ledgers of that release know everybody else under the same key, and nobody is sent a second time.
        """
        rows = [range(first, first + 0x100) for first in range(0, 0x110000, 0x100)]
        blocks = ["@B".join(map(chr, codes)) for codes in rows if codes[0] not in SURROGATES]
        texts: list[str | None] = [f"A{block}." for block in blocks]
        taken_out = str.maketrans("", "", "".join(map(chr, INVISIBLE)))
        old = in_sql(database, OLD_RULE, texts)
        assert [normal_address(text or "") for text in texts] == [
            (text or "").translate(taken_out) for text in old
        ]

    @given(addresses)
    def test_it_is_final(self, text: str) -> None:
        """A normal form is its own normal form."""
        assert normal_address(normal_address(text)) == normal_address(text)


class TestKey:
    """Mailchimp's key of a member."""

    @pytest.mark.parametrize(
        "written",
        [
            "urist.mcvankab@freddiesjokes.com",
            " Urist.McVankab@FreddiesJokes.com\n",
            "URIST.MCVANKAB@FREDDIESJOKES.COM",
            "Urist\u200d.McVankab@\ufeffFreddİesJokes.com",
        ],
    )
    def test_it_is_the_documented_one(self, written: str) -> None:
        """The key is the hash that Mailchimp documents, however the address is written."""
        assert subscriber_hash(written) == "62eeb292278cc15f5817cb78f7790b08"

    def test_of_a_stored_address(self) -> None:
        """What a ledger holds is hashed as it is."""
        assert stored_hash("ada@mail.eu") == subscriber_hash("ada@mail.eu")
        assert stored_hash("a\u00adda@mail.eu") != subscriber_hash("a\u00adda@mail.eu")


class TestSql:
    """The macros that every database knows."""

    @given(st.lists(addresses | st.none(), max_size=20))
    def test_python_and_sql_agree(self, database: duckdb.DuckDBPyConnection, texts: list[str | None]) -> None:
        """For any text, SQL has the normal form and the key that Python has; null stays null."""
        normal = [text if text is None else normal_address(text) for text in texts]
        assert in_sql(database, "normal_address(address)", texts) == normal
        assert normal_addresses(pa.chunked_array([texts], pa.string())).to_pylist() == normal
        keys = [text if text is None else hashlib.md5(text.encode()).hexdigest() for text in normal]
        assert in_sql(database, "subscriber_hash(address)", texts) == keys
        assert [text if text is None else subscriber_hash(text) for text in texts] == keys

    def test_many_rows(self, database: duckdb.DuckDBPyConnection) -> None:
        """Plain addresses and others stay each in their row, over many blocks of them."""
        texts = [
            None if number % 7 == 3 else f"{'ZOË' if number % 5 == 0 else 'Zoe'}.{number}@Mail.EU"
            for number in range(9999)
        ]
        assert in_sql(database, "normal_address(address)", texts) == [text and text.lower() for text in texts]
