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
from vitrine.catalog import Catalog, is_safe_path, read_catalog
from vitrine.catalog.left_out import harmless
from vitrine.catalog.photos import PhotoError, is_photo_name
from vitrine.catalog.schema import UNSAFE_PATH_REASON
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
    """How a run went.

    Attributes:
        photos: In all.
        unreadable: Those without an answer.
        resumed: Those that an earlier run had answered.
        version: Of the model, as the registry has it, or the hash of its weights and settings.
    """

    photos: int
    unreadable: int
    resumed: int
    version: str


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
    what a spreadsheet would take for a formula. Parts that are done stand in a folder beside `out`, `<out>.part`, until
    it is whole; the same run again goes on from there, on S3 also from another machine.

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
    return score_photos(list(photos_of(source)), source, model, out, registry, top, progress)


def score_photos(
    photos: Sequence[tuple[str, str]],
    source: str,
    model: str,
    out: str,
    registry: str = "",
    top: int = 1,
    progress: Callable[[int, int], None] | None = None,
    state: str = "",
    version: str = "",
) -> Scored:
    """As `score`, of photos that are known: what each is called, and where it is ("": at a path that is not safe).

    Args:
        photos: As `photos_of` gives them.
        source: What they are called together.
        model: See `score`.
        out: See `score`.
        registry: See `score`.
        top: See `score`.
        progress: See `score`.
        state: Which state of the data this is, where the photos' places may be others for the next run, which is to go
            on with this one's parts.
        version: What the model is called; by default as its address says.

    Raises:
        InputError: as `score`.
    """
    kind = Path(out).suffix
    if kind not in FORMATS:
        raise InputError(f"{out}: a table is written as {', '.join(FORMATS)}")
    if top > 1 and kind != ".jsonl":
        raise InputError(f"top={top}: a {kind} table holds the best label only; .jsonl holds more")
    if files.exists(out):
        raise InputError(f"{out}: exists already; name a new file")
    if not photos:
        raise InputError(f"{source}: no photos to ask the model about")
    with local_copy(model, registry) as copy:
        loaded = Model.load(copy.folder)
        if loaded.task.output == "verdict":
            raise InputError(f"{model}: judges listings; name their folders: vitrine predict MODEL FOLDER ...")
        version = version or copy.version
        parts = _Parts(out, photos, version, top, state)
        done = parts.count()
        for number in range(done, len(parts.starts)):
            first = parts.starts[number]
            parts.write(number, _lines(loaded, photos[first : first + AT_ONCE], top))
            if progress is not None:
                progress(min(first + AT_ONCE, len(photos)), len(photos))
    unreadable = parts.finish(out, kind)
    return Scored(len(photos), unreadable, min(done * AT_ONCE, len(photos)), version)


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
        yield from photos_in(read_catalog(source, check_rows=False))
    elif files.is_s3(source) or Path(source).is_dir():
        root = files.absolute(source)
        for name in files.list_folder(root):
            if is_photo_name(name) and not name.startswith("."):
                yield name, files.join(root, name)
    else:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"{source}: not a catalog, a folder, or a list of photos ({error})") from error
        yield from ((line, line) for line in _listed(text))


def photos_in(catalog: Catalog) -> Iterator[tuple[str, str]]:
    """As `photos_of`, of a catalog: each row's photo."""
    return ((image, catalog.uri(image) if is_safe_path(image) else "") for image in catalog.table["image"])


def _listed(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _lines(model: Model, photos: Sequence[tuple[str, str]], top: int) -> list[dict[str, Any]]:
    """A record for each photo, or what is wrong with it."""
    unreadable: dict[int, PhotoError] = {}
    there = [(place, uri) for place, (_, uri) in enumerate(photos) if uri]
    uris = [uri for _, uri in there]
    records = model.task.records(model.net, model.config, uris, top, unreadable=unreadable) if uris else []
    wrong = {there[number][0]: str(error) for number, error in unreadable.items()}
    wrong |= {place: UNSAFE_PATH_REASON for place, (_, uri) in enumerate(photos) if not uri}
    said = iter(records)
    return [
        {"image": name, ERROR: wrong[place]} if place in wrong else next(said) | {"image": name}
        for place, (name, _) in enumerate(photos)
    ]


class _Parts:
    """The parts of a table that are done, as JSON lines in a folder beside it.

    Args:
        out: The table.
        photos: All of them.
        version: Of the model.
        top: Labels named per question.
        state: See `score_photos`.

    Raises:
        InputError: if the folder holds the parts of another run.
    """

    def __init__(self, out: str, photos: Sequence[tuple[str, str]], version: str, top: int, state: str) -> None:
        self._folder = f"{out}.part"
        self.starts = range(0, len(photos), AT_ONCE)
        listed = "\n".join([state, *(name if state else f"{name}\n{uri}" for name, uri in photos)])
        digest = hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()
        plan = {"photos": digest, "model": version, "top": top, "at_once": AT_ONCE}
        plan_file = files.join(self._folder, "plan.json")
        if files.exists(plan_file):
            if parse_json(files.read_bytes(plan_file)) != plan:
                raise InputError(f"{self._folder}: the beginning of another run (other photos or model); delete it")
        else:
            files.write_bytes(plan_file, json.dumps(plan).encode())

    def count(self) -> int:
        """How many parts are done, from the first on."""
        made = set(files.list_folder(self._folder))
        return next((number for number in range(len(self.starts)) if _name(number) not in made), len(self.starts))

    def write(self, number: int, lines: Sequence[dict[str, Any]]) -> None:
        """Adds a part, whole."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        files.write_bytes(files.join(self._folder, _name(number)), text.encode("utf-8", "surrogateescape"))

    def finish(self, out: str, kind: str) -> int:
        """Writes the table, deletes the parts; how many photos have no answer."""
        texts = [files.read_bytes(files.join(self._folder, _name(number))) for number in range(len(self.starts))]
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
        if files.is_s3(out):
            for name in files.list_folder(self._folder):
                files.delete(files.join(self._folder, name))
        else:
            shutil.rmtree(self._folder)
        return unreadable


def _name(part: int) -> str:
    return f"{part:06}.jsonl"


def _table(text: bytes) -> pd.DataFrame:
    """A part as rows: the best label of each question."""
    return pd.DataFrame([best_labels(parse_json(line)) for line in text.splitlines()])


def _csv(table: pd.DataFrame) -> bytes:
    """For a person: names of photos and labels come from sellers."""
    shown = table.map(lambda cell: harmless(cell) if isinstance(cell, str) else cell).rename(columns=harmless)
    return shown.to_csv(index=False).encode()
