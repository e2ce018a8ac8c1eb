"""Mapping files: how somebody else's tables become a catalog (configs/ingest/README.md shows them)."""

import itertools
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitrine.catalog import schema
from vitrine.errors import InputError
from vitrine.errors import nearest as meant
from vitrine.untrusted import parse_yaml

Values = Mapping[str, Sequence[str]]  # column name -> one value per row


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TableFile(_Strict):
    """A table to read. `file` is relative to the data set's folder; its ending says what it is, text otherwise."""

    file: str
    delimiter: str = Field(default="", max_length=1)
    """Of a text file; default: a tab in `.tsv`, a comma otherwise."""
    aligned: bool = False
    """Whether runs of blanks separate the columns. No line may lack one; blanks too many belong to the first column."""
    counted: bool = False
    """Of an aligned table: whether its first line is the number of rows, which is then checked."""
    encoding: str = "utf-8"
    header: bool = True
    """Whether the first line names the columns."""
    names: list[str] = []
    """Names for the columns, instead of the header's."""
    quoted: bool = True
    """Whether a cell in double quotes may hold the delimiter."""
    sheet: str = ""
    """Of a workbook: the sheet's name; default: the first."""


class RowTable(TableFile):
    """A table with one row per photo."""

    columns: dict[str, str] = {}
    """Templates for this table only, over those of the mapping."""


class Lookup(TableFile):
    """A table that adds its columns to the rows it matches; a row's own columns are kept."""

    key: dict[str, str]
    """The rows' column: the lookup's column."""


class LongTable(TableFile):
    """A table of (key, attribute type, label): one `attr:` column per type; several labels are joined by `|`."""

    key: dict[str, str]
    """The rows' column: this table's column."""
    type: str
    """Which column names the attribute type."""
    label: str
    """Which column holds the label."""
    take: list[str] = []
    """Types to take, as the table writes them; default: all."""
    at_least: int = Field(1, ge=1)
    """Types with fewer labelled rows are left out."""


class CatalogMapping(_Strict):
    """What a mapping file says."""

    tables: list[RowTable] = Field(min_length=1)
    lookups: list[Lookup] = []
    attributes: list[LongTable] = []
    columns: dict[str, str]
    """Catalog column: template. A column no template names stays unknown."""
    views: dict[str, str] = {}
    """Of tables with a row per listing: view -> template of its photo, instead of `image`."""
    extra: dict[str, str] = {}
    """Columns beyond the format's own: template."""
    unlabelled: list[str] | dict[str, list[str]] = {}
    """Words that mean "no label", in all columns or by column."""
    values: dict[str, dict[str, str]] = {}
    """By column: words to write differently. In `category` a word is one part of the path."""
    separators: dict[str, str] = {}
    """By `attr:` column: what stands between several labels in one cell (in the catalog: `|`). Of `image`: what stands
    between the photos of one row, each of which becomes a row."""
    boxes: Literal["size", "corners"] = "size"
    """What the template of `bbox` gives: x,y,width,height or x1,y1,x2,y2."""
    unlisted: Literal["keep", "drop"] = "drop"
    """What to do with photos that no row names."""

    def used_columns(self) -> set[str]:
        """The columns of tables that templates and keys name."""
        templates = (self.columns, self.views, self.extra, *(table.columns for table in self.tables))
        used = {column for texts in templates for text in texts.values() for column in Template(text).columns}
        keys = [table.key for table in self.lookups] + [table.key for table in self.attributes]
        used |= {name for key in keys for name in (*key, *key.values())}
        return used | {name for table in self.attributes for name in (table.type, table.label)}

    def unlabelled_words(self, column: str) -> frozenset[str]:
        """The words that mean "no label" in `column`."""
        words = self.unlabelled if isinstance(self.unlabelled, list) else self.unlabelled.get(column, [])
        return frozenset(words)


_PARTS: Mapping[str, type[BaseModel]] = {"tables": RowTable, "lookups": Lookup, "attributes": LongTable}


def read_mapping(path: Path) -> CatalogMapping:
    """Reads and checks a mapping file.

    Raises:
        InputError: if it cannot be read, or one of its keys or values is unusable: one line that says where.
    """
    try:
        content = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    try:
        mapping = CatalogMapping.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {_first_problem(error)}") from error
    try:
        _check_columns(mapping)
        _check_tables(mapping)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return mapping


