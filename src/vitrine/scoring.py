"""A model's predictions for all photos of a catalog, a folder or a list, as one table that is finished bit by bit.

Parts of it may be made by several processes side by side, on one machine or many: see `score_photos`.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, overload

import pyarrow as pa
import pyarrow.parquet as pq

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
ROWS = 1 << 16  # of the table, in memory at once while it is written
WHOLE = (1, 1)  # the one shard of one

Photo = tuple[str, str]  # what it is called, and where it is; "" where its path is not safe
FORMATS = (".parquet", ".csv", ".jsonl")
ERROR = "error"


@dataclass(frozen=True)
class Scored:
    """How a run went.

    Attributes:
        photos: In all, or of the shard.
        unreadable: Those without an answer; of a shard unknown, 0.
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
        InputError: if the source or the model cannot be read, `out` exists, another run's parts stand beside it, or
            `top` is below 1.
    """
    return score_photos(list(photos_of(source)), source, model, out, registry, top, progress)


def score_photos(
    photos: Sequence[Photo],
    source: str,
    model: str,
    out: str,
    registry: str = "",
    top: int = 1,
    progress: Callable[[int, int], None] | None = None,
    state: str = "",
    version: str = "",
    shard: tuple[int, int] = WHOLE,
) -> Scored:
    """As `score`, of photos that are known: what each is called, and where it is ("": at a path that is not safe).

    Several processes share the photos by a shard each; then one that is given no shard asks about what none of them
    did, and writes the table, which is the same bytes as if it had been alone.

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
        shard: Ask about this part of the photos only, the second of four is (2, 4), and write no table.

    Raises:
        InputError: as `score`.
    """
    kind = Path(out).suffix
    if kind not in FORMATS:
        raise InputError(f"{out}: a table is written as {', '.join(FORMATS)}")
    if top < 1:
        raise InputError(f"top={top}: at least 1")
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
        own = parts.of_shard(shard)
        missing = parts.missing(own)
        asked, left = parts.photos(own), parts.photos(missing)
        resumed = asked - left
        for number in missing:
            part = photos[parts.slice(number)]
            parts.write(number, _lines(loaded, part, top))
            left -= len(part)
            if progress is not None:
                progress(asked - left, asked)
    unreadable = 0 if shard != WHOLE else parts.finish(out, kind)
    return Scored(asked, unreadable, resumed, version)


def photos_of(source: str) -> Iterator[Photo]:
    """What each photo of a source is called, and where it is: see `score`.

    Raises:
        InputError: if there is no such source.
    """
    if source == "-":
        yield from ((_as_text(line), line) for line in _listed(sys.stdin.read()))
        return
    is_catalog = source.endswith(TABLE_NAMES) or any(files.exists(files.join(source, name)) for name in TABLE_NAMES)
    if is_catalog:
        yield from CatalogPhotos(read_catalog(source, check_rows=False))
    elif files.is_s3(source) or Path(source).is_dir():
        root = files.absolute(source)
        for name in files.list_folder(root):
            if is_photo_name(name) and not name.startswith("."):
                yield _as_text(name), files.join(root, name)
    else:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"{source}: not a catalog, a folder, or a list of photos ({error})") from error
        yield from ((line, line) for line in _listed(text))


class CatalogPhotos(Sequence[Photo]):
    """As `photos_of`, of a catalog: each row's photo, named when it is asked for, since rows may be many millions."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._images = catalog.table["image"].array

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, place: int) -> Photo: ...
    @overload
    def __getitem__(self, place: slice) -> list[Photo]: ...
    def __getitem__(self, place: int | slice) -> Photo | list[Photo]:
        if isinstance(place, slice):
            return [self._at(image) for image in self._images[place]]
        return self._at(self._images[place])

    def _at(self, image: str) -> Photo:
        return image, self._catalog.uri(image) if is_safe_path(image) else ""


