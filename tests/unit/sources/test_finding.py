"""Which files a URI means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from upath import UPath

from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.settings.segments import FileFormat, FileSpec
from airflow_mailchimp_export.sources.finding import FoundFile, find_files
from airflow_mailchimp_export.sources.opening import plain_path


def find(uri: str | Path, *, given: FileFormat | None = None) -> tuple[FoundFile, ...]:
    """Find the files of a segment called VIP."""
    return find_files(FileSpec(str(uri), given), segment="VIP", path_factory=plain_path)


def labels(uri: str | Path, *, given: FileFormat | None = None) -> list[str]:
    """Name the files that are found."""
    return [file.label for file in find(uri, given=given)]


def refusal(uri: str | Path, *, given: FileFormat | None = None) -> str:
    """Say why no files are found."""
    with pytest.raises(SourceError) as caught:
        find(uri, given=given)
    return str(caught.value)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A folder of Parquet files, and of what engines leave behind."""
    for name in (
        *("part-1.parquet", "part-0.PARQUET", "day=1/part-0.pq", "day=1/x/part-0.parq"),
        *("_SUCCESS", "_temporary/part-9.parquet", ".part-0.parquet.crc", ".hidden/part-9.parquet"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


ALL = ["day=1/part-0.pq", "day=1/x/part-0.parq", "part-0.PARQUET", "part-1.parquet"]


class TestFolders:
    """A folder means the files of one format in and below it."""

    def test_a_folder(self, lake: Path) -> None:
        """Files are found at any depth, sorted, without hidden ones and those of other kinds."""
        assert labels(lake) == ALL

    def test_a_slash_makes_no_difference(self, lake: Path) -> None:
        """The folder may be written with a slash at its end."""
        assert labels(f"{lake}/") == ALL

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        """An empty folder is an error, not an empty segment."""
        assert refusal(tmp_path).startswith(
            f"segment 'VIP': no Parquet or CSV file is in {str(tmp_path)!r}; there is nothing"
        )

    def test_a_folder_of_other_files(self, lake: Path) -> None:
        """A folder with files that are surely of another format than the wanted one is an error that lists them."""
        said = refusal(lake, given=FileFormat.CSV)
        assert "has files that are not csv ('part-0.pq'," in said
        assert "let a glob leave them out" in said

    @pytest.mark.parametrize(
        ("name", "remedy"),
        [
            ("README.md", "add 'format' to the segment"),
            ("part-00003", "add 'format' to the segment"),
            ("people.xlsx", "save workbooks as CSV"),
            ("part-0.orc", "write Parquet or CSV"),
            ("part-0.parquet.gz", "add 'format' to the segment"),
        ],
    )
    def test_nothing_is_passed_over(self, lake: Path, name: str, remedy: str) -> None:
        """A file that is neither hidden nor readable is an error that names it, not fewer people."""
        (lake / name).touch()
        said = refusal(lake)
        assert f"({name!r})" in said
        assert remedy in said

    @pytest.mark.parametrize(
        "name", ["x.csv", "x.tsv", "x.CSV", "x.csv.gz", "x.csv.zst", "x.csv.bz2", "x.csv.zip", "x.csv.GZIP"]
    )
    def test_packed_text(self, tmp_path: Path, name: str) -> None:
        """However text is packed, its extension tells that it is CSV."""
        (tmp_path / "a.csv").touch()
        (tmp_path / name).touch()
        assert {file.format for file in find(tmp_path)} == {FileFormat.CSV}
        assert name in labels(tmp_path)

    @pytest.mark.parametrize("name", ["x.jsonl", "x.ndjson", "x.jsonl.gz"])
    def test_json_lines(self, tmp_path: Path, name: str) -> None:
        """JSON lines have extensions of their own."""
        (tmp_path / name).touch()
        assert [file.format for file in find(tmp_path)] == [FileFormat.JSONL]

    def test_a_format_reads_what_is_there(self, tmp_path: Path) -> None:
        """Parts without an extension, as Athena and Trino write them, are read as the format says."""
        for name in ("000000_0", "20261125_x", "c.csv.bz2", "_SUCCESS"):
            (tmp_path / name).touch()
        assert labels(tmp_path, given=FileFormat.CSV) == ["000000_0", "20261125_x", "c.csv.bz2"]

    def test_partitions_with_an_underscore(self, tmp_path: Path) -> None:
        """A partition is no hidden folder, whatever its column is called."""
        for folder in ("_dt=2", "dt=1", "_temporary"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a.csv").touch()
        assert labels(tmp_path) == ["_dt=2/a.csv", "dt=1/a.csv"]

    def test_many_other_files(self, tmp_path: Path) -> None:
        """Of many files only the first are named."""
        for number in range(30):
            (tmp_path / f"{number:02}.txt").touch()
        said = refusal(tmp_path)
        assert "'19.txt', ..." in said
        assert "'20.txt'" not in said

    def test_mixed_formats(self, lake: Path) -> None:
        """Parquet and CSV side by side are refused, and a glob chooses."""
        (lake / "extra.csv").touch()
        assert "has files of several formats, csv and parquet" in refusal(lake)
        assert labels(lake / "*.csv") == ["extra.csv"]

    def test_a_folder_that_may_not_be_listed(self, lake: Path) -> None:
        """A folder below that cannot be listed is an error: half a segment must not pass for a whole one."""
        with pytest.raises(SourceError, match="may not be read") as caught:
            find_files(FileSpec(str(lake)), segment="VIP", path_factory=LockedPath.make)
        assert isinstance(caught.value.__cause__, PermissionError)

    def test_links_that_lead_back(self, lake: Path) -> None:
        """A folder that is found again below itself is read once; a link to another one is followed."""
        (lake / "day=1" / "again").symlink_to(lake)
        (lake / "above").symlink_to(lake.parent)
        (lake / "loop").symlink_to("loop")
        assert labels(lake) == ALL
        other = lake.parent / f"{lake.name}-other"
        (other / "back").mkdir(parents=True)
        (other / "part-2.parquet").touch()
        (lake / "other").symlink_to(other)
        (other / "back" / "home").symlink_to(lake)
        assert labels(lake) == [*ALL[:2], "other/part-2.parquet", *ALL[2:]]

    def test_partitions(self, tmp_path: Path) -> None:
        """Folders that are named key=value give columns, as Hive escapes them."""
        folder = tmp_path / "day=2026-01-01" / "place=a%2Fb" / "none=__HIVE_DEFAULT_PARTITION__"
        folder.mkdir(parents=True)
        (folder / "x=1.parquet").touch()
        (file,) = find(tmp_path)
        assert file.partitions == {"day": "2026-01-01", "place": "a/b", "none": None}


class TestFiles:
    """A file means itself."""

    @pytest.mark.parametrize("name", ["x.csv", "x.CSV.GZ", "x.csv.gz"])
    def test_a_file(self, tmp_path: Path, name: str) -> None:
        """A file's extension tells its format."""
        (tmp_path / name).touch()
        (file,) = find(tmp_path / name)
        assert (file.label, file.format, str(file.path)) == (name, FileFormat.CSV, str(tmp_path / name))

    def test_a_hidden_file(self, tmp_path: Path) -> None:
        """A file that is named itself may be a hidden one."""
        (tmp_path / "_x.csv").touch()
        assert labels(tmp_path / "_x.csv") == ["_x.csv"]

    def test_a_file_of_unknown_format(self, tmp_path: Path) -> None:
        """A file whose name tells no format needs one in the segment."""
        (tmp_path / "export.dat").touch()
        assert "does not tell the format: add 'format' to the segment, parquet or csv or jsonl." in refusal(
            tmp_path / "export.dat"
        )
        assert labels(tmp_path / "export.dat", given=FileFormat.CSV) == ["export.dat"]

    def test_a_missing_file(self, lake: Path) -> None:
        """A missing file is an error that names what is beside it."""
        assert refusal(lake / "vip.parquet") == (
            f"segment 'VIP': there is no file or folder {str(lake / 'vip.parquet')!r}; "
            "beside it there are 'day=1', 'part-0.PARQUET', 'part-1.parquet'."
        )

    def test_a_missing_folder(self, lake: Path) -> None:
        """Where even the folder is missing, that is said."""
        assert "beside it there are no readable files." in refusal(lake / "no" / "vip.parquet")


class TestGlobs:
    """A glob means the files that it matches."""

    @pytest.mark.parametrize(
        ("glob", "found"),
        [
            ("*.parquet", ["part-1.parquet"]),
            ("part-?.*", ["part-0.PARQUET", "part-1.parquet"]),
            ("part-[1-9].parquet", ["part-1.parquet"]),
            ("*", ["part-0.PARQUET", "part-1.parquet"]),
            ("day=*/*", ["day=1/part-0.pq"]),
            ("*/x/*", ["day=1/x/part-0.parq"]),
            ("**", ALL),
            ("**/*.p*", ["day=1/part-0.pq", "day=1/x/part-0.parq", "part-1.parquet"]),
            ("**/**/part-0.pq", ["day=1/part-0.pq"]),
            ("_temp*/*.parquet", ["_temporary/part-9.parquet"]),
        ],
    )
    def test_globs(self, lake: Path, glob: str, found: list[str]) -> None:
        """Wildcards match as in a shell, ** at any depth, hidden names only where the glob begins so."""
        assert labels(lake / glob) == found

    def test_an_empty_glob(self, lake: Path) -> None:
        """A glob that matches nothing is an error."""
        assert "no Parquet or CSV file is in" in refusal(lake / "vip*.parquet")

    def test_a_glob_of_folders(self, lake: Path) -> None:
        """A glob that matches only folders is an error that says so."""
        assert "A glob must match files, not folders." in refusal(lake / "day=*")

    def test_a_glob_in_a_missing_folder(self, tmp_path: Path) -> None:
        """A glob below a folder that is missing says so."""
        said = refusal(tmp_path / "no" / "*.parquet")
        assert said == f"segment 'VIP', file '{tmp_path}/no/*.parquet': does not exist (any more)."

    def test_a_glob_with_a_format(self, tmp_path: Path) -> None:
        """Where the segment names the format, the files may have any extension."""
        (tmp_path / "000000_0").touch()
        (tmp_path / "000001_0").touch()
        assert labels(tmp_path / "0*", given=FileFormat.PARQUET) == ["000000_0", "000001_0"]

    def test_a_relative_glob(self, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A glob may begin with its wildcard."""
        monkeypatch.chdir(lake)
        assert labels("*.parquet") == ["part-1.parquet"]

    def test_a_glob_at_the_root(self, lake: Path) -> None:
        """A wildcard may stand in the first folder of all."""
        first, *others = lake.parts[1:]
        assert labels("/".join(["", f"[{first[0]}]{first[1:]}", *others, "*.parquet"])) == [
            "/".join([first, *others, "part-1.parquet"])
        ]


def test_object_storages() -> None:
    """Other storages than the local disk work the same way."""
    root = UPath("memory://finding/lake")
    for name in ("b.csv", "a.csv", "sub/c.csv"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"a\n")
    assert labels("memory://finding/lake") == ["a.csv", "b.csv", "sub/c.csv"]
    assert labels("memory://finding/lake/*.csv") == ["a.csv", "b.csv"]
    assert labels("memory://finding/lake/a.csv") == ["a.csv"]


class LockedPath:
    """A path below which the folder ``day=1`` may not be listed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def make(cls, uri: str, conn_id: str | None) -> LockedPath:
        """Make it of a URI."""
        return cls(Path(uri))

    @property
    def name(self) -> str:
        """The last part."""
        return self._path.name

    @property
    def parent(self) -> LockedPath:
        """The folder that it is in."""
        return LockedPath(self._path.parent)

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self._path.is_dir()

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self._path.is_file()

    def iterdir(self) -> Iterator[LockedPath]:
        """List the folder, if it is allowed."""
        if self.name == "day=1":
            raise PermissionError(self.name)
        return map(LockedPath, self._path.iterdir())

    def __truediv__(self, name: str) -> LockedPath:
        """What is in the folder under a name."""
        return LockedPath(self._path / name)

    def open(self, mode: str) -> object:
        """Open the file."""
        return self._path.open(mode)


class MarkedPath(LockedPath):
    """A path below which an empty object stands for the folder ``day=1``."""

    @classmethod
    def make(cls, uri: str, conn_id: str | None) -> MarkedPath:
        """Make it of a URI."""
        return cls(Path(uri))

    @property
    def parent(self) -> MarkedPath:
        """The folder that it is in."""
        return MarkedPath(self._path.parent)

    def __truediv__(self, name: str) -> MarkedPath:
        """What is in the folder under a name."""
        return MarkedPath(self._path / name)

    def __str__(self) -> str:
        """Spell it."""
        return str(self._path)

    def is_dir(self) -> bool:
        """Whether the storage takes it for a folder."""
        return self._path.is_dir() and self.name != "day=1"

    def stat(self) -> SimpleNamespace:
        """What the storage knows of it."""
        return SimpleNamespace(st_size=0 if self._path.is_dir() else self._path.stat().st_size)

    def iterdir(self) -> Iterator[LockedPath]:
        """List the folder."""
        return map(MarkedPath, self._path.iterdir())


def test_folder_markers(tmp_path: Path) -> None:
    """An empty object that stands for a folder is no file, and what is below it is found."""
    (tmp_path / "day=1").mkdir()
    (tmp_path / "a.csv").touch()
    (tmp_path / "day=1" / "b.csv").touch()
    found = find_files(FileSpec(str(tmp_path)), segment="VIP", path_factory=MarkedPath.make)
    assert [file.label for file in found] == ["a.csv", "day=1/b.csv"]


def test_keys_with_two_slashes() -> None:
    """What lies below a folder without a name is not passed over."""
    storage = UPath("memory://slashes/").fs
    for key in ("/slashes/lake/a.csv", "/slashes/lake//b.csv"):
        storage.pipe(key, b"a\n")
    with pytest.raises(SourceError):
        find("memory://slashes/lake")


def test_a_folder_in_a_folder_of_its_name() -> None:
    """A folder whose child is called like itself is read as any other, with the files beside that child."""
    root = UPath("memory://finding/same/same")
    for name in ("same/b.csv", "a.csv"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("email\n")
    found = find_files(FileSpec(str(root)), segment="A", path_factory=plain_path)
    assert [file.label for file in found] == ["a.csv", "same/b.csv"]
