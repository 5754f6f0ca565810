"""The files of a report: whether they can be written is known before any long work starts."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryFile

from conformance.errors import Misuse
from conformance.results.census import Census

NAMES = ("conformance.html", "conformance.md")


def prepared(folder: Path, *names: str) -> None:
    """Make the folder if it is missing; raise a Misuse, with the remedy, unless these files can be written to it."""
    if not folder.exists():
        try:
            folder.mkdir()
        except OSError as error:
            raise Misuse(f"cannot write to {folder}: {error.strerror}; make the folder first") from error
    if not folder.is_dir():
        raise Misuse(f"cannot write to {folder}: it is a file; name a folder")
    for path in (folder / name for name in names):
        if path.is_dir():
            raise Misuse(f"cannot write {path}: there is a folder of this name; move it away")
    try:  # no question about permissions is answered as surely as by writing
        with TemporaryFile(dir=folder):
            pass
        for path in (folder / name for name in names if (folder / name).exists()):
            path.open("ab").close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Misuse(f"cannot write to {folder}: {reason}; choose another folder or change its permissions") from error


def read(path: Path) -> Census:
    """The census that ``--json`` wrote."""
    try:
        return Census.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise Misuse(f"cannot read {path}: {error.strerror}; write one with --json {path}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise Misuse(f"cannot read {path}: not a census that --json wrote ({reason:.120}); write it again") from error


def write(census: Census, folder: Path) -> list[Path]:
    """The page and the Markdown table, into an existing folder."""
    from conformance.report import page

    paths = [folder / name for name in NAMES]
    for path, text in zip(paths, (page.html(census), page.markdown(census)), strict=True):
        path.write_text(text, encoding="utf-8", newline="\n")
    return paths