def _as_text(name: str) -> str:
    """A file's name in UTF-8; what is none of it, in names from elsewhere, is spelt \\xe9."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _listed(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _lines(model: Model, photos: Sequence[Photo], top: int) -> list[dict[str, Any]]:
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

    def __init__(self, out: str, photos: Sequence[Photo], version: str, top: int, state: str) -> None:
        self._folder = f"{out}.part"
        self._photos = len(photos)
        digest = hashlib.sha256(f"{state}\n".encode())
        for name, uri in () if state else photos:
            digest.update(f"{name}\n{uri}\n".encode("utf-8", "surrogateescape"))
        plan = {"photos": f"{len(photos)} {digest.hexdigest()}", "model": version, "top": top, "at_once": AT_ONCE}
        plan_file = files.join(self._folder, "plan.json")
        if files.exists(plan_file):
            if parse_json(files.read_bytes(plan_file)) != plan:
                raise InputError(f"{self._folder}: the beginning of another run (other photos or model); delete it")
        else:
            files.write_bytes(plan_file, json.dumps(plan).encode())

    def of_shard(self, shard: tuple[int, int]) -> range:
        """The parts of one shard: a run of all."""
        number, count = shard
        parts = -(-self._photos // AT_ONCE)
        return range(parts * (number - 1) // count, parts * number // count)

    def missing(self, numbers: range) -> list[int]:
        """Which of some parts are not done."""
        made = set(files.list_folder(self._folder))
        return [number for number in numbers if _name(number) not in made]

    def slice(self, number: int) -> slice:
        """The photos of a part."""
        return slice(number * AT_ONCE, min((number + 1) * AT_ONCE, self._photos))

    def photos(self, numbers: Sequence[int]) -> int:
        """How many photos some parts have."""
        own = map(self.slice, numbers)
        return sum(part.stop - part.start for part in own)

    def write(self, number: int, lines: Sequence[dict[str, Any]]) -> None:
        """Adds a part, whole."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        files.write_bytes(files.join(self._folder, _name(number)), text.encode())

    def finish(self, out: str, kind: str) -> int:
        """Writes the table, deletes the parts; how many photos have no answer."""
        with tempfile.TemporaryFile() as lines, tempfile.TemporaryFile() as table:
            schema, unreadable = pa.schema([]), 0
            for number in self.of_shard(WHOLE):
                text = files.read_bytes(files.join(self._folder, _name(number)))
                rows = _rows(text.splitlines())
                schema = pa.unify_schemas([schema, rows.schema], promote_options="permissive")
                unreadable += rows.num_rows - rows[ERROR].null_count if ERROR in rows.schema.names else 0
                lines.write(text)
            lines.seek(0)
            if kind == ".jsonl":
                files.write_file(out, lines)
            else:
                (_write_csv if kind == ".csv" else _write_parquet)(_tables(lines, _ordered(schema)), table)
                table.seek(0)
                files.write_file(out, table)
        if files.is_s3(out):
            for name in files.list_folder(self._folder):
                files.delete(files.join(self._folder, name))
        else:
            shutil.rmtree(self._folder)
        return unreadable


def _name(part: int) -> str:
    return f"{part:06}.jsonl"


def _rows(lines: Sequence[bytes], schema: pa.Schema | None = None) -> pa.Table:
    """Records as rows: the best label of each question; of the columns there are, or of a schema's."""
    rows = [best_labels(parse_json(line)) for line in lines]
    names = schema.names if schema is not None else dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names}, schema=schema)


def _ordered(schema: pa.Schema) -> pa.Schema:
    """The columns of the table: why there is no answer last, and there too where all have one."""
    return pa.schema([*(field for field in schema if field.name != ERROR), pa.field(ERROR, pa.string())])


def _tables(lines: BinaryIO, schema: pa.Schema) -> Iterator[pa.Table]:
    """The records of a file as rows of one schema, `ROWS` at a time."""
    while some := [*islice(lines, ROWS)]:
        yield _rows(some, schema)


def _write_parquet(tables: Iterator[pa.Table], file: BinaryIO) -> None:
    first = next(tables)
    with pq.ParquetWriter(file, first.schema) as writer:
        for table in chain([first], tables):
            writer.write_table(table)


def _write_csv(tables: Iterator[pa.Table], file: BinaryIO) -> None:
    """For a person: names of photos and labels come from sellers."""
    for number, table in enumerate(tables):
        shown = table.to_pandas().map(lambda cell: harmless(cell) if isinstance(cell, str) else cell)
        text = shown.rename(columns=harmless).to_csv(index=False, header=number == 0)
        file.write(text.encode())
