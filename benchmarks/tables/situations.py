"""Sixty situations as they come with real photos and tables: what is right, and what Vitrine makes of them.

    VITRINE_DATASETS=... python benchmarks/tables/situations.py [--groups 3 6] [--out docs/results/situations.md]

Each situation is made of real photos (grocery) or of a table as people keep one, in a folder of its own. What is right
is written down with it; the product is run and its answer compared. A few seconds of a processor each at most.
"""

import argparse
import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import ExifTags, Image, ImageEnhance, ImageOps, TiffImagePlugin

from vitrine.catalog import read_catalog
from vitrine.catalog.dvc_file import version_of
from vitrine.catalog.fetch import fetch
from vitrine.catalog.ingest import ingest
from vitrine.catalog.photos import open_photo
from vitrine.catalog.version import versioned
from vitrine.errors import InputError
from vitrine.quality.clean import clean_catalog
from vitrine.quality.labels import named
from vitrine.quality.links import copy_links
from vitrine.quality.rules import gather
from vitrine.quality.scan import scan_photo, scan_photos, write_photo_table
from vitrine.quality.settings import load_settings
from vitrine.quality.split import split_catalog
from vitrine.quality.validate import validate_catalog
from vitrine.steps.data import data_state

PAGE = """# Sixty situations of real photos and tables

    VITRINE_DATASETS=... python benchmarks/tables/situations.py --out docs/results/situations.md

Photos are of grocery, tables as people keep them. What is right was written down first; {right} of {count} come out so.
Which did not when they were first tried, and what was changed: [quality.md](quality.md#sixty-situations).
"""
Answer = tuple[Any, Any]  # what is right, what came out
Situation = Callable[[Path], Answer]


