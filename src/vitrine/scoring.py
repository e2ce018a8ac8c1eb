"""A model's predictions for all photos of a catalog, a folder or a list, as one table that is finished bit by bit."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vitrine import files
from vitrine.catalog import read_catalog
from vitrine.catalog.left_out import harmless
from vitrine.catalog.photos import PHOTO_ENDINGS, PhotoError
from vitrine.catalog.table import TABLE_NAMES
from vitrine.errors import InputError
from vitrine.predict import Model
from vitrine.predictions import best_labels
from vitrine.registry.address import local_copy
from vitrine.untrusted import parse_json

AT_ONCE = 1024  # photos of a part; what is being answered when a run is stopped is answered again
FORMATS = (".parquet", ".csv", ".jsonl")
ERROR = "error"


@dataclass(frozen=True)
class Scored:
    """How a run went: photos in all, those without an answer, and those that an earlier run had answered."""

    photos: int
    unreadable: int
    resumed: int


def score(
    source: str,
    model: str,
    out: str,
    registry: str = "",
    top: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Scored:
    """Asks a model about every photo of a source, and writes one row for each, in order.

    A row holds `image`, the labels and confidences of `Predictor.predict`, and `error`: why a photo could not be read,
    which has no labels then. In JSON lines a row is what `vitrine predict` prints; in CSV an apostrophe stands before
    what a spreadsheet would take for a formula. Parts that are done stand in a
    folder beside `out` until it is whole; the same run again goes on from there.

    Args:
        source: A catalog; a folder or s3:// prefix of photos, at any depth; a text file of paths or s3:// URIs, one a
            line; or `-`, the same from standard input.
        model: Its address, see `vitrine.registry.address`.
        out: A new file or s3:// object: `.parquet`, `.csv` or `.jsonl`.
        registry: The one that `champion:TASK` is of.
        top: Labels named per question; in JSON lines only.
        progress: Told how many photos are done.

    Raises:
        InputError: if the source or the model cannot be read, `out` exists, or another run's parts stand beside it.
    """
    kind = Path(out).suffix
    if kind not in FORMATS:
        raise InputError(f"{out}: a table is written as {', '.join(FORMATS)}")
    if top > 1 and kind != ".jsonl":
        raise InputError(f"top={top}: a {kind} table holds the best label only; .jsonl holds more")
    if files.exists(out):
        raise InputError(f"{out}: exists already; name a new file")
    photos = list(photos_of(source))
    if not photos:
        raise InputError(f"{source}: no photos to ask the model about")
    with local_copy(model, registry) as copy:
        loaded = Model.load(copy.folder)
        if loaded.task.output == "verdict":
            raise InputError(f"{model}: judges listings; name their folders: vitrine predict MODEL FOLDER ...")
        parts = _Parts(out, photos, copy.version, top)
        done = parts.count()
        for number in range(done, len(parts.starts)):
            first = parts.starts[number]
            parts.write(number, _lines(loaded, photos[first : first + AT_ONCE], top))
            if progress is not None:
                progress(min(first + AT_ONCE, len(photos)), len(photos))
    unreadable = parts.finish(out, kind)
    return Scored(len(photos), unreadable, min(done * AT_ONCE, len(photos)))


def photos_of(source: str) -> Iterator[tuple[str, str]]:
    """What each photo of a source is called, and where it is: see `score`.

    Raises:
        InputError: if there is no such source.
    """
    if source == "-":
        yield from ((line, line) for line in _listed(sys.stdin.read()))
        return
    is_catalog = source.endswith(TABLE_NAMES) or any(files.exists(files.join(source, name)) for name in TABLE_NAMES)
    if is_catalog:
        catalog = read_catalog(source)
        yield from ((image, catalog.uri(image)) for image in catalog.table["image"])
    elif files.is_s3(source) or Path(source).is_dir():
        root = files.absolute(source)
        for name in files.list_folder(root):
            if name.lower().endswith(PHOTO_ENDINGS) and not name.startswith("."):
                yield name, files.join(root, name)
    else:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"{source}: not a catalog, a folder, or a list of photos ({error})") from error
        yield from ((line, line) for line in _listed(text))


def _listed(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _lines(model: Model, photos: Sequence[tuple[str, str]], top: int) -> list[dict[str, Any]]:
    """A record for each photo, or what is wrong with it."""
    unreadable: dict[int, PhotoError] = {}
    uris = [uri for _, uri in photos]
    records = iter(model.task.records(model.net, model.config, uris, top, unreadable=unreadable))
    return [
        {"image": name, ERROR: str(unreadable[place])} if place in unreadable else next(records) | {"image": name}
        for place, (name, _) in enumerate(photos)
    ]


class _Parts:
    """The parts of a table that are done, as JSON lines in a folder beside it.

    Args:
        out: The table.
        photos: All of them.
        version: Of the model.
        top: Labels named per question.

    Raises:
        InputError: if the folder holds the parts of another run.
    """

    def __init__(self, out: str, photos: Sequence[tuple[str, str]], version: str, top: int) -> None:
        place = hashlib.sha256(out.encode()).hexdigest()[:24]
        self._folder = files.cache_folder() / "scoring" / place if files.is_s3(out) else Path(f"{out}.part")
        self.starts = range(0, len(photos), AT_ONCE)
        listed = "\n".join(f"{name}\n{uri}" for name, uri in photos)
        digest = hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()
        plan = {"photos": digest, "model": version, "top": top, "at_once": AT_ONCE}
        plan_file = self._folder / "plan.json"
        if plan_file.exists() and files.read_json(plan_file) != plan:
            raise InputError(f"{self._folder}: holds the beginning of another run (other photos or model); delete it")
        self._folder.mkdir(parents=True, exist_ok=True)
        files.write_json(plan_file, plan)

    def count(self) -> int:
        """How many parts are done, from the first on."""
        return next((number for number in range(len(self.starts)) if not self._path(number).exists()), len(self.starts))

    def write(self, number: int, lines: Sequence[dict[str, Any]]) -> None:
        """Adds a part, whole."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        files.write_bytes(str(self._path(number)), text.encode("utf-8", "surrogateescape"))

    def finish(self, out: str, kind: str) -> int:
        """Writes the table, deletes the parts; how many photos have no answer."""
        texts = [self._path(number).read_bytes() for number in range(len(self.starts))]
        if kind == ".jsonl":
            unreadable = sum(ERROR in parse_json(line) for text in texts for line in text.splitlines())
            files.write_bytes(out, b"".join(texts))
        else:
            table = pd.concat([_table(text) for text in texts], ignore_index=True)
            if ERROR not in table:
                table[ERROR] = None
            table = table[[*(name for name in table.columns if name != ERROR), ERROR]]
            unreadable = int(table[ERROR].notna().sum())
            data = _csv(table) if kind == ".csv" else table.to_parquet(index=False)
            files.write_bytes(out, data)
        shutil.rmtree(self._folder)
        return unreadable

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}.jsonl"


def _table(text: bytes) -> pd.DataFrame:
    """A part as rows: the best label of each question."""
    return pd.DataFrame([best_labels(parse_json(line)) for line in text.splitlines()])


def _csv(table: pd.DataFrame) -> bytes:
    """For a person: names of photos and labels come from sellers."""
    shown = table.map(lambda cell: harmless(cell) if isinstance(cell, str) else cell).rename(columns=harmless)
    return shown.to_csv(index=False).encode()
