"""Any data set into a catalog: a tree of folders, tables described by a mapping file, or a known data set."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from vitrine import configs, files
from vitrine.catalog import schema
from vitrine.catalog.datasets import MAPPED, READERS, UNPACKERS
from vitrine.catalog.datasets.reading import PROBLEM, box, read_table
from vitrine.catalog.datasets.reading import label as plain_label
from vitrine.catalog.left_out import LEFT_OUT, LeftOut, refuse_many, write_left_out
from vitrine.catalog.mapping import (
    CatalogMapping,
    LongTable,
    Lookup,
    Template,
    attribute_column,
    cut_path,
    nearest,
    read_mapping,
)
from vitrine.catalog.photos import PHOTO_ENDINGS, UNREAD_ENDINGS, is_photo_name
from vitrine.catalog.schema import composed
from vitrine.catalog.table import Catalog, write_catalog
from vitrine.errors import InputError
from vitrine.untrusted import parse_json

# An item of a written list: in single or double quotes, or bare up to the next comma.
LIST_ITEM = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"][^,'"]*)""")


ROW, FILE, VIEW = "\0row", "\0file", "\0view "  # columns of our own while rows of tables become rows of photos


@dataclass(frozen=True)
class Ingested:
    """What became of a data set.

    Attributes:
        rows: Rows of the catalog.
        unlisted: Photos that no row of the source's tables names.
        unlisted_kept: Whether those are in the catalog, as unlabelled rows.
        missing: Rows of the source's tables whose photo is not there; they are not in the catalog.
        unusable: Rows with a value that the format does not know; they are not in the catalog.
        unmatched: By lookup table the rows that it says nothing of, by table of attributes its lines about no row.
        unlabelled: Labels that were words for "no label" and are now empty.
        bad_lines: Lines of the source's tables that cannot be read and were to be left out.
        unread: Files of a photo's kind that cannot be read, by their ending; they are not in the catalog.
        misnamed: Photos with a name that a catalog cannot hold.
        left_out: The rows behind `missing`, `unusable` and `bad_lines`, one by one.
        unnamed: The photos behind `unlisted`, where they are left out.
    """

    rows: int
    unlisted: int = 0
    unlisted_kept: bool = False
    missing: int = 0
    unusable: int = 0
    unmatched: Mapping[str, int] = field(default_factory=dict)
    unlabelled: int = 0
    bad_lines: int = 0
    unread: Mapping[str, int] = field(default_factory=dict)
    misnamed: Sequence[str] = ()
    left_out: Sequence[LeftOut] = ()
    unnamed: Sequence[str] = ()

    def lines(self) -> list[str]:
        """The account in a few sentences."""
        fate = "kept without labels" if self.unlisted_kept else "left out"
        lines = [
            f"Rows: {self.rows}.",
            f"Photos without a row: {self.unlisted} ({fate}). Rows without a photo: {self.missing} (left out).",
        ]
        if self.unusable:
            lines.append(f"Rows with a value that cannot be used: {self.unusable} (left out).")
        if any(self.unmatched.values()):
            lines.append(f"Rows or lines without a match: {_counted(self.unmatched)}.")
        if self.bad_lines:
            lines.append(f"Lines that cannot be read: {self.bad_lines} (left out).")
        if self.unread:
            lines.append(f"Of a photo's kind and not read: {_counted(self.unread)} (left out; convert or unpack them).")
        if self.misnamed:
            lines.append(f"Photos with a name that no catalog can hold: {len(self.misnamed)} (left out; rename them).")
        if self.unlabelled:
            lines.append(f"Labels that count as unlabelled: {self.unlabelled}.")
        if self.left_out or self.unnamed or self.misnamed:
            lines.append(f"What is left out stands in {LEFT_OUT}, with its reason.")
        return lines