def real(count: int, first: int = 0) -> list[Path]:
    """Photos of groceries in shops, of as many kinds as there are."""
    folder = Path(os.environ["VITRINE_DATASETS"]) / "grocery" / "train"
    kinds = sorted({path.parent for path in folder.rglob("*.jpg")})
    return [sorted(kinds[i % len(kinds)].glob("*.jpg"))[i // len(kinds)] for i in range(first, first + count)]


def photo(number: int) -> Image.Image:
    """One of them."""
    with Image.open(real(1, number)[0]) as image:
        return image.convert("RGB")


def shop(work: Path, count: int, **columns: Sequence[str]) -> Path:
    """A catalog of real photos: catalog.csv beside images/0.jpg, images/1.jpg ..."""
    folder = work / "shop"
    (folder / "images").mkdir(parents=True)
    for i, path in enumerate(real(count)):
        shutil.copy(path, folder / f"images/{i}.jpg")
    table = pd.DataFrame({"image": [f"images/{i}.jpg" for i in range(count)], **columns})
    table.to_csv(folder / "catalog.csv", index=False)
    return folder


def folder_of(work: Path, *names: str) -> Path:
    """A folder in which each name is a real photo."""
    for i, name in enumerate(names):
        (work / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(real(1, i)[0], work / "in" / name)
    return work / "in"


def from_table(work: Path, mapping: str, names: Sequence[str] = ("0.jpg", "1.jpg", "2.jpg"), **options: Any) -> Any:
    """Rows of the catalog that a mapping makes of WORK/in, and the account."""
    folder_of(work, *names)
    (work / "map.yaml").write_text(mapping)
    account = ingest(work / "in", work / "out", "table", work / "map.yaml", **options)
    return read_catalog(work / "out", check_rows=False).table.to_dict("records"), account


def refused(call: Callable[[], Any]) -> str:
    """The one line with which something is refused; "accepted" where it is not."""
    try:
        call()
    except InputError as error:
        return str(error)
    return "accepted"


def cleaned(work: Path, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What cleaning keeps and drops."""
    shutil.rmtree(work / "cleaned", ignore_errors=True)
    clean_catalog(read_catalog(folder, check_rows=False), work / "cleaned", 0, workers=1)
    return read_catalog(work / "cleaned").table, pd.read_parquet(work / "cleaned/dropped.parquet")


@contextlib.contextmanager
def said() -> Any:
    """What is logged meanwhile."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("vitrine").addHandler(handler)
    try:
        yield lines
    finally:
        logging.getLogger("vitrine").removeHandler(handler)


# State judged by names, counts or times instead of content


def swapped_names(work: Path) -> Answer:
    """two photos exchange their names, with sizes and times as they were"""
    folder = shop(work, 3)
    one, other = (folder / f"images/{i}.jpg" for i in (0, 1))
    size = max(one.stat().st_size, other.stat().st_size)
    for path in (one, other):  # bytes after the end of a JPEG count for nothing
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))
        os.utime(path, ns=(10**18, 10**18))
    before = versioned(read_catalog(folder)).data_version
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    for path in (one, other):
        os.utime(path, ns=(10**18, 10**18))
    return "another version", "another version" if versioned(read_catalog(folder)).data_version != before else "same"


def touched(work: Path) -> Answer:
    """all photos are copied to another disk, with new times"""
    folder = shop(work, 3)
    before = versioned(read_catalog(folder)).data_version
    for path in folder.rglob("*.jpg"):
        path.touch()
    return "same version", "same version" if versioned(read_catalog(folder)).data_version == before else "another"


def derived_item(work: Path) -> Answer:
    """in a cleaned table an `item`, which matching learns from, is rewritten by hand"""
    folder = shop(work, 4, item=["a", "a", "b", "b"], category=["x"] * 4)
    clean_catalog(versioned(read_catalog(folder)), work / "cleaned", 0, workers=1)
    path = work / "cleaned/catalog.parquet"
    recorded = read_catalog(path).data_version
    table = pd.read_parquet(path)

    metadata = pq.read_schema(path).metadata
    table.loc[0, "item"] = "b"
    pq.write_table(pa.Table.from_pandas(table).replace_schema_metadata(metadata), path)
    now = read_catalog(path).data_version
    return "another version", "same" if now == recorded else "another version"


def derived_digest(work: Path) -> Answer:
    """a cleaned table gets the `sha256` of other photos, so that a training would take those"""
    folder = shop(work, 4, category=["x"] * 4)
    clean_catalog(versioned(read_catalog(folder)), work / "cleaned", 0, workers=1)
    path = work / "cleaned/catalog.parquet"
    recorded = read_catalog(path).data_version

    metadata, table = pq.read_schema(path).metadata, pd.read_parquet(path)
    table["sha256"] = table["sha256"].tolist()[::-1]
    pq.write_table(pa.Table.from_pandas(table).replace_schema_metadata(metadata), path)
    now = read_catalog(path).data_version
    return "another version", "same" if now == recorded else "another version"


def dvc_extra(work: Path) -> Answer:
    """a `.dvc` file beside a folder in which a photo was replaced by another of the same size"""
    folder = shop(work, 2)

    inside = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    version = version_of({name: hashlib.md5(data).hexdigest() for name, data in inside.items()})
    entry = {"md5": version, "nfiles": len(inside), "size": sum(map(len, inside.values())), "hash": "md5", "path": "x"}
    Path(f"{folder}.dvc").write_text(json.dumps({"outs": [entry]}))
    claimed = fetch(str(folder), work / "a").data_version
    path = folder / "images/0.jpg"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    return (version, "another"), (
        claimed,
        "same" if fetch(str(folder), work / "b").data_version == version else "another",
    )


def kept_links(work: Path) -> Answer:
    """one of two equal bitmaps is retouched in a few pixels of 1,000, under the same name and size"""
    folder = shop(work, 3)
    big = photo(0).resize((1000, 1000))
    big.save(folder / "images/0.jpg", "BMP")
    (folder / "images/1.jpg").write_bytes((folder / "images/0.jpg").read_bytes() + b"\0")
    (folder / "images/0.jpg").write_bytes((folder / "images/0.jpg").read_bytes() + b"\1")
    links = [len(pair[0]) for pair in exact(folder)]
    data = bytearray((folder / "images/1.jpg").read_bytes())
    data[5000] = data[5000] + 1 if data[5000] < 255 else 254
    (folder / "images/1.jpg").write_bytes(data)
    return ([0, 1], [0, 0]), (links, [len(pair[0]) for pair in exact(folder)])


def exact(folder: Path) -> list[Any]:
    """Exact copies: by bytes, by pixels."""
    catalog = read_catalog(folder)
    return copy_links(catalog, scan_photos(catalog, 1), 12, 1).exact


def replaced_after_scan(work: Path) -> Answer:
    """a photo is replaced after `scan` and before `clean --photos`; what is cleaned is trained on"""
    folder = shop(work, 3, category=["x", "y", "z"])
    write_photo_table(read_catalog(folder), work / "photos", workers=1)
    shutil.copy(real(1, 30)[0], folder / "images/1.jpg")
    clean_catalog(read_catalog(folder), work / "cleaned", 0, photos=[work / "photos"], workers=1)
    row = read_catalog(work / "cleaned").table.iloc[1]
    line = refused(lambda: open_photo(str(folder / row["image"]), sha256=row["sha256"]))
    return True, "is not the photo that was cleaned" in line


def same_name_elsewhere(work: Path) -> Answer:
    """another catalog of equal names and labels lies at another address"""
    folder = shop(work, 2)
    other = shutil.copytree(folder, work / "other")
    shutil.copy(real(1, 9)[0], other / "images/0.jpg")
    same = data_state(str(folder), "") == data_state(str(other), "")
    return "another state", "same state" if same else "another state"


def metadata_only(work: Path) -> Answer:
    """a phone writes a new EXIF date into each photo, whose pixels stay"""
    folder = shop(work, 2)
    before = scan_photos(read_catalog(folder), 1)
    for path in folder.rglob("*.jpg"):
        data = path.read_bytes()
        path.write_bytes(data[:2] + b"\xff\xfe\x00\x0c2026-11-29" + data[2:])
    after = scan_photos(read_catalog(folder), 1)
    same = (before["pixels"] == after["pixels"]).all() and (before["sha256"] != after["sha256"]).all()
    return True, bool(same)


def clock_set_back(work: Path) -> Answer:
    """a photo is replaced by one of another size whose time is older (`cp -p` from a backup)"""
    folder = shop(work, 3)
    before = data_state(str(folder), "")
    shutil.copy(real(1, 12)[0], folder / "images/1.jpg")
    os.utime(folder / "images/1.jpg", ns=(10**18, 10**18))
    return "another state", "same state" if data_state(str(folder), "") == before else "another state"


# Things left out without being counted


def cdn_names(work: Path) -> Answer:
    """photos saved by a browser or a shop's server: `a.jpg_large`, `b.jpg!w800`, `c.jpeg?v=2`"""
    folder = folder_of(work, "x/0.jpg", "x/a.jpg_large", "x/b.jpg!w800", "x/c.jpeg?v=2")
    lines = " ".join(ingest(folder, work / "out", "folder").lines())
    rows = len(read_catalog(work / "out"))
    return "4 rows, or 3 counted", "4 rows, or 3 counted" if rows == 4 or "_large" in lines else f"{rows} row, no word"


def no_ending(work: Path) -> Answer:
    """a table names photos that are kept by their hash, without an ending"""
    (work / "in").mkdir()
    (work / "in/t.csv").write_text("photo,kind\n9f86d081,shirt\n0.jpg,shoe\n")
    rows, _ = from_table(
        work, "tables: [{file: t.csv}]\ncolumns: {image: '{photo}', category: '{kind}'}\n", ("0.jpg", "9f86d081")
    )
    return ["9f86d081", "0.jpg"], [row["image"] for row in rows]


def archives(work: Path) -> Answer:
    """beside the photos lies a zip with the rest of them"""
    folder = folder_of(work, "x/0.jpg")
    with zipfile.ZipFile(folder / "rest.zip", "w") as archive:
        archive.write(real(1, 1)[0], "x/1.jpg")
    lines = " ".join(ingest(folder, work / "out", "folder").lines())
    return "1 .zip", "1 .zip" if "1 .zip" in lines else "no word"


def second_sheet(work: Path) -> Answer:
    """a workbook with a sheet for each season"""
    (work / "in").mkdir()
    workbook(work / "in/items.xlsx", {"summer": [["photo"], ["0.jpg"]], "winter": [["photo"], ["1.jpg"]]})
    with said() as lines:
        from_table(work, "tables: [{file: items.xlsx}]\ncolumns: {image: '{photo}'}\n")
    return "winter named", "winter named" if "winter" in " ".join(lines) else "no word"


def merged_cells(work: Path) -> Answer:
    """a workbook whose category stands once, in a cell merged over its rows"""
    (work / "in").mkdir()
    cells = [["kind", "photo"], ["shoe", "0.jpg"], ["", "1.jpg"], ["shirt", "2.jpg"]]
    workbook(work / "in/items.xlsx", {"items": cells}, merged="A2:A3")
    rows, _ = from_table(work, "tables: [{file: items.xlsx}]\ncolumns: {image: '{photo}', category: '{kind}'}\n")
    return ["shoe", "shoe", "shirt"], [row["category"] for row in rows]


def unmatched(work: Path) -> Answer:
    """a table of labels whose keys lost their leading zeros in a spreadsheet"""
    (work / "in").mkdir()
    (work / "in/t.csv").write_text("id,photo\n0017,0.jpg\n0018,1.jpg\n")
    (work / "in/labels.csv").write_text("id,kind\n17,shirt\n18,shoe\n")
    mapping = "tables: [{file: t.csv}]\nlookups: [{file: labels.csv, key: {id: id}}]\n"
    _, account = from_table(work, mapping + "columns: {image: '{photo}', category: '{kind}'}\n")
    return "2 counted", "2 counted" if "labels.csv" in " ".join(account.lines()) else "no word"


def unmatched_long(work: Path) -> Answer:
    """a long table of attributes, of which some are of ids that no row has"""
    (work / "in").mkdir()
    (work / "in/t.csv").write_text("id,photo\n1,0.jpg\n2,1.jpg\n")
    (work / "in/long.csv").write_text("id,type,label\n1,colour,red\n3,colour,blue\n4,colour,blue\n")
    mapping = "tables: [{file: t.csv}]\nattributes: [{file: long.csv, key: {id: id}, type: type, label: label}]\n"
    _, account = from_table(work, mapping + "columns: {image: '{photo}'}\n")
    return "2 counted", "2 counted" if "long.csv" in " ".join(account.lines()) else "no word"


def open_quote(work: Path) -> Answer:
    """a description that begins with a quote which nothing closes, in a CSV of 6 rows"""
    (work / "in").mkdir()
    lines = [f"{i}.jpg,nice,shop{i}" for i in range(6)]
    lines[1] = '1.jpg,"5 inch heel,shop1'
    lines[4] = '4.jpg,"new",shop4'
    (work / "in/t.csv").write_text("photo,text,user\n" + "\n".join(lines) + "\n")
    names = tuple(f"{i}.jpg" for i in range(6))
    mapping = "tables: [{file: t.csv}]\ncolumns: {image: '{photo}', description: '{text}'}\n"
    with said() as told:
        try:
            rows, account = from_table(work, mapping, names)
        except InputError as error:
            return "said", "said" if "line 3" in str(error) else str(error)
    heard = " ".join([*told, *account.lines()])
    return "said", "said" if len(rows) == 6 or "line 3" in heard else f"{len(rows)} rows, no word"


def byte_mark(work: Path) -> Answer:
    """JSON Lines that begin with a byte order mark, as PowerShell writes them"""
    (work / "in").mkdir()
    lines = [json.dumps({"photo": f"{i}.jpg"}) for i in range(3)]
    (work / "in/t.jsonl").write_text("\n".join(lines), encoding="utf-8-sig")
    rows, _ = from_table(work, "tables: [{file: t.jsonl}]\ncolumns: {image: '{photo}'}\n")
    return ["0.jpg", "1.jpg", "2.jpg"], [row["image"] for row in rows]


def upper_case(work: Path) -> Answer:
    """a camera's folder: `DSC_1.JPG`, `IMG_2.JPEG`, `3.Png`, `4.HEIC.jpg`"""
    folder = folder_of(work, "x/DSC_1.JPG", "x/IMG_2.JPEG", "x/3.Png", "x/4.HEIC.jpg")
    ingest(folder, work / "out", "folder")
    return 4, len(read_catalog(work / "out"))


# Stored pixels taken without their meaning


def level(image: Image.Image, x: int = 0, y: int = 0) -> Any:
    """A pixel."""
    return image.getpixel((x, y))


def opened(path: Path) -> Image.Image:
    """As training reads it, which must be as the scan does."""
    return open_photo(str(path))


def turned_tiff(work: Path) -> Answer:
    """a scanner's TIFF that is stored lying, with an orientation"""
    wide = photo(0).resize((90, 60))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    wide.save(work / "a.tif", exif=exif)
    row = scan_photo(str(work / "a.tif"))
    return ((60, 90), (60, 90)), (opened(work / "a.tif").size, (row.width, row.height))


def turned_png(work: Path) -> Answer:
    """a PNG with an EXIF orientation, as phone editors save it"""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 8
    photo(0).resize((90, 60)).save(work / "a.png", exif=exif)
    row = scan_photo(str(work / "a.png"))
    return ((60, 90), (60, 90)), (opened(work / "a.png").size, (row.width, row.height))


def turned_avif(work: Path) -> Answer:
    """an AVIF that is stored lying"""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    photo(0).resize((90, 60)).save(work / "a.avif", exif=exif)
    row = scan_photo(str(work / "a.avif"))
    return ((60, 90), (60, 90)), (opened(work / "a.avif").size, (row.width, row.height))


def turned_webp(work: Path) -> Answer:
    """a WebP with an EXIF orientation"""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    image = photo(0).resize((90, 60))
    image.save(work / "a.webp", exif=exif, lossless=True)
    return level(image.rotate(180)), level(opened(work / "a.webp"))


def white_is_zero(work: Path) -> Answer:
    """a fax or scanner's grey TIFF in which 0 is white, of 8 and of 16 bits"""
    eight = Image.new("L", (40, 40), 10)
    eight.save(work / "a.tif", tiffinfo={TiffImagePlugin.PHOTOMETRIC_INTERPRETATION: 0})
    deep = Image.fromarray(np.full((40, 40), 10 * 257, np.uint16))
    deep.save(work / "b.tif", tiffinfo={TiffImagePlugin.PHOTOMETRIC_INTERPRETATION: 0})
    # Pillow writes the first inverted, as the tag says, and the second as it is.
    return (10, 245), (level(opened(work / "a.tif"))[0], level(opened(work / "b.tif"))[0])


def half_seen(work: Path) -> Answer:
    """a cut-out whose shadow is half transparent black, as WebP, TIFF and JPEG 2000"""
    shadow = Image.new("RGBA", (40, 40), (0, 0, 0, 128))
    seen = []
    for name in ("a.webp", "a.tif", "a.jp2", "a.png"):
        shadow.save(work / name, **({"lossless": True} if name.endswith("webp") else {}))
        seen.append(level(opened(work / name))[0])
    return True, all(abs(value - 127) <= 1 for value in seen) or seen


def gif_ground(work: Path) -> Answer:
    """an animated GIF on a transparent ground, whose first picture covers a part of it"""
    first, second = (Image.new("P", (40, 40), 0) for _ in range(2))
    for image, box in ((first, (10, 10, 20, 20)), (second, (20, 20, 30, 30))):
        image.putpalette([0, 255, 0, 200, 0, 0] + [0] * 762)
        image.paste(1, box)
    first.save(work / "a.gif", save_all=True, append_images=[second], transparency=0, disposal=2)
    image = opened(work / "a.gif")
    return ((255, 255, 255), (200, 0, 0)), (level(image), level(image, 15, 15))


def grey_alpha_deep(work: Path) -> Answer:
    """16 bits a colour with 16 bits of alpha, as a retoucher exports PNG"""

    pixels = np.zeros((40, 40, 4), np.uint16)
    pixels[:, :20] = (0, 0, 65535, 65535)  # BGRA: red, opaque
    cv2.imwrite(str(work / "a.png"), pixels)
    image = opened(work / "a.png")
    return ((255, 0, 0), (255, 255, 255)), (level(image), level(image, 30, 30))


def bitmap_alpha(work: Path) -> Answer:
    """a 32-bit bitmap whose fourth byte is 0 throughout, as old Windows programs write it"""
    image = photo(0).resize((40, 40))
    red, green, blue = image.split()
    Image.merge("RGBA", (red, green, blue, Image.new("L", image.size, 0))).save(work / "a.bmp")
    return level(image), level(opened(work / "a.bmp"))


def rgb_jpeg(work: Path) -> Answer:
    """a JPEG that stores red, green and blue as they are (Photoshop's "save for quality")"""
    image = Image.new("RGB", (40, 40), (200, 40, 20))
    image.save(work / "a.jpg", keep_rgb=True, quality=95)
    seen = level(opened(work / "a.jpg"))
    return True, max(abs(a - b) for a, b in zip(seen, (200, 40, 20), strict=True)) <= 3 or seen


# Transitive groups used for deletion


def chain_of(work: Path, changes: Sequence[Callable[[Image.Image], Image.Image]]) -> Answer:
    """Each dropped row must itself be confirmed against the kept row that is given as evidence."""
    folder = work / "shop"
    (folder / "images").mkdir(parents=True)
    base = photo(17).resize((240, 240), Image.Resampling.LANCZOS)
    for i, change in enumerate(changes):
        change(base).save(folder / f"images/{i}.jpg", quality=90)
    count = len(changes)
    rows = {"image": [f"images/{i}.jpg" for i in range(count)], "category": ["x"] * count}
    pd.DataFrame(rows).to_csv(folder / "catalog.csv", index=False)
    kept, dropped = cleaned(work, folder)
    catalog = read_catalog(folder)
    links = copy_links(catalog, scan_photos(catalog, 1), load_settings().near_duplicate_distance, 1)
    pairs = {
        frozenset(pair)
        for found in (*links.exact, links.near)
        for pair in zip(*(side.tolist() for side in found), strict=True)
    }
    images = catalog.table["image"].tolist()
    wrong = 0
    for row, evidence in zip(dropped["row"], dropped["evidence"], strict=True):
        original = next((image for image in kept["image"] if image in str(evidence)), None)
        wrong += original is None or frozenset((row - 1, images.index(original))) not in pairs
    return f"0 of {len(dropped)} dropped for one they do not copy", (
        f"{wrong} of {len(dropped)} dropped for one they do not copy"
    )


def brightened(work: Path) -> Answer:
    """eight copies, each 12 % brighter than the last"""
    return chain_of(work, [lambda p, i=i: ImageEnhance.Brightness(p).enhance(0.5 * 1.12**i) for i in range(8)])


def rotated(work: Path) -> Answer:
    """eight copies, each turned by 2 degrees more"""
    return chain_of(work, [lambda p, i=i: p.rotate(2 * i, Image.Resampling.BICUBIC) for i in range(8)])


def zoomed(work: Path) -> Answer:
    """ten copies, each with 4 % less on every side"""
    return chain_of(work, [lambda p, i=i: ImageOps.crop(p, 9 * i) for i in range(10)])


def panned_mirrored(work: Path) -> Answer:
    """eight copies panned by 4 %, every other one mirrored"""

    def change(p: Image.Image, i: int) -> Image.Image:
        part = p.crop((9 * i, 0, 150 + 9 * i, 240))
        return ImageOps.mirror(part) if i % 2 else part

    return chain_of(work, [lambda p, i=i: change(p, i) for i in range(8)])


def stretched(work: Path) -> Answer:
    """eight copies, each 10 % wider than the last"""
    return chain_of(work, [lambda p, i=i: p.resize((round(160 * 1.1**i), 160)) for i in range(8)])


def halved(work: Path) -> Answer:
    """copies of 240 pixels and less, each 0.7 of the last"""
    return chain_of(work, [lambda p, i=i: p.resize((round(240 * 0.7**i),) * 2) for i in range(6)])


def bordered(work: Path) -> Answer:
    """seven copies, each with a white border more"""
    return chain_of(work, [lambda p, i=i: ImageOps.expand(p, 14 * i, "white") for i in range(7)])


def contrasted(work: Path) -> Answer:
    """eight copies, each with 0.85 of the last one's contrast"""
    return chain_of(work, [lambda p, i=i: ImageEnhance.Contrast(p).enhance(1.3 * 0.85**i) for i in range(8)])


def blended(work: Path) -> Answer:
    """ten pictures on the way from one photo to another, as a fading slide show gives them"""
    other = photo(23).resize((240, 240))
    return chain_of(work, [lambda p, i=i: Image.blend(p, other, i / 9) for i in range(10)])


def stamped(work: Path) -> Answer:
    """eight copies with a sticker that grows"""

    def change(p: Image.Image, i: int) -> Image.Image:
        p = p.copy()
        p.paste((250, 220, 0), (0, 0, 14 * i, 14 * i))
        return p

    return chain_of(work, [lambda p, i=i: change(p, i) for i in range(8)])


# One notion applied in some rules only


def empty_texts(work: Path) -> Answer:
    """one user's five listings, all described as "N/A" """
    folder = shop(work, 5, user=["u"] * 5, description=["N/A"] * 5, category=["x"] * 5)
    return 5, len(cleaned(work, folder)[0])


def empty_views(work: Path) -> Answer:
    """listings whose third photo has the view "unknown" """
    count = 12
    views = ["appearance", "tag", "unknown"] * 4
    folder = shop(work, count, listing=[f"l{i // 3}" for i in range(count)], view=views)

    catalog = read_catalog(folder)
    photos = scan_photos(catalog, 1)
    settings = load_settings()
    evidence = gather(catalog, photos, copy_links(catalog, photos, 12, 1), settings)
    return False, "unknown" in evidence.views.usual


def empty_boxes(work: Path) -> Answer:
    """boxes "N/A" where nobody marked one"""
    folder = shop(work, 4, bbox=["0,0,20,20", "N/A", "nan", "-"], category=["x"] * 4)
    return 4, len(cleaned(work, folder)[0])


def spreadsheet_errors(work: Path) -> Answer:
    """labels `#N/A`, `<NA>`, `NA`, as spreadsheets, pandas and R write "none" """
    folder = shop(work, 5, **{"attr:colour": ["red", "#N/A", "<NA>", "NA", "red"], "category": ["x"] * 5})
    return ["red", "", "", "", "red"], cleaned(work, folder)[0]["attr:colour"].tolist()


def verdict_words(work: Path) -> Answer:
    """verdicts "Authentic" and "N/A": validation names the three rows as given, none is left out, cleaning keeps all"""
    verdicts = ["Authentic", "authentic", "N/A", "counterfeit", "COUNTERFEIT", "authentic"]
    folder = shop(work, 6, verdict=verdicts, listing=[f"l{i}" for i in range(6)])
    kept = len(cleaned(work, folder)[0])
    results = {
        r.name: r for r in validate_catalog(read_catalog(folder, check_rows=False), work / "r", workers=1).results
    }
    return (3, 0, 6), (results["unusable_values"].count, results["left_out"].count, kept)


def item_words(work: Path) -> Answer:
    """`item` "N/A" in rows of shop and user, which would be one thing to be matched"""
    folder = shop(work, 4, item=["N/A", "n/a", "a", "a"], domain=["shop", "user"] * 2, category=["x"] * 4)
    return ["", "", "a", "a"], cleaned(work, folder)[0]["item"].tolist()


def blank_around(work: Path) -> Answer:
    """one listing written "L1" and "L1 " with a blank behind, dealt into splits"""
    count = 40
    listings = [f"L{i // 2}" + (" " if i % 2 else "") for i in range(count)]
    folder = shop(work, count, listing=listings, category=["x"] * count)
    split_catalog(read_catalog(folder), work / "parted", workers=1)
    table = read_catalog(work / "parted").table
    apart = table.groupby(table["listing"].str.strip())["split"].nunique()
    return 0, int((apart > 1).sum())


def tree_words(work: Path) -> Answer:
    """categories "Shoes/Unknown" and "Shoes/n-a": cut to "Shoes" everywhere"""
    folder = shop(work, 3, category=["Shoes/Unknown", "Shoes/n-a", "Shoes/Boots"])
    return ["Shoes", "Shoes", "Shoes/Boots"], cleaned(work, folder)[0]["category"].tolist()


def unreadable_leak(work: Path) -> Answer:
    """the same error page under two names, in train and test: no photo in two splits"""
    folder = shop(work, 4, split=["train", "test", "train", "test"], category=["x"] * 4)
    for i in (0, 1):
        (folder / f"images/{i}.jpg").write_bytes(b"<html>404</html>")
    results = {
        r.name: r for r in validate_catalog(read_catalog(folder, check_rows=False), work / "r", workers=1).results
    }
    return 0, results["split_leakage"].count


def experts_named_none(work: Path) -> Answer:
    """expert "None" beside experts with names: nobody whose verdicts could deviate"""

    folder = shop(work, 3, expert=["None", "anna", "N/A"], verdict=["authentic"] * 3)
    return ["", "anna", ""], named(read_catalog(folder).table, load_settings().no_label)["expert"].tolist()


# One bad item costing a whole set


def odd_name(work: Path) -> Answer:
    """one of many names is not UTF-8, as an old zip unpacks"""
    folder = folder_of(work, "x/0.jpg", "x/1.jpg")
    shutil.copy(real(1)[0], os.fsencode(folder) + b"/x/caf\xe9.jpg")
    line = refused(lambda: ingest(folder, work / "out", "folder"))
    return ("accepted", 2), (line[-60:], len(read_catalog(work / "out")) if line == "accepted" else 0)


def one_bad_value(work: Path) -> Answer:
    """one of 40 rows has a verdict "maybe" """
    (work / "in").mkdir()
    lines = [f"{i}.jpg,{'maybe' if i == 7 else 'authentic'}" for i in range(40)]
    (work / "in/t.csv").write_text("photo,verdict\n" + "\n".join(lines) + "\n")
    mapping = "tables: [{file: t.csv}]\ncolumns: {image: '{photo}', verdict: '{verdict}'}\n"
    names = tuple(f"{i}.jpg" for i in range(40))
    line = refused(lambda: from_table(work, mapping, names, max_left_out=0.05))
    rows = len(read_catalog(work / "out")) if line == "accepted" else 0
    return ("accepted", 39), (line[-60:], rows)


def bad_byte(work: Path) -> Answer:
    """one line of a UTF-8 table holds a byte of another encoding; --skip-bad-lines"""
    (work / "in").mkdir()
    rows = ["photo,text", "0.jpg,Größe 40", "1.jpg,caf\xe9", "2.jpg,été"]
    data = b"\n".join(row.encode("latin-1" if row.startswith("1") else "utf-8") for row in rows)
    (work / "in/t.csv").write_bytes(data)
    mapping = "tables: [{file: t.csv}]\ncolumns: {image: '{photo}', description: '{text}'}\n"
    line = refused(lambda: from_table(work, mapping, skip_bad_lines=True))
    if line != "accepted":
        return "2 rows", line[-80:]
    table = read_catalog(work / "out").table
    return (2, "été"), (len(table), table["description"].iat[-1])


def same_key_twice(work: Path) -> Answer:
    """a lookup table in which one line stands twice, word for word"""
    (work / "in").mkdir()
    (work / "in/t.csv").write_text("id,photo\n1,0.jpg\n2,1.jpg\n")
    (work / "in/labels.csv").write_text("id,kind\n1,shirt\n2,shoe\n1,shirt\n")
    mapping = "tables: [{file: t.csv}]\nlookups: [{file: labels.csv, key: {id: id}}]\n"
    line = refused(lambda: from_table(work, mapping + "columns: {image: '{photo}', category: '{kind}'}\n"))
    return "accepted", line[-60:]


def json_list(work: Path) -> Answer:
    """a JSON list with one entry that is null; --skip-bad-lines"""
    (work / "in").mkdir()
    (work / "in/t.json").write_text(json.dumps([{"photo": "0.jpg"}, None, {"photo": "2.jpg"}]))
    mapping = "tables: [{file: t.json}]\ncolumns: {image: '{photo}'}\n"
    line = refused(lambda: from_table(work, mapping, skip_bad_lines=True))
    return "accepted", line[-60:]


def unused_bad_column(work: Path) -> Answer:
    """a Parquet file with bytes that are no text in a column nobody asked for"""

    (work / "in").mkdir()
    wrong = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 2], np.int32).tobytes()), pa.py_buffer(b"\xff\xfe")]
    )
    pq.write_table(pa.table({"photo": ["0.jpg", "1.jpg"], "note": wrong}), work / "in/t.parquet")
    line = refused(lambda: from_table(work, "tables: [{file: t.parquet}]\ncolumns: {image: '{photo}'}\n"))
    return "accepted", line[-70:]