def nearest(word: str, choices: Iterable[str], otherwise: str = "; known: ") -> str:
    """`; did you mean 'x'?` or, where nothing is near, the known words after `otherwise`."""
    names = {name.lower(): name for name in choices}
    close = meant(word.lower(), names, cutoff=0.6)
    return f"; did you mean {names[close]!r}?" if close else f"{otherwise}{', '.join(names.values())}"


def attribute_column(type_name: str) -> str:
    """The catalog column of an attribute type: `Sleeve Length` -> `attr:sleeve_length`."""
    return schema.ATTRIBUTE_PREFIX + re.sub(r"\W+", "_", type_name.strip().lower()).strip("_")


@dataclass(frozen=True)
class _Field:
    """`{column}`, `{column[1]}` or `{column[1:-1]}`: a cell, one part of it as a path, or several."""

    column: str
    start: int | None = None
    stop: int | None = None
    is_slice: bool = False

    def of(self, cell: str, slash: str) -> str:
        if self.start is None and not self.is_slice:
            return cell.replace("/", slash)
        parts = [part.strip() for part in cell.replace("\\", "/").split("/") if part.strip() not in ("", ".")]
        if self.is_slice or self.start is None:
            return "/".join(parts[self.start : self.stop])
        return parts[self.start] if -len(parts) <= self.start < len(parts) else ""


