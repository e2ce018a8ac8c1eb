"""DeepFashion: Category and Attribute Prediction Benchmark (Liu et al., CVPR 2016).

Two annotations are published for the same photos: 1,000 attributes of 289,222 photos (`Anno_coarse`, formerly `Anno`)
and 26 attributes of 20,000 of them (`Anno_fine`).
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine import files
from vitrine.catalog.datasets.reading import box, label, line_of, part, read_table, recoded, require
from vitrine.catalog.mapping import TableFile, attribute_column
from vitrine.errors import InputError
from vitrine.progress import Progress

HOW = "unpack the Category and Attribute Prediction Benchmark (mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html)"
GROUPS = {"1": "upper-body", "2": "lower-body", "3": "full-body"}
COARSE_TYPES = {"1": "texture", "2": "fabric", "3": "shape", "4": "part", "5": "style"}
FINE_TYPES = {"1": "texture", "2": "sleeve", "3": "length", "4": "neckline", "5": "fabric", "6": "fit"}
SPLITS = {"train": "train", "val": "validation", "test": "test"}
CORNERS = ["x_1", "y_1", "x_2", "y_2"]
PORTION = 1 << 23  # bytes of the attribute matrix that are parsed at once; it has 868 MB

_log = logging.getLogger(__name__)


def read(root: str, photos: Sequence[str]) -> pd.DataFrame:
    """The coarse annotation: one row per photo of `list_category_img.txt`.

    Args:
        root: The folder or `s3://` prefix that holds `Anno_coarse` (or `Anno`), `Eval` and the photos.
        photos: The photos under it.

    Raises:
        InputError: if a file is missing or a line of one unusable: one line that names both.
    """
    folder = next((name for name in ("Anno_coarse", "Anno") if _exists(root, f"{name}/list_attr_img.txt")), "")
    if not folder and _exists(root, "Anno_fine/list_attr_cloth.txt"):
        raise InputError(f"{root}: holds Anno_fine only; --format deepfashion-fine reads it")
    folder = folder or "Anno_coarse"
    lists = ("category_cloth", "category_img", "attr_cloth", "attr_img", "bbox")
    require(root, [*(f"{folder}/list_{name}.txt" for name in lists), "Eval/list_eval_partition.txt"], HOW)
    described = _list(f"{folder}/list_category_img.txt", ["image", "category"])
    listed = read_table(root, described)
    categories = recoded(listed, "category", _categories(root, folder), described)
    boxes = _list(f"{folder}/list_bbox.txt", ["image", *CORNERS])
    parts = _list("Eval/list_eval_partition.txt", ["image", "split"])
    boxed, parted = read_table(root, boxes), read_table(root, parts)
    table = pd.DataFrame({"image": listed["image"], "category": categories})
    table["bbox"] = _aligned(table["image"], boxed["image"], _boxes(boxed, boxes))
    table["split"] = _aligned(table["image"], parted["image"], recoded(parted, "split", SPLITS, parts))
    attributes = _attributes(root, folder, COARSE_TYPES)
    name = f"{folder}/list_attr_img.txt"
    _log.info("%s: reading %s", root, name)
    flags = read_flags(_read(root, name), len(attributes), name, named=True, counted=True)
    for column, cells in attributes.cells(flags).items():
        table[column] = _aligned(table["image"], flags.names, cells)
    return _below(table, photos)


def read_fine(root: str, photos: Sequence[str]) -> pd.DataFrame:
    """The fine annotation: one row per photo of `train.txt`, `val.txt` and `test.txt`; see `read`.

    Raises:
        InputError: if a file is missing, a line of one unusable, or two files of a split differ in length.
    """
    folder = "Anno_fine"
    names = [f"{split}{kind}.txt" for split in SPLITS for kind in ("", "_attr", "_cate", "_bbox")]
    names += ["list_attr_cloth.txt", "list_category_cloth.txt"]
    require(root, [f"{folder}/{name}" for name in names], HOW)
    categories, attributes = _categories(root, folder), _attributes(root, folder, FINE_TYPES)
    frames = []
    for split, ours in SPLITS.items():
        listed = read_table(root, _bare(f"{folder}/{split}.txt", ["image"]))
        labels = _bare(f"{folder}/{split}_cate.txt", ["category"])
        boxes = _bare(f"{folder}/{split}_bbox.txt", CORNERS)
        labelled, boxed = read_table(root, labels), read_table(root, boxes)
        name = f"{folder}/{split}_attr.txt"
        flags = read_flags(_read(root, name), len(attributes), name)
        for file, rows in ((labels.file, len(labelled)), (boxes.file, len(boxed)), (name, flags.rows)):
            if rows != len(listed):
                raise InputError(f"{root}: {file} has {rows} lines, and {folder}/{split}.txt {len(listed)}")
        columns = {
            "image": listed["image"].tolist(),
            "category": recoded(labelled, "category", categories, labels),
            "bbox": _boxes(boxed, boxes),
        }
        frames.append(pd.DataFrame({**columns, "split": ours, **attributes.cells(flags)}))
    return _below(pd.concat(frames, ignore_index=True), photos)


@dataclass(frozen=True)
class Flags:
    """A matrix of 1, 0 and -1 that is mostly not 1: where its ones are.

    Attributes:
        rows: Its rows.
        names: What stands before the flags of each row; empty if nothing does.
        at: Row and column of each one, in reading order; shape (2, ones).
    """

    rows: int
    names: list[str]
    at: NDArray[np.int32]


def read_flags(data: Iterable[bytes], width: int, file: str, *, named: bool = False, counted: bool = False) -> Flags:
    """Reads lines of `[name] flag flag ...`, flags being 1, 0 or -1 with any blanks between them, in bounded memory.

    Args:
        data: The file, a part at a time.
        width: Flags per line.
        file: Its name, for messages.
        named: Whether a name, which may hold blanks, stands before the flags.
        counted: Whether a line with the number of rows and one with column names come first.

    Raises:
        InputError: if a line has too few or other flags, or the rows are not as many as announced.
    """
    names: list[str] = []
    parts: list[NDArray[np.int32]] = []
    head: list[bytes] = []  # the lines before the rows
    rows = 0
    for portion in _portions(data, file):
        while portion and len(head) < 2 * counted:
            line, _, portion = portion.partition(b"\n")
            head.append(line)
        if portion:
            before, at = _parse_flags(portion, width, file, len(head) + rows + 1, named)
            names += before
            parts.append(at + np.array([[rows], [0]], dtype=np.int32))
            rows += portion.count(b"\n")
    if counted and (not head or head[0].split() != [b"%d" % rows]):
        first_line = head[0].decode(errors="replace").strip() if head else ""
        raise InputError(f"{file}: has {rows} rows, and its first line says {first_line!r}")
    return Flags(rows, names, np.concatenate(parts, axis=1) if parts else np.empty((2, 0), dtype=np.int32))


def _parse_flags(
    lines: bytes, width: int, file: str, first_line: int, named: bool
) -> tuple[list[str], NDArray[np.int32]]:
    """The names and the (row, column) of each 1 of whole lines, without a loop over flags."""
    data = np.frombuffer(lines, dtype=np.uint8)
    stops = np.flatnonzero(data == ord("\n"))  # of each line
    ink = data > ord(" ")
    edges = np.diff(ink, prepend=False, append=False).nonzero()[0]  # where words start and end, by turns
    starts, ends = edges[::2], edges[1::2]
    words = np.diff(np.searchsorted(starts, stops), prepend=0)  # per line
    if (wrong := words < width + named if named else words != width).any():
        line = int(np.argmax(wrong))
        raise InputError(f"{file}: line {first_line + line} has {max(words[line] - named, 0)} flags, not {width}")
    flags = (np.cumsum(words)[:, None] - width + np.arange(width)).ravel()  # the words of a line that are its flags
    sizes, initials = ends[flags] - starts[flags], data[starts[flags]]
    ones = (sizes == 1) & (initials == ord("1"))
    usable = ones | (sizes == 1) & (initials == ord("0"))
    usable |= (sizes == 2) & (initials == ord("-")) & (data[ends[flags] - 1] == ord("1"))
    if not usable.all():
        at = int(np.argmin(usable))
        word = lines[starts[flags[at]] : ends[flags[at]]].decode(errors="replace")
        raise InputError(f"{file}: line {first_line + at // width}: {word!r} is not one of 1, 0, -1")
    before = []
    if named:
        begins = np.concatenate([[0], stops[:-1] + 1])
        spans = zip(begins.tolist(), starts[flags[::width]].tolist(), strict=True)
        before = [lines[begin:end].decode(errors="replace").strip() for begin, end in spans]
    row, column = np.divmod(np.flatnonzero(ones).astype(np.int32), np.int32(width))
    return before, np.stack([row, column])


def _portions(data: Iterable[bytes], file: str) -> Iterator[bytes]:
    """The data in portions of whole lines, each of which ends in a line feed; blank lines at the end are left out."""
    rest = bytearray()
    with Progress(file, "byte") as bar:
        for piece in data:
            rest += piece
            bar.update(len(piece))
            if len(rest) >= PORTION and (whole := rest.rfind(b"\n", 0, len(rest.rstrip())) + 1):
                yield bytes(rest[:whole])  # what follows may be half a line, or blank
                del rest[:whole]
    if rest.strip():
        yield bytes(rest.rstrip()) + b"\n"


@dataclass(frozen=True)
class _Attributes:
    """The columns of an attribute matrix: the label of each, and the catalog column it belongs to."""

    labels: list[str]
    columns: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    def cells(self, flags: Flags) -> dict[str, list[str]]:
        """Each catalog column's cell per row: the labels that are flagged, joined by `|`."""
        labels, columns = np.array(self.labels, dtype=object), np.array(self.columns)
        rows, of = flags.at
        result = {}
        for column in dict.fromkeys(self.columns):
            mine = columns[of] == column
            words, owners = labels[of[mine]], rows[mine]
            edges = np.flatnonzero(np.diff(owners, prepend=-1, append=flags.rows))
            cells = [""] * flags.rows
            for start, stop in pairwise(edges.tolist()):
                cells[owners[start]] = "|".join(dict.fromkeys(words[start:stop]))
            result[column] = cells
        return result


