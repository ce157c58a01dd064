"""YAML as plain data with places."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from airflow_mailchimp_export.config.document import Document, read_document


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is still to be written."""
    return tmp_path / "exports.yaml"


def read(file: Path, text: str) -> Document:
    """Write a text, and read it."""
    file.write_text(dedent(text), encoding="utf-8")
    return read_document(file)


def told(document: Document) -> list[str]:
    """Return the mistakes, without the folder."""
    return [str(mistake).rpartition("/")[2] for mistake in document.mistakes]


def test_scalars_stay_what_was_written(file: Path) -> None:
    """An id of octal digits, a country called NO, a time and a switch are text; only a plain null is null."""
    document = read(
        file, "{id: 0123456712, country: NO, at: 12:30, on: yes, none: null, empty: , quoted: 'null'}"
    )
    assert document.data == {
        "id": "0123456712",
        "country": "NO",
        "at": "12:30",
        "on": "yes",
        "none": None,
        "empty": None,
        "quoted": "null",
    }


def test_each_key_and_entry_has_its_place(file: Path) -> None:
    """Lines and columns count from 1, and are those of the key, or of the entry of a list."""
    document = read(file, "a:\n  b: [x, y]\n")
    places = {path: (place.line, place.column) for path, place in document.places.items()}
    assert places == {
        (): (1, 1),
        ("a",): (1, 1),
        ("a", "b"): (2, 3),
        ("a", "b", 0): (2, 7),
        ("a", "b", 1): (2, 10),
    }


def test_variables_come_from_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set replaces its place; one that is not set, or empty, leaves its default."""
    monkeypatch.setenv("AUDIENCE", "0f1e2d3c4b")
    monkeypatch.setenv("EMPTY", "")
    document = read(
        file, "{set: '${AUDIENCE:-x}', unset: 'a${NOWHERE:-b}c', empty: '${EMPTY:-d}', none: '${EMPTY:-}'}"
    )
    assert document.data == {"set": "0f1e2d3c4b", "unset": "abc", "empty": "d", "none": ""}
    assert document.mistakes == ()


def test_a_variable_without_value_is_named(file: Path) -> None:
    """Each variable that has no default and is not set is told with its place, the key and the remedy."""
    document = read(file, "a: 1\nb:\n  - ${NOWHERE_TO_BE_FOUND}\n")
    assert told(document) == [
        "exports.yaml:3:5: b[0]: names the environment variable NOWHERE_TO_BE_FOUND, which is not set: set it for "
        "Airflow's DAG processor and its workers, or give a default as in ${NOWHERE_TO_BE_FOUND:-value}"
    ]


@pytest.mark.parametrize("text", ["${NAME", "${}", "${NAME-default}", "${A B}"])
def test_what_only_looks_like_a_variable_is_told(file: Path, text: str) -> None:
    """A mistyped variable is never sent anywhere as it stands."""
    assert told(read(file, f"a: '{text}'")) == [
        "exports.yaml:1:4: a: has a ${ that names no variable: write ${NAME} or ${NAME:-value}"
    ]


def test_merged_mappings_are_below_their_own_keys(file: Path) -> None:
    """With << a mapping has what its anchor has; its own keys win, and places are those of the text."""
    document = read(file, "base: &base {a: 1, b: 2}\nmore:\n  <<: *base\n  b: 3\n")
    assert document.data["more"] == {"a": "1", "b": "3"}
    assert document.places["more", "a"].line == 1
    assert document.places["more", "b"].line == 4


def test_several_mappings_are_merged_in_their_order(file: Path) -> None:
    """Of several that are merged the first wins."""
    document = read(file, "x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y]}\n")
    assert document.data["z"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("a: 1\nb: 2\na: 3", "exports.yaml:3:1: a: stands there twice, first in line 1: remove one of them"),
        ("? [a, b]\n: 1", "exports.yaml:1:3: has a key that is a mapping or a list: keys are names"),
        ("a: &a [*a]", "exports.yaml:1:4: a[0]: contains itself, by an alias: remove the alias"),
        ("a: {<<: 1}", "exports.yaml:1:9: a: merges with << what is no mapping: name the anchor of one"),
        ("a: &a {<<: *a}", "exports.yaml:1:4: a: merges with << what is no mapping: name the anchor of one"),
        ("a: !include b", "exports.yaml:1:4: a: has the tag !include, which means nothing here: remove it"),
        (
            "a: [1\nb: 2",
            "exports.yaml:2:2: This is no YAML: while parsing a flow sequence, did not find expected ',' or ']'; "
            "check indentation, colons and quotes from here upwards",
        ),
    ],
)
def test_what_yaml_has_and_a_configuration_has_not(file: Path, text: str, mistake: str) -> None:
    """Each such thing is told with its line, its column and the remedy."""
    assert told(read(file, text)) == [mistake]


def test_a_file_that_is_not_there(file: Path) -> None:
    """It is told as a mistake, too."""
    assert told(read_document(file)) == [
        "exports.yaml:1:1: The file cannot be read (No such file or directory): correct its path, or its rights"
    ]


def test_a_file_in_another_encoding(file: Path) -> None:
    """A file that is not in UTF-8 is refused; one with a byte-order mark is not."""
    file.write_bytes("a: Gr\u00fc\u00dfe".encode("latin-1"))
    assert told(read_document(file)) == [
        "exports.yaml:1:1: The file is not in UTF-8: save it in that encoding"
    ]
    file.write_bytes("\ufeffa: Gr\u00fc\u00dfe".encode())
    assert read_document(file).data == {"a": "Gr\u00fc\u00dfe"}


def test_an_empty_file(file: Path) -> None:
    """Nothing is null, and no mistake yet."""
    assert read(file, "# nothing\n") == Document(None, {(): read_document(file).places[()]}, ())