def coco_bad_entry(work: Path) -> Answer:
    """COCO in which one of many annotations is of a photo that the file does not have"""
    folder = folder_of(work, "0.jpg", "1.jpg")
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(2)],
        "categories": [{"id": 1, "name": "shirt"}],
        "annotations": [{"image_id": i, "category_id": 1, "bbox": [1, 1, 9, 9]} for i in (0, 1, 9)],
    }
    (folder / "a.json").write_text(json.dumps(content))
    line = refused(lambda: ingest(folder, work / "out", "coco"))
    return "accepted, 1 left out", "accepted, 1 left out" if line == "accepted" else line[-60:]


def gone_after_scan(work: Path) -> Answer:
    """a copy is deleted between `scan` and `validate`"""
    folder = shop(work, 4)
    photo(0).save(folder / "images/1.jpg", quality=70)
    write_photo_table(read_catalog(folder), work / "photos", workers=1)
    (folder / "images/1.jpg").unlink()
    line = refused(lambda: validate_catalog(read_catalog(folder), work / "report", photos=[work / "photos"], workers=1))
    return "accepted", line[-80:]


def folder_named_like_a_photo(work: Path) -> Answer:
    """a folder `b.jpg`, a link to nowhere and an empty file among photos"""
    folder = folder_of(work, "x/0.jpg", "x/b.jpg/1.jpg")
    (folder / "x/c.jpg").symlink_to("nowhere.jpg")
    (folder / "x/d.jpg").touch()
    ingest(folder, work / "out", "folder")
    table = scan_photos(read_catalog(work / "out"), 1)
    return (4, 2), (len(table), int(table["readable"].sum()))