def ingest(
    source: str | Path,
    out: Path,
    format: str,
    mapping: Path | None = None,
    *,
    skip_bad_lines: bool = False,
    max_left_out: float = 1.0,
) -> Ingested:
    """Writes OUT/catalog.parquet for a data set, and OUT/left_out.csv; its photos stay where they are.

    Only photos that are no files yet (arrays of CIFAR-100) are written, to OUT/images.

    Args:
        source: A folder or `s3://` prefix; `image` values are relative to it.
        out: The new folder.
        format: `folder` (sub-folders are the category path), `table` (as `mapping` says) or a known data set.
        mapping: The mapping file of format `table`.
        skip_bad_lines: Leave out the lines of tables that cannot be read, instead of refusing the table.
        max_left_out: The share of the rows that may be left out; see `refuse_many`.

    Raises:
        InputError: for an unknown format, an unusable mapping, table or value, or if no photo or too few rows are left.
    """
    _check_format(format, mapping, skip_bad_lines)
    root = files.absolute(source)
    if format in UNPACKERS:
        with files.new_folder(Path(out)) as folder:
            table = UNPACKERS[format](root, folder)
            _check_rows(table, root)
            write_left_out(folder / LEFT_OUT, [])
            write_catalog(Catalog("", table), folder)  # without a root of its own: photos lie beside the table
        return Ingested(len(table))
    description = _description(format, mapping)
    found = _found(root)
    if description is not None:
        table, account = _from_tables(root, found, description, [] if skip_bad_lines else None)
    elif format in READERS:
        table, account = _from_reader(root, found, format)
    else:
        photos = found.photos
        if not photos:
            there = f", only {_counted(found.unread)}" if found.unread else ""
            if found.misnamed:
                there += f", only names that no catalog can hold ({found.misnamed[0]!r}; rename the files)"
            raise InputError(f"{root}: no photos there{there} (read are {', '.join(PHOTO_ENDINGS)})")
        table, account = _from_folders(photos), Ingested(len(photos))
    for name in table.columns.drop("image"):
        if schema.is_contract_column(name):  # else folders or words that look alike would be two classes
            table[name] = [composed(cell) for cell in table[name].tolist()]
    listed = account.rows - (account.unlisted if account.unlisted_kept else 0) + len(account.left_out)
    with files.new_folder(Path(out)) as folder:
        refuse_many(account.left_out, listed, max_left_out, root, Path(out))
        write_catalog(Catalog(root, table), folder)
        unnamed = [LeftOut("", image, "no row names this photo") for image in account.unnamed]
        misnamed = [LeftOut("", image, "a catalog cannot hold this name; rename the file") for image in found.misnamed]
        write_left_out(folder / LEFT_OUT, [*account.left_out, *unnamed, *misnamed])
    return replace(account, unread=found.unread, misnamed=found.misnamed)


def _check_format(format: str, mapping: Path | None, skip_bad_lines: bool) -> None:
    kinds = ("folder", "table", *MAPPED, *sorted((*READERS, *UNPACKERS)))
    if format not in kinds:
        raise InputError(f"unknown format {format!r}{nearest(format, kinds)} (see configs/ingest)")
    if format == "table" and mapping is None:
        raise InputError("--format table needs --map FILE")
    if format != "table" and mapping is not None:
        raise InputError(f"--map goes with --format table, not {format}")
    if skip_bad_lines and format not in ("table", *MAPPED):
        raise InputError(f"--skip-bad-lines goes with tables ({', '.join(('table', *MAPPED))}), not {format}")


def _check_rows(table: pd.DataFrame, root: str, hint: str = "") -> None:
    errors = schema.row_errors(table)
    if (wrong := errors[errors != ""]).size:
        raise InputError(f"{root}: {table['image'][wrong.index[0]]!r}: {wrong.iloc[0]}{hint}")


def _description(format: str, mapping: Path | None) -> CatalogMapping | None:
    """The mapping of a format that has one."""
    if mapping is not None:
        return read_mapping(mapping)
    return read_mapping(configs.path(f"ingest/{format}.yaml")) if format in MAPPED else None


@dataclass(frozen=True)
class _Found:
    """The files of a data set, but for hidden ones and those in hidden folders.

    Attributes:
        photos: By their names.
        others: Files of other names, which are photos where a row says so.
        unread: How many are of a photo's kind and not read, by ending.
        misnamed: Photos with a name that a catalog cannot hold.
    """

    photos: Sequence[str]
    others: Sequence[str]
    unread: Mapping[str, int]
    misnamed: Sequence[str]


