"""Whoever was exported, under whatever address, can be forgotten to the last byte."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from airflow_mailchimp_export.address import normal_address
from airflow_mailchimp_export.forget import forget
from airflow_mailchimp_export.model import Effect, Outcome
from airflow_mailchimp_export.state import answers
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.run import PLAN, RUN, ExportFolder, RunFolder
from tests.kit.life import Life
from tests.kit.people import people
from tests.kit.sandbox import InProcessSandbox

if TYPE_CHECKING:
    pass

MARKS = ("quagga", "zorilla", "pichi", "tarsier", "numbat", "kowari")
"""Each is in one of the addresses that are to be forgotten, and in nothing else."""

OTHERS = (
    "bo@brieftaube.eu",
    "zoë@brieftaube.eu",
    "=1+1@brieftaube.eu",
    "cy@brieftaube.eu",
    "no address",
    "di@brieftaube.eu",
)

AROUND = (
    "x",
    "\u0130",
    "Σ",
    "ς",
    "ß",
    "ﬁ",
    " ",
    "+",
    "=",
    "-",
    "'",
    '"',
    "\\",
    ",",
    ".",
    "\t",
    "\r\n",
    "\x00",
    "\x85",
)
ENDS = (
    "@mail.eu",
    "@MA\u0130L.EU",
    "@bücher.de",
    "@ma\u200bil.eu",
    "@ΣΑΣ.gr",
    "@example.com",
    "@mail",
    "@",
    "",
    "@a b.eu",
)
INVISIBLE = st.text("\u200b\ufeff\u00ad\u200d\u2060\ufe0f\u3164\u2800", max_size=1)
NOISE = st.just("") | st.sampled_from(AROUND) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)

Spelling = Callable[[str], str]

SPELLINGS: tuple[Spelling, ...] = (
    str,
    normal_address,
    lambda address: f"\t\u3000{address}\x85",
    lambda address: address.replace("a", "A").replace("m", "\u2060M"),
    "\u200c".join,
)


def spelled(mark: str) -> st.SearchStrategy[str]:
    """A mark in capitals and small letters, with invisible characters between."""
    letters = [st.tuples(INVISIBLE, st.sampled_from((letter, letter.upper()))) for letter in mark]
    return st.tuples(*letters).map(lambda pairs: "".join(map("".join, pairs)))


def address_with(mark: str) -> st.SearchStrategy[str]:
    """An address, or what is none, of any characters."""
    return st.tuples(NOISE, spelled(mark), NOISE, st.sampled_from(ENDS), NOISE).map("".join)


@pytest.fixture
def exports(in_process: InProcessSandbox, life: Life, tmp_path: Path) -> Iterator[Life]:
    """Exports without end, each in a folder of its own, into one audience."""
    return (Life(in_process, ExportFolder(tmp_path / f"exports{number}" / "life")) for number in range(10**6))


def leave_traces(life: Life, addresses: tuple[str, ...]) -> set[str]:
    """Export people, let them leave, and have a run die that has met them; return whom Mailchimp took."""
    life.field_map = {"EMAIL": "email", "NOTE": "note"}
    life.options = {
        "profile_id": "id",
        "create_merge_fields": True,
        "max_removal_ratio": 1,
        "max_reject_ratio": 1,
    }
    everybody = [*addresses, *OTHERS]
    life.run({"A": people(*everybody, note=everybody, id=everybody)})
    taken = {*life.ledger()}
    (Path(life.folder.uri) / "ledger of old").write_bytes(life.folder.read(LEDGER))
    notes = [address if is_address(address) else "" for address in addresses]
    life.run({"A": people(*OTHERS, note=notes, id=OTHERS)})
    dead = RunFolder(Path(life.folder.uri) / "dead")
    refused = [Outcome(address, Effect.REJECTED, words=f"{address} looks fake") for address in addresses]
    dead.keep(answers.batch_key("b"), [(None, [*refused, Outcome(OTHERS[0], Effect.CREATED)])])
    dead.put(RUN, b"{}")
    (Path(dead.uri) / ".draft-x").mkdir()
    (Path(dead.uri) / ".draft-x" / PLAN).write_text("".join(addresses), encoding="utf-8")
    return taken


def is_address(address: str) -> bool:
    """Whether it may be recognised among other words."""
    return re.fullmatch(r"[^\s\x00-\x1f\x7f-\x9f]+@[\w.-]*\w", normal_address(address)) is not None


def traces(root: Path) -> dict[str, str]:
    """Everything that the files under a root hold, as text without capitals and invisible characters."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): normal_address("\n".join(texts_of(path))) for path in files}


def texts_of(path: Path) -> Iterator[str]:
    """A file's bytes; of a Parquet file also all values, dictionaries, statistics and metadata."""
    yield path.read_bytes().decode(errors="replace")
    if not path.read_bytes().startswith(b"PAR1"):
        return
    table = pq.read_table(path)
    for column in table.columns:
        yield from (
            value.decode() if isinstance(value, bytes) else str(value) for value in column.to_pylist()
        )
    names = [field.name for field in table.schema if pa.types.is_string(field.type)]
    for column in pq.read_table(path, columns=names, read_dictionary=names).columns:
        yield from (str(value) for chunk in column.chunks for value in chunk.dictionary.to_pylist())
    metadata = pq.read_metadata(path)
    yield str(metadata.metadata)
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        yield from (str(group.column(index).statistics) for index in range(metadata.num_columns))


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    addresses=st.tuples(*map(address_with, MARKS)),
    spellings=st.tuples(*[st.sampled_from(SPELLINGS)] * len(MARKS)),
)
def test_nothing_is_left_of_anybody(
    exports: Iterator[Life], addresses: tuple[str, ...], spellings: tuple[Spelling, ...]
) -> None:
    """Of any address, taken or rejected, no byte is left in any file, however it is spelled; all others stay."""
    life = next(exports)
    taken = leave_traces(life, addresses)
    event(f"taken: {len({normal_address(address) for address in addresses} & taken)} of {len(MARKS)}")
    root = Path(life.folder.uri).parent
    for number, (address, spell) in enumerate(zip(addresses, spellings, strict=True)):
        assert list(forget(spell(address), root))
        left = traces(root)
        gone = [mark for mark in MARKS if not any(mark in text for text in left.values())]
        assert gone == list(MARKS[: number + 1])
    for other in OTHERS:
        assert other in traces(root)["life/run1/plan.parquet"]