def _attributes(root: str, folder: str, types: Mapping[str, str]) -> _Attributes:
    described = _list(f"{folder}/list_attr_cloth.txt", ["name", "type"])
    table = read_table(root, described)
    columns = [attribute_column(name) for name in recoded(table, "type", types, described)]
    return _Attributes([label(name) for name in table["name"]], columns)


def _categories(root: str, folder: str) -> dict[str, str]:
    """The path of each category, by its number."""
    described = _list(f"{folder}/list_category_cloth.txt", ["name", "type"])
    table = read_table(root, described)
    groups = recoded(table, "type", GROUPS, described)
    return {str(i + 1): f"{group}/{part(table['name'][i])}" for i, group in enumerate(groups)}


def _boxes(table: pd.DataFrame, described: TableFile) -> list[str]:
    """Corners as `x,y,w,h`."""
    boxes = []
    for row, corners in enumerate(zip(*(table[name] for name in CORNERS), strict=True)):
        try:
            left, top, right, bottom = map(int, corners)
        except ValueError:
            line = line_of(described, row)
            raise InputError(
                f"{described.file}: line {line}: {' '.join(corners)!r} is no box of four numbers"
            ) from None
        boxes.append(box(left, top, right - left, bottom - top))
    return boxes


def _aligned(images: pd.Series, listed: Sequence[str] | pd.Series, cells: Sequence[str]) -> list[str]:
    """Cells of another list in the order of `images`, "" where it lacks one. The lists mostly share their order."""
    if len(images) == len(listed) and list(images) == list(listed):
        return list(cells)
    of = dict(zip(listed, cells, strict=True))
    return [of.get(image, "") for image in images]


def _below(table: pd.DataFrame, photos: Sequence[str]) -> pd.DataFrame:
    """Names photos from the root: the lists name them from the folder that holds `img`, which may lie deeper."""
    names = set(table["image"])
    for photo in photos:
        inner = photo
        while inner and inner not in names:
            inner = inner.partition("/")[2]
        if inner:
            return table.assign(image=photo.removesuffix(inner) + table["image"])
    return table


def _read(root: str, name: str) -> Iterator[bytes]:
    return files.read_parts(files.join(root, name))


def _exists(root: str, name: str) -> bool:
    return files.exists(files.join(root, name))


def _list(file: str, names: list[str]) -> TableFile:
    """A list with the number of rows and column names in front."""
    return TableFile(file=file, names=names, aligned=True, counted=True)


def _bare(file: str, names: list[str]) -> TableFile:
    """A list with nothing in front."""
    return TableFile(file=file, names=names, aligned=True, header=False)