def _found(root: str) -> _Found:
    """What lies under `root`, from one listing."""
    names = [name for name in files.list_folder(root) if not name.startswith(".") and "/." not in name]
    photos: list[str] = []
    others: list[str] = []
    misnamed: list[str] = []
    unread: Counter[str] = Counter()
    for name in names:
        if is_photo_name(name):
            held = schema.is_safe_path(name) and name == name.encode(errors="replace").decode()
            (photos if held else misnamed).append(name)
        elif (ending := _ending(name)) in UNREAD_ENDINGS:
            unread[ending] += 1
        else:
            others.append(name)
    return _Found(photos, others, dict(sorted(unread.items())), sorted(misnamed))


def _ending(name: str) -> str:
    return PurePosixPath(name.lower().replace(".tar.gz", ".tgz")).suffix


def _counted(endings: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {ending}" for ending, count in endings.items())


def _from_folders(photos: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({"image": photos, "category": [photo.rpartition("/")[0] for photo in photos]})


def _from_reader(root: str, found: _Found, format: str) -> tuple[pd.DataFrame, Ingested]:
    table = READERS[format](root, found.photos)
    table, gone, broken = _with_photos(table, found, root)
    unlisted = sorted(set(found.photos) - set(table["image"]))
    table, wrong = _usable(table, root)
    wrong = [*broken, *wrong]
    account = Ingested(len(table), len(unlisted), missing=len(gone), unusable=len(wrong), left_out=[*gone, *wrong])
    return _ordered(table), replace(account, unnamed=unlisted)


def _from_tables(
    root: str, found: _Found, mapping: CatalogMapping, skipped: list[int] | None
) -> tuple[pd.DataFrame, Ingested]:
    used = mapping.used_columns()
    unmatched: Counter[str] = Counter()
    sources = [read_table(root, described, used, skipped) for described in mapping.tables]
    for lookup in mapping.lookups:
        sources = _look_up(sources, read_table(root, lookup, used, skipped), lookup, unmatched)
    of_views = {f"{VIEW}{view}": text for view, text in mapping.views.items()}
    separator = mapping.separators.get("image", "")
    frames = [
        _fill({**mapping.columns, **mapping.extra, **described.columns, **of_views}, rows, described.file, separator)
        for described, rows in zip(mapping.tables, sources, strict=True)
    ]
    at_least: dict[str, int] = {}  # attribute column -> labelled rows it needs
    for long_table in mapping.attributes:
        labels = read_table(root, long_table, used, skipped)
        added = _add_attributes(frames, sources, labels, long_table, unmatched)
        at_least.update(dict.fromkeys(added, long_table.at_least))
    files_of = [described.file for described in mapping.tables]
    frames = [_photo_rows(frame, file, separator) for frame, file in zip(frames, files_of, strict=True)]
    table = pd.concat(frames, ignore_index=True).fillna("")
    if mapping.boxes == "corners" and "bbox" in table:
        table["bbox"] = [_from_corners(cell) for cell in table["bbox"].tolist()]
    table, gone, _ = _with_photos(table, found, root)
    bad = [LeftOut(line, "", "the line cannot be read") for line in skipped or ()]
    unlabelled = 0
    for name in map(str, table.columns.drop(["image", ROW, FILE])):
        cells, removed = _known_labels(table[name].tolist(), name, mapping)
        if len(cells) - cells.count("") < at_least.get(name, 0):
            table = table.drop(columns=name)
            continue
        table[name] = cells
        unlabelled += removed
    unlisted = sorted(set(found.photos) - set(table["image"]))
    table, wrong = _usable(table, root, " (`values` in the mapping can rewrite words)")
    kept = mapping.unlisted == "keep"
    if kept and unlisted:
        constants = {name: text for name, text in mapping.columns.items() if not Template(text).columns}
        table = pd.concat([table, pd.DataFrame({**constants, "image": unlisted})], ignore_index=True).fillna("")
    account = Ingested(len(table), len(unlisted), kept, len(gone), len(wrong), unmatched, unlabelled, len(bad))
    return _ordered(table), replace(account, left_out=[*gone, *wrong, *bad], unnamed=[] if kept else unlisted)


def _from_corners(cell: str) -> str:
    """`x,y,w,h` of a box written as `x1,y1,x2,y2`; what is no such box stays, to be refused with its row."""
    try:
        left, top, right, bottom = map(float, cell.split(","))
    except ValueError:
        return cell
    return box(left, top, right - left, bottom - top)


def _photo_rows(frame: pd.DataFrame, file: str, separator: str) -> pd.DataFrame:
    """A row for each photo of a row, with the row's number and file in `ROW` and `FILE`.

    Rows that show several photos are listings: their name is the row's, where the mapping gives none. One that shows
    none stays, with no image, to be counted and named.
    """
    frame = frame.assign(**{ROW: range(1, len(frame) + 1), FILE: file})
    views = [name for name in frame if str(name).startswith(VIEW)]
    if not views and not (separator and frame["image"].str.contains(separator, regex=False).any()):
        return frame
    if "listing" not in frame:
        frame["listing"] = [f"{file}:{row}" for row in frame[ROW]]
    shown: list[pd.DataFrame] = []
    if views:
        plain = frame.drop(columns=views)
        for view in views:
            one = plain.assign(image=frame[view], view=view.removeprefix(VIEW))
            shown.append(one[one["image"] != ""])
    else:
        parts = frame["image"].str.split(separator, regex=False)
        shown.append(frame.assign(image=parts).explode("image", ignore_index=True))
        shown[0]["image"] = shown[0]["image"].str.strip()
        shown[0] = shown[0][shown[0]["image"] != ""]
    lacking = frame[~frame[ROW].isin(pd.concat(shown)[ROW])]
    photo_rows = pd.concat([*shown, lacking.drop(columns=views).assign(image="")])
    return photo_rows.sort_values(ROW, kind="stable").reset_index(drop=True)


def _with_photos(table: pd.DataFrame, found: _Found, root: str) -> tuple[pd.DataFrame, list[LeftOut], list[LeftOut]]:
    """The rows whose photo is there, with its name in `image`; those without one; and those with a `PROBLEM`."""
    named, photos = table["image"].tolist(), found.photos
    numbers = table[ROW].tolist() if ROW in table else list(range(1, len(table) + 1))
    files_of = table[FILE].tolist() if FILE in table else [""] * len(table)
    problems = table[PROBLEM].tolist() if PROBLEM in table else [""] * len(table)
    matched = table.drop(columns=PROBLEM, errors="ignore").assign(**{ROW: numbers, FILE: files_of})
    names = _match(named, photos, found.others, root)
    matched["image"] = ["" if problem else name for name, problem in zip(names, problems, strict=True)]
    gone, broken = [], []
    for place in np.flatnonzero(matched["image"] == "").tolist():
        if problems[place]:
            broken.append(LeftOut(int(numbers[place]), named[place], problems[place]))
            continue
        of = f" (row of {files_of[place]})" if files_of[place] else ""
        why = f"no such photo in the source{of}" if named[place] else f"names no photo{of}"
        gone.append(LeftOut(int(numbers[place]), named[place], why))
    matched = matched[matched["image"] != ""].reset_index(drop=True)
    if matched.empty and broken:
        raise InputError(f"{root}: no row can be used ({broken[0].reason})")
    if matched.empty:
        first = named[0] if named else ""
        hint = _hint(first, photos)
        raise InputError(f"{root}: no row names a photo that is there (the first row names {first!r}{hint})")
    return matched, gone, broken


def _usable(table: pd.DataFrame, root: str, hint: str = "") -> tuple[pd.DataFrame, list[LeftOut]]:
    """The rows whose values the format knows, without `ROW` and `FILE`, and the others.

    Raises:
        InputError: if none is left.
    """
    for name in table.columns.intersection(list(schema.ALLOWED_VALUES)):
        lower = table[name].str.lower()
        table[name] = lower.where(lower.isin(schema.ALLOWED_VALUES[name]), table[name])
    errors = schema.row_errors(table)
    rows, table = table[[ROW, FILE]], table.drop(columns=[ROW, FILE])
    wrong = errors[errors != ""]
    if len(wrong) == len(table):
        _check_rows(table, root, hint)
    left_out = []
    for place, reason in wrong.items():
        of = f" (row of {rows.at[place, FILE]})" if rows.at[place, FILE] else ""
        left_out.append(LeftOut(int(rows.at[place, ROW]), str(table.at[place, "image"]), f"{reason}{of}{hint}"))
    return table[errors == ""].reset_index(drop=True), left_out


def _hint(image: str, photos: Sequence[str]) -> str:
    """What a value that names no photo may have meant: one in another folder, or several."""
    known = {photo.rpartition("/")[2].lower(): photo for photo in reversed(photos)}
    for separator in "|;,":
        parts = [re.split(r"[\\/]", part.strip())[-1].lower() for part in image.split(separator)]
        if len(parts) > 1 and parts[0] in known:
            return f"; for several photos in a cell, separators: {{image: {separator!r}}}"
    found = known.get(re.split(r"[\\/]", image)[-1].lower())
    return f"; there is {found!r}" if found else ""


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """The format's own columns in its order, then attributes, then others."""
    order = {name: i for i, name in enumerate(schema.CONTRACT_COLUMNS)}
    last = len(order)
    return table[sorted(table, key=lambda name: order.get(name, last + (not schema.is_contract_column(name))))]


def _look_up(
    sources: Sequence[pd.DataFrame], table: pd.DataFrame, lookup: Lookup, unmatched: Counter[str]
) -> list[pd.DataFrame]:
    """Adds the lookup's columns to the rows that have its key; a row's own columns are kept.

    Rows with a key that the lookup does not have are counted in `unmatched`.
    """
    sources = _having(sources, lookup.key, lookup.file)
    table = table.drop_duplicates(ignore_index=True)  # the same line twice says nothing twice
    keys = _keys(table, lookup.key.values(), lookup.file)
    position = {key: i for i, key in enumerate(keys)}
    if len(position) < len(keys):
        twice = next(key for i, key in enumerate(keys) if position[key] != i)
        raise InputError(f"{lookup.file}: {', '.join(twice)!r} stands twice in {', '.join(lookup.key.values())}")
    table = pd.concat([table, pd.DataFrame({name: [""] for name in table.columns})], ignore_index=True)  # no match: -1
    joined = []
    for rows in sources:
        if set(lookup.key) <= set(rows.columns):
            row_keys = _keys(rows, lookup.key, lookup.file)
            positions = [position.get(key, -1) for key in row_keys]
            unmatched[lookup.file] += sum(key not in position and any(key) for key in row_keys)
            added = table.drop(columns=table.columns.intersection(rows.columns)).iloc[positions]
            rows = pd.concat([rows, added.set_axis(rows.index)], axis=1)
        joined.append(rows)
    return joined


def _add_attributes(
    frames: Sequence[pd.DataFrame],
    sources: Sequence[pd.DataFrame],
    table: pd.DataFrame,
    described: LongTable,
    unmatched: Counter[str],
) -> list[str]:
    """Adds one column per attribute type of a long table to the frames made from `sources`; which ones.

    Lines of it that are about no row are counted in `unmatched`.
    """
    types = _column(table, described.type, described.file)
    for name in described.take:
        if name not in types:
            raise InputError(f"{described.file}: no attribute type {name!r}{nearest(name, dict.fromkeys(types))}")
    labels: dict[str, dict[tuple[str, ...], list[str]]] = {
        attribute_column(name): {} for name in described.take or dict.fromkeys(types)
    }
    keys = _keys(table, described.key.values(), described.file)
    for key, name, label in zip(keys, types, _column(table, described.label, described.file), strict=True):
        if (column := attribute_column(name)) in labels and label:
            labels[column].setdefault(key, []).append(label)
    about: set[tuple[str, ...]] = set()
    for frame, rows in zip(frames, _having(sources, described.key, described.file), strict=True):
        if not set(described.key) <= set(rows.columns):
            continue
        row_keys = _keys(rows, described.key, described.file)
        about.update(row_keys)
        for column, of_key in labels.items():
            if column in frame:
                raise InputError(f"{described.file}: {column} is given twice; take fewer types")
            frame[column] = ["|".join(dict.fromkeys(of_key.get(key, ()))) for key in row_keys]
    unmatched[described.file] += sum(key not in about for key in keys)
    return list(labels)


def _fill(templates: dict[str, str], rows: pd.DataFrame, file: str, separator: str = "") -> pd.DataFrame:
    """The catalog columns of one table's rows; `separator` stands between the photos of a row that shows several."""
    values = {name: rows[name].tolist() for name in rows.columns}
    filled = {}
    for name, text in templates.items():
        template = Template(text)
        for column in template.columns:
            if column not in values:
                raise InputError(f"{file}: no column {column!r}, which {name} needs{nearest(column, values)}")
        if name == "image" and separator:
            try:
                filled[name] = template.fill_each(values, len(rows), separator)
            except InputError as error:
                raise InputError(f"{file}: {error}") from error
            continue
        fill = template.fill_path if name == "category" else template.fill
        filled[name] = fill(values, len(rows))
    return pd.DataFrame(filled)


def _match(images: Sequence[str], photos: Sequence[str], others: Sequence[str], root: str) -> list[str]:
    """The photo each value names, "" where there is none. S3 URIs are taken as they are.

    One of the `others`, which do not look like photos by their names (`9f86d081`), is one where a value names it so.
    A value may be written with backslashes, with the root before it, in another case, in the other Unicode form of its
    accents (macOS and Linux differ), or end in `.*`.
    """
    names = [image.replace("\\", "/").removeprefix(root + "/") for image in images]
    names = [name if files.is_s3(name) else name.removeprefix("./").lstrip("/") for name in names]
    exact = {*photos, *others}
    if all(name in exact or files.is_s3(name) for name in names):
        return names
    loose: dict[str, str] = {}
    for photo in photos:
        plain = composed(photo).lower()
        for name in (plain, plain.rpartition(".")[0] + ".*"):
            loose[name] = photo if name not in loose else ""  # ambiguous
    return [name if name in exact or files.is_s3(name) else loose.get(composed(name).lower(), "") for name in names]


def _known_labels(cells: Sequence[str], column: str, mapping: CatalogMapping) -> tuple[list[str], int]:
    """The cells with words rewritten and those for "no label" removed, and how many were removed."""
    form = composed if schema.is_contract_column(column) else str  # columns of one's own stay as they are
    rewritten = {form(word): label for word, label in mapping.values.get(column, {}).items()}
    unknown = set(map(form, mapping.unlabelled_words(column)))
    separator = mapping.separators.get(column, "|")
    if column == "category":  # where a slash of a name (`n/a`) is written as -
        unknown |= {word.replace("/", "-") for word in unknown}
    removed = 0

    def known(cell: str) -> str:
        nonlocal removed
        if column == "category":
            words = [rewritten.get(part, part) for part in cell.split("/")]
            removed += any(word in unknown for word in words)
            return cut_path(words, unknown)
        words = _labels(cell, separator) if column.startswith(schema.ATTRIBUTE_PREFIX) else [cell]
        words = [rewritten.get(word.strip(), word.strip()) for word in words]
        kept = [word for word in words if word and word not in unknown]
        removed += sum(1 for word in words if word) - len(kept)
        return "|".join(kept)

    return [known(form(cell)) for cell in cells], removed


def _labels(cell: str, separator: str) -> list[str]:
    """The labels of a cell: parted by `separator`, or a list as JSON, Python or numpy write it (`['red', 'blue']`)."""
    if not (cell.startswith("[") and cell.endswith("]")):
        return cell.split(separator)
    try:
        items = parse_json(cell.encode())
    except ValueError:
        items = [single or double or bare for single, double, bare in LIST_ITEM.findall(cell[1:-1])]
        items = [re.sub(r"\\(.)", r"\1", item) for item in items if item not in ("None", "nan")]
    return [plain_label(str(item)) for item in items if item is not None]


def _having(sources: Sequence[pd.DataFrame], on: Iterable[str], file: str) -> Sequence[pd.DataFrame]:
    """`sources`, if one of them has all the columns `on`."""
    if not any(set(on) <= set(rows.columns) for rows in sources):
        columns = dict.fromkeys(name for rows in sources for name in rows.columns)
        wrong = next(name for name in on if not all(name in rows.columns for rows in sources))
        raise InputError(f"{file}: no table of rows has the column {wrong!r}{nearest(wrong, columns)}")
    return sources


def _keys(table: pd.DataFrame, names: Iterable[str], file: str) -> list[tuple[str, ...]]:
    return list(zip(*(map(composed, _column(table, name, file)) for name in names), strict=True))


def _column(table: pd.DataFrame, name: str, file: str) -> list[str]:
    if name not in table:
        raise InputError(f"{file}: no column {name!r}{nearest(name, table.columns)}")
    return table[name].tolist()
