"""Looks at what a release would bring: the wheel, the sdist, and the metadata that the index shows."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = "airflow_mailchimp_export"
BUNDLE = f"{PACKAGE}/pages/static/"
"""What the build makes, so that Git does not know it."""

URLS = {"Documentation", "Source", "Changelog", "Issues"}
ONLY_HERE = {".gitattributes"}
"""What nobody needs who has no Git."""

_LINK = re.compile(r"\]\(([^)]+)\)")


def main(folder: Path) -> int:
    """Say what is wrong with the one wheel and the one sdist of a folder; 0 if nothing is."""
    ((wheel,), (sdist,)) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    wrong = [*wrong_in_wheel(wheel), *wrong_in_sdist(sdist)]
    print(*wrong or [f"{wheel.name} and {sdist.name} have what they should"], sep="\n")
    return 1 if wrong else 0


def wrong_in_wheel(wheel: Path) -> Iterator[str]:
    """What is missing in the wheel, what does not belong there, and what its metadata lacks."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        yield from wrong_in_metadata(message_from_bytes(archive.read(metadata)))
    tracked = {name for name in tracked_files() if name.startswith(f"{PACKAGE}/")}
    yield from (f"wheel: {name} is missing" for name in sorted(tracked - names))
    strange = sorted(name for name in names - tracked if not name.startswith(BUNDLE))
    yield from (f"wheel: {name} is in it and not in the repository" for name in strange)


def wrong_in_metadata(metadata: Message) -> Iterator[str]:
    """URLs that the index should show, and links of the README that lead nowhere from there."""
    shown = {line.partition(",")[0] for line in metadata.get_all("Project-URL", [])}
    yield from (f"metadata: no URL {name}" for name in sorted(URLS - shown))
    links = _LINK.findall(str(metadata.get_payload()))
    relative = sorted({link for link in links if not link.startswith(("https://", "#"))})
    yield from (f"README: {link} leads nowhere outside of the repository" for link in relative)
    if not links:
        yield "README: it has no links, so it is not the one of the repository"


def wrong_in_sdist(sdist: Path) -> Iterator[str]:
    """What the repository has and the sdist has not: with it, everything is built, tested and checked."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = tracked_files() - names - ONLY_HERE
    yield from (f"sdist: {name} is missing" for name in sorted(missing))


def tracked_files() -> set[str]:
    """Every file that Git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return set(listed.stdout.split("\0")) - {""}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