class Template:
    """Text with `{column}` fields, filled in from the cells of a row.

    `{column[1]}` is the second part of a cell that is a path, `{column[1:-1]}` its parts from the second to the last
    but one. A row in which every field of a template is empty gets "".

    Raises:
        InputError: if a brace is open or a field is not of this form.
    """

    def __init__(self, text: str) -> None:
        self._pieces: list[str | _Field] = []
        for i, piece in enumerate(re.split(r"\{([^{}]*)\}", text)):
            if i % 2:
                self._pieces.append(_parse_field(piece))
            elif piece:
                if "{" in piece or "}" in piece:
                    raise InputError(f"template {text!r}: a brace is not closed or not opened")
                self._pieces.append(piece)
        self.columns = [piece.column for piece in self._pieces if isinstance(piece, _Field)]

    def fill(self, values: Values, rows: int) -> list[str]:
        """The filled-in text of each of `rows` rows; "" where every field is empty."""
        return ["" if empty and self.columns else text for text, empty in self._filled(values, rows, "/")]

    def fill_each(self, values: Values, rows: int, separator: str) -> list[str]:
        """As `fill`, once for each part of the cells that `separator` parts; the texts are parted by it too.

        Raises:
            InputError: if two cells of a row have several parts, and not as many.
        """
        filled = []
        for row in range(rows):
            parts = {column: [part.strip() for part in values[column][row].split(separator)] for column in self.columns}
            count = max(map(len, parts.values()), default=1)
            if any(len(own) not in (1, count) for own in parts.values()):
                told = " and ".join(f"{len(own)} in {column!r}" for column, own in parts.items())
                raise InputError(f"row {row + 1}: {separator!r} parts cells into unlike numbers ({told})")
            filled.append(separator.join(self.fill({c: own * (count // len(own)) for c, own in parts.items()}, count)))
        return filled

    def fill_path(self, values: Values, rows: int) -> list[str]:
        """The filled-in text of each row as a category path, cut before its first empty part.

        A `/` of the template separates parts, and so does one inside a `{column[...]}`; one inside a plain `{column}`
        belongs to a name (`3/4 Pants`) and becomes `-`.
        """
        return [cut_path(text.split("/")) for text, _ in self._filled(values, rows, "-")]

    def _filled(self, values: Values, rows: int, slash: str) -> Iterator[tuple[str, bool]]:
        """Each row's text and whether all its fields are empty; `slash` stands for a `/` in a plain field."""
        columns = [
            [piece.of(cell, slash) for cell in values[piece.column]] if isinstance(piece, _Field) else [piece] * rows
            for piece in self._pieces
        ]
        fields = [i for i, piece in enumerate(self._pieces) if isinstance(piece, _Field)]
        for texts in zip(*columns, strict=True) if columns else [()] * rows:
            yield "".join(texts).strip(), not any(texts[i] for i in fields)


def cut_path(parts: Iterable[str], unknown: Container[str] = ()) -> str:
    """The parts before the first that is empty or one of `unknown`, as a path."""
    known_parts = itertools.takewhile(lambda part: part and part not in unknown, (part.strip() for part in parts))
    return "/".join(known_parts)


def _parse_field(text: str) -> _Field:
    column, bracket, index = text.partition("[") if text.endswith("]") else (text, "", "")
    if not bracket:
        return _Field(column)
    match = re.fullmatch(r"(-?\d+)?(:)?(-?\d+)?\]", index)
    if match is None or not (match[1] or match[2]) or (match[3] and not match[2]):
        raise InputError(f"template field {{{text}}}: parts of a path read [1], [-2] or [1:-1]")
    start, stop = (int(number) if number else None for number in (match[1], match[3]))
    return _Field(column, start, stop, is_slice=bool(match[2]))


def _check_columns(mapping: CatalogMapping) -> None:
    """Names of catalog columns, wherever the mapping uses them, and the templates."""
    named_photos = "image" in mapping.columns or all("image" in table.columns for table in mapping.tables)
    if bool(mapping.views) == named_photos:
        raise InputError("columns: needs a template for image, or views one for each view, and not both")
    if mapping.views and "view" in mapping.columns:
        raise InputError("columns: view is what views names")
    for view, text in mapping.views.items():
        _check_template(f"views.{view}", text)
    for where, templates in [("columns", mapping.columns)] + [
        (f"tables.{i}.columns", table.columns) for i, table in enumerate(mapping.tables)
    ]:
        for name, text in templates.items():
            if not schema.is_contract_column(name) and (templates is mapping.columns or name not in mapping.extra):
                expected = (*schema.CONTRACT_COLUMNS, "attr:<type>")
                raise InputError(
                    f"{where}: no catalog column {name!r}{nearest(name, expected)} (own columns go in extra)"
                )
            _check_template(f"{where}.{name}", text)
    for name, text in mapping.extra.items():
        if schema.is_contract_column(name):
            raise InputError(f"extra: {name!r} is a catalog column; it goes in columns")
        _check_template(f"extra.{name}", text)
    named = {*mapping.columns, *mapping.extra, *(name for table in mapping.tables for name in table.columns)}
    by_column: dict[str, Iterable[str]] = {"values": mapping.values, "separators": mapping.separators}
    if isinstance(mapping.unlabelled, dict):
        by_column["unlabelled"] = mapping.unlabelled
    for where, columns in by_column.items():
        for name in columns:
            if name not in named and not (mapping.attributes and name.startswith(schema.ATTRIBUTE_PREFIX)):
                raise InputError(f"{where}: no column {name!r}{nearest(name, named)}")


def _check_tables(mapping: CatalogMapping) -> None:
    """Keys of a table that only make sense together."""
    parts: dict[str, Sequence[TableFile]] = {
        "tables": mapping.tables,
        "lookups": mapping.lookups,
        "attributes": mapping.attributes,
    }
    for name, tables in parts.items():
        for i, table in enumerate(tables):
            if table.aligned and table.delimiter:
                raise InputError(f"{name}.{i}: an aligned table has no delimiter")
            if table.counted and not table.aligned:
                raise InputError(f"{name}.{i}: counted goes with aligned")


def _check_template(where: str, text: str) -> None:
    try:
        Template(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    # A key that is unknown may be the one that is lacking, misspelt.
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    location = [part for part in problem["loc"] if part not in ("list[str]", "dict[str,list[str]]")]
    where = ".".join(map(str, location)) or "the file"
    if problem["type"] == "extra_forbidden":
        model = _PARTS[str(location[0])] if len(location) > 1 else CatalogMapping
        return f"unknown key {where!r}{nearest(str(location[-1]), model.model_fields)}"
    if problem["type"] == "missing":
        return f"lacks {where!r}"
    hint = " (put it in quotes)" if problem["type"] == "string_type" else ""
    return f"{where}: {problem['msg'][0].lower()}{problem['msg'][1:]}, not {problem['input']!r}{hint}"
