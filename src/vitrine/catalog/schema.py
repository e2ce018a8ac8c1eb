"""What a catalog's columns mean and which values they may hold."""

import unicodedata

import numpy as np
import pandas as pd

CONTRACT_COLUMNS = (
    "image",
    "listing",
    "product",
    "domain",
    "view",
    "bbox",
    "category",
    "verdict",
    "expert",
    "user",
    "description",
    "split",
)
ATTRIBUTE_PREFIX = "attr:"
ALLOWED_VALUES = {
    "domain": ("", "shop", "user"),
    "verdict": ("", "authentic", "counterfeit"),
    "split": ("", "train", "validation", "test"),
}
UNSAFE_PATH_REASON = "is not a relative POSIX path inside the catalog (nor an s3:// URI)"
# x,y,w,h; a corner may lie outside the photo, an area may not be negative.
BBOX_PATTERN = r"(?:\s*-?\d+(?:\.\d+)?\s*,){2}\s*\d+(?:\.\d+)?\s*,\s*\d+(?:\.\d+)?\s*"


def is_contract_column(name: str) -> bool:
    """Whether the format gives `name` a meaning (other columns pass through untouched)."""
    return name in CONTRACT_COLUMNS or name.startswith(ATTRIBUTE_PREFIX)


def is_safe_path(image: str) -> bool:
    """Whether `image` is an s3:// URI or a relative POSIX path that stays inside its folder."""
    if image.startswith("s3://"):
        return len(image) > len("s3://") and "\0" not in image
    if not image or image.startswith(("/", "~")) or "\\" in image or "\0" in image or ":" in image.split("/")[0]:
        return False
    return ".." not in image.split("/")


def unsafe_paths(images: pd.Series) -> pd.Series:
    """For each `image` value whether `is_safe_path` refuses it; a whole column at a time."""
    on_s3 = images.str.startswith("s3://")
    local = images.str.contains(r"^$|^[/~]|\\|^[^/]*:|(?:^|/)\.\.(?:/|$)", regex=True)
    return (~on_s3 & local) | (images == "s3://") | images.str.contains("\0", regex=False)


def row_errors(table: pd.DataFrame) -> pd.Series:
    """What is wrong with each row's values, as one line; "" where nothing is. Aligned with `table`."""
    errors = np.full(len(table), "", dtype=object)

    def note(wrong: pd.Series, column: str, reason: str) -> None:
        first = wrong.to_numpy(dtype=bool) & (errors == "")
        errors[first] = [f"{column} {value!r} {reason}" for value in table.loc[first, column]]

    note(unsafe_paths(table["image"]), "image", UNSAFE_PATH_REASON)
    for column, allowed in ALLOWED_VALUES.items():
        if column in table:
            note(~table[column].isin(allowed), column, f"is not one of {', '.join(filter(None, allowed))}")
    if "bbox" in table:
        boxes = table["bbox"]
        note((boxes != "") & ~boxes.str.fullmatch(BBOX_PATTERN), "bbox", "does not read x,y,w,h in pixels")
    if "category" in table:
        note(table["category"].str.contains(r"^/|//|/$", regex=True), "category", "has an empty part")
    return pd.Series(errors, index=table.index, dtype=object)


def attribute_types(table: pd.DataFrame) -> list[str]:
    """The attribute types of a table (without the prefix) that have at least one label, sorted."""
    return sorted(
        name.removeprefix(ATTRIBUTE_PREFIX)
        for name in table.columns
        if name.startswith(ATTRIBUTE_PREFIX) and (table[name] != "").any()
    )


def composed(text: str) -> str:
    """Text with its accents in one form (NFC): tables and file systems write them as one character or as two."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def labels_of(cell: str) -> list[str]:
    """The labels in one attribute cell: `red|blue` holds two, an empty cell none."""
    return [label for label in (part.strip() for part in cell.split("|")) if label]


def category_depth(table: pd.DataFrame) -> int:
    """Number of levels of the category tree; 0 without categories."""
    if "category" not in table or table.empty:
        return 0
    paths = table["category"]
    return 0 if (paths == "").all() else int(paths.str.count("/").max()) + 1


def category_level(paths: pd.Series, level: int) -> pd.Series:
    """The node at `level` (1 = coarsest) as its full path, "" where the row's path is shorter.

    A node is its full path, because one word may stand under two parents.
    """
    unique = {path: _node(path, level) for path in paths.unique()}
    return paths.map(unique)


def _node(path: str, level: int) -> str:
    parts = path.split("/")
    return "/".join(parts[:level]) if path and len(parts) >= level else ""