def huge_cell(work: Path) -> Answer:
    """one description is longer than Python's CSV reader takes (131,072 characters), another line is too long"""
    (work / "in").mkdir()
    (work / "in/t.csv").write_text(f"photo,text\n0.jpg,{'x' * 140_000}\n1.jpg,a,b,c\n2.jpg,fine\n")
    mapping = "tables: [{file: t.csv}]\ncolumns: {image: '{photo}', description: '{text}'}\n"
    line = refused(lambda: from_table(work, mapping, skip_bad_lines=True))
    return "accepted", line[-70:]


def workbook(path: Path, sheets: dict[str, list[list[str]]], merged: str = "") -> None:
    """A workbook of texts, as the standard has it (ECMA-376)."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    numbers = range(1, len(sheets) + 1)
    with zipfile.ZipFile(path, "w") as parts:
        types = "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{kind}.worksheet+xml"/>' for n in numbers
        )
        parts.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>{types}</Types>',
        )
        parts.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{office}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        listed = "".join(
            f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in zip(numbers, sheets, strict=True)
        )
        parts.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{listed}</sheets></workbook>'
        )
        known = "".join(
            f'<Relationship Id="r{n}" Type="{office}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers
        )
        parts.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}/relationships">{known}</Relationships>'
        )
        over = f'<mergeCells count="1"><mergeCell ref="{merged}"/></mergeCells>' if merged else ""
        for n, rows in zip(numbers, sheets.values(), strict=True):
            cells = "".join(
                f'<row r="{i}">'
                + "".join(
                    f'<c r="{chr(65 + j)}{i}" t="inlineStr"><is><t>{cell}</t></is></c>' if cell else ""
                    for j, cell in enumerate(row)
                )
                + "</row>"
                for i, row in enumerate(rows, 1)
            )
            parts.writestr(
                f"xl/worksheets/sheet{n}.xml",
                f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData>{over}</worksheet>',
            )


GROUPS: dict[str, Sequence[Situation]] = {
    "State judged by names, counts or times instead of content": (
        swapped_names, touched, derived_item, derived_digest, dvc_extra, kept_links, replaced_after_scan,
        same_name_elsewhere, metadata_only, clock_set_back,
    ),
    "Things left out without being counted": (
        cdn_names, no_ending, archives, second_sheet, merged_cells, unmatched, unmatched_long, open_quote, byte_mark,
        upper_case,
    ),
    "Stored pixels taken without their meaning": (
        turned_tiff, turned_png, turned_avif, turned_webp, white_is_zero, half_seen, gif_ground, grey_alpha_deep,
        bitmap_alpha, rgb_jpeg,
    ),
    "Transitive groups used for deletion": (
        brightened, rotated, zoomed, panned_mirrored, stretched, halved, bordered, contrasted, blended, stamped,
    ),
    "One notion applied in some rules only": (
        empty_texts, empty_views, empty_boxes, spreadsheet_errors, verdict_words, item_words, blank_around, tree_words,
        unreadable_leak, experts_named_none,
    ),
    "One bad item costing a whole set": (
        odd_name, one_bad_value, bad_byte, same_key_twice, json_list, unused_bad_column, coco_bad_entry,
        gone_after_scan, folder_named_like_a_photo, huge_cell,
    ),
}  # fmt: skip


def main() -> None:
    """Runs the situations, prints what came out otherwise, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, nargs="+", choices=range(1, len(GROUPS) + 1))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text, right_ones, all_of_them = "", 0, 0
    for number, (group, situations) in enumerate(GROUPS.items(), 1):
        if options.groups and number not in options.groups:
            continue
        text += f"\n## {group}\n\n| situation | right | came out |\n| --- | --- | --- |\n"
        for situation in situations:
            right, seen = tried(situation)
            all_of_them += 1
            right_ones += right == seen
            if right != seen:
                print(f"{situation.__name__}: {seen!r}, not {right!r}", flush=True)
            cells = [str(situation.__doc__).strip(), shown(right), "so" if right == seen else shown(seen)]
            text += f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"
    print(f"{right_ones} of {all_of_them} came out right")
    if options.out:
        options.out.write_text(PAGE.format(right=right_ones, count=all_of_them) + text)


def tried(situation: Situation) -> Answer:
    """What is right and what came out, in a folder and with a cache of its own."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["VITRINE_CACHE"] = f"{home}/cache"
        (Path(home) / "work").mkdir()
        try:
            return situation(Path(home) / "work")
        except Exception as error:  # whatever ends it is what came out
            return "an answer", f"{type(error).__name__}: {error}"


def shown(value: Any) -> str:
    """An answer as a cell."""
    if isinstance(value, tuple | list):
        return ", ".join(map(shown, value))
    return str(value) or "(empty)"


if __name__ == "__main__":
    main()
