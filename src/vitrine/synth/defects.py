"""Planted faults: what a marketplace's data really looks like, with the truth about each fault.

Faults come as added rows and photos. Kinds that copy a photo take one of the clean catalog; all others take photos of
listings of their own (their names begin with `D`), so that each photo has the one fault it is named for.
"""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from random import Random

import numpy
from PIL import Image

from vitrine.synth.listings import Photo, Row, is_multi_view, jpeg, marked_view, product_of, render_listing
from vitrine.synth.marks import VIEWS
from vitrine.synth.png import GREY, png
from vitrine.synth.products import SHELVES
from vitrine.synth.texts import KEYWORDS

Fault = dict[str, str]
EACH = 3
SCRIPT_LABEL = "<script>alert(1)</script>"
SCRIPT_TEXT = "Great bag <img src=x onerror=alert(1)> ask me"


class _Bench:
    """What a kind of fault works with: the clean catalog, fresh listings, and where rows, photos and truths go."""

    def __init__(self, folder: Path, clean: list[Row], seed: int) -> None:
        self.folder = folder
        self.clean = [row for row in clean if row["domain"] == "shop"]
        self.seed = seed
        self.rows: list[Row] = []
        self.faults: list[Fault] = []
        self._next = 0

    def fresh(self, multi_view: bool = False) -> list[Photo]:
        """The photos of a new listing that is not in the clean catalog, fully labelled."""
        while is_multi_view(self._next) != multi_view:
            self._next += 1
        number, self._next = self._next, self._next + 1
        photos = list(render_listing(self.seed, number, "D"))
        product = product_of(self.seed, number, "D")
        labels = {f"attr:{kind}": label for kind, label in product.labels().items()}
        for photo in photos:
            if photo.row["domain"]:
                photo.row.update(labels | {"category": product.category})
        return photos

    def single(self) -> Photo:
        """One photo of a new listing."""
        return self.fresh()[0]

    def add(self, row: Row, data: bytes | None) -> None:
        self.rows.append(row)
        if data is not None:
            (self.folder / row["image"]).write_bytes(data)

    def fault(self, row: Row, kind: str, detail: str) -> None:
        self.faults.append({"image": row["image"], "defect": kind, "detail": detail})


def plant(folder: Path, clean: list[Row], seed: int) -> tuple[list[Row], list[Fault]]:
    """Writes faulty photos into `folder`.

    Returns:
        The rows to add to the catalog, and one entry (`image`, `defect`, `detail`) per planted fault.
    """
    bench = _Bench(folder, clean, seed)
    for kind, make in _COPIES.items():
        random = Random(f"{seed}/defects/{kind}")
        for i, source in enumerate(random.sample(bench.clean, min(EACH, len(bench.clean)))):
            name = f"DC-{kind}-{i + 1}"
            row = source | {
                "image": f"images/{name}.jpg",
                "listing": name,
                "product": f"{name}-product",
                "bbox": "",
            }
            row |= {"user": "copy.cat", "description": f"{source['description']} ({name})"}
            row |= {"verdict": "", "expert": "", "view": "front"}
            bench.add(row, make((folder / source["image"]).read_bytes(), random))
            bench.fault(row, kind, f"copy of {source['image']}")
    for kind, (suffix, spoil, detail) in _SPOILT.items():
        for _ in range(EACH):
            photo = bench.single()
            row = photo.row | {
                "image": str(Path(photo.row["image"]).with_suffix(suffix).as_posix()),
                "bbox": "",
            }
            bench.add(row, spoil(photo.data))
            bench.fault(row, kind, detail)
    for plant_kind in (_rows_without_photos, _labels_and_texts, _views, _other_files, _cells, _pairs):
        plant_kind(bench)
    return bench.rows, bench.faults


# Copies of clean photos in other listings.


def _opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data)).convert("RGB")


def _resized(data: bytes, random: Random) -> bytes:
    photo, percent = _opened(data), random.choice((70, 80, 130))
    return jpeg(photo.resize((photo.width * percent // 100, photo.height * percent // 100), Image.Resampling.BILINEAR))


def _cropped(data: bytes, random: Random) -> bytes:
    photo = _opened(data)
    x, y = random.randint(1, 4), random.randint(1, 4)
    return jpeg(photo.crop((x, y, photo.width - random.randint(1, 4), photo.height - random.randint(1, 4))))


_COPIES: dict[str, Callable[[bytes, Random], bytes]] = {
    "exact_copy": lambda data, random: data,
    "reencoded_copy": lambda data, random: jpeg(_opened(data), random.randint(55, 72)),
    "resized_copy": _resized,
    "cropped_copy": _cropped,
}


# Photos whose files are not what they should be.


def _as_png(data: bytes) -> bytes:
    photo = _opened(data)
    return png(photo.width, photo.height, photo.tobytes())


def _sixteen_bit(data: bytes) -> bytes:
    grey = numpy.asarray(_opened(data).convert("L"), dtype=">u2") * 257
    return png(grey.shape[1], grey.shape[0], grey.astype(">u2").tobytes(), GREY, 16)


def _animated(data: bytes) -> bytes:
    photo = _opened(data).quantize(64, Image.Quantize.MEDIANCUT)
    frames = [
        photo,
        photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        photo.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    ]
    buffer = BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=200, loop=0)
    return buffer.getvalue()


def _rotated(data: bytes, orientation: int = 6) -> bytes:
    """Stored turned; the EXIF orientation says how to look at it (6: turned by 90 degrees clockwise)."""
    stored = {
        3: Image.Transpose.ROTATE_180,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = BytesIO()
    _opened(data).transpose(stored[orientation]).save(buffer, "JPEG", quality=88, exif=exif)
    return buffer.getvalue()


_SPOILT: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "truncated": (
        ".jpg",
        lambda data: data[: len(data) * 45 // 100],
        "the file ends after 45 % of its bytes",
    ),
    "wrong_extension": (".jpg", _as_png, "PNG bytes named .jpg"),
    "not_an_image": (".jpg", lambda data: b"404 not found: this photo has moved\n", "text named .jpg"),
    "one_pixel": (
        ".jpg",
        lambda data: jpeg(_opened(data).resize((1, 1), Image.Resampling.NEAREST)),
        "1 x 1 pixel",
    ),
    "bomb": (
        ".png",
        lambda data: png(60000, 60000, bytes(180000)),
        "the header declares 60000 x 60000 pixels",
    ),
    "black": (".jpg", lambda data: jpeg(Image.new("RGB", _opened(data).size)), "all pixels are black"),
    "greyscale": (".jpg", lambda data: jpeg(_opened(data).convert("L")), "greyscale JPEG"),
    "cmyk": (".jpg", lambda data: jpeg(_opened(data).convert("CMYK")), "CMYK JPEG"),
    "sixteen_bit": (".png", _sixteen_bit, "16-bit greyscale PNG"),
    "animated": (".gif", _animated, "GIF of three frames"),
    "exif_rotated": (".jpg", _rotated, "stored lying, EXIF orientation 6"),
}


# Rows that lead to no photo.


def _rows_without_photos(bench: _Bench) -> None:
    for _ in range(EACH):
        row = bench.single().row
        bench.add(row, None)
        bench.fault(row, "missing_file", "the row's photo does not exist")
    for i in range(EACH):
        row = bench.single().row | {"image": f"../outside-{i + 1}.jpg"}
        bench.add(row, None)
        bench.fault(row, "path_traversal", "the path leaves the catalog's folder")


# Labels and texts.


def _labels_and_texts(bench: _Bench) -> None:
    for i in range(EACH):
        photo = bench.single()
        target = ("attr:pattern", "attr:colour", "description")[i % 3]
        row = photo.row | {target: SCRIPT_TEXT if target == "description" else SCRIPT_LABEL}
        bench.add(row, photo.data)
        bench.fault(row, "html_label", f"markup in {target}")
    for i in range(EACH):
        photo = bench.single()
        row = photo.row | {"description": f"{photo.row['description']} {KEYWORDS[i % len(KEYWORDS)]}"}
        bench.add(row, photo.data)
        bench.fault(row, "keyword", KEYWORDS[i % len(KEYWORDS)])
    text = {
        "user": "bulk.seller",
        "description": "Top quality, best price, all sizes, fast shipping. Write me.",
    }
    for _ in range(EACH):
        photo = bench.single()
        row = photo.row | text
        bench.add(row, photo.data)
        bench.fault(row, "repeated_text", "the same user and description on several listings")
    for _ in range(EACH):
        _contradicting(bench)


def _contradicting(bench: _Bench) -> None:
    first, second = bench.single(), bench.single()
    leaves = list(SHELVES)
    category = first.row["category"]
    other = leaves[(leaves.index(category) + 5) % len(leaves)]
    bench.add(first.row, first.data)
    row = second.row | {kind: label for kind, label in first.row.items() if kind.startswith("attr:")}
    row |= {"category": other, "bbox": first.row["bbox"]}
    bench.add(row, first.data)
    bench.fault(row, "contradicting_labels", f"the photo of {first.row['image']}, there {category}, here {other}")


# Views of multi-view listings.


def _views(bench: _Bench) -> None:
    random = Random(f"{bench.seed}/defects/views")
    for _ in range(EACH):
        gone = random.sample(VIEWS[1:], random.randint(1, 3))
        kept = [photo for photo in bench.fresh(multi_view=True) if photo.row["view"] not in gone]
        for photo in kept:
            bench.add(photo.row, photo.data)
        bench.fault(kept[0].row, "missing_view", f"listing {kept[0].row['listing']} lacks {', '.join(sorted(gone))}")
    for view, row, data in _repeated(bench):
        bench.add(row, data)
        bench.fault(row, "repeated_view", f"listing {row['listing']} shows {view} twice")


def _repeated(bench: _Bench) -> Iterator[tuple[str, Row, bytes]]:
    for view in ("tag", "insole", "stamp"):
        photos = bench.fresh(multi_view=True)
        for photo in photos:
            bench.add(photo.row, photo.data)
        listing = photos[0].row["listing"]
        number = int(listing.removeprefix("DL"))
        _, picture = marked_view(product_of(bench.seed, number, "D"), view, True, f"{bench.seed}/again/{number}")
        like = next(photo.row for photo in photos if photo.row["view"] == view)
        yield view, like | {"image": f"images/{listing}-{len(photos) + 1}.jpg"}, jpeg(picture)


# More files: some that do not open, some that only look odd.


def _sixteen_bit_colour(data: bytes) -> bytes:
    photo = _opened(data)
    values = numpy.asarray(photo, dtype=">u2") * 257
    return png(photo.width, photo.height, values.astype(">u2").tobytes(), depth=16)


def _odd_exif(data: bytes) -> bytes:
    text = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x02\0\0\x006\0\0\0\0\0\0\0"  # orientation as the text "6"
    return data[:2] + b"\xff\xe1" + (len(text) + 2).to_bytes(2, "big") + text + data[2:]


_OTHER_FILES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "empty_file": (".jpg", lambda data: b"", "no bytes at all"),
    "page_as_photo": (
        ".jpg",
        lambda data: b"<!doctype html><title>404</title><script>alert(1)</script>",
        "an HTML page named .jpg",
    ),
    "white": (".jpg", lambda data: jpeg(Image.new("RGB", _opened(data).size, "white")), "all pixels are white"),
    "grey_colours": (
        ".jpg",
        lambda data: jpeg(_opened(data).convert("L").convert("RGB")),
        "RGB, but every pixel is grey",
    ),
    "sixteen_bit_colour": (".png", _sixteen_bit_colour, "16-bit colour PNG"),
    "odd_exif": (".jpg", _odd_exif, "the EXIF orientation is a text; the photo is fine"),
    "trailing_bytes": (".jpg", lambda data: data + bytes(range(256)) * 8, "bytes after the end; the photo is fine"),
}


def _other_files(bench: _Bench) -> None:
    for kind, (suffix, spoil, detail) in _OTHER_FILES.items():
        for _ in range(EACH):
            photo = bench.single()
            row = photo.row | {"image": Path(photo.row["image"]).with_suffix(suffix).as_posix(), "bbox": ""}
            bench.add(row, spoil(photo.data))
            bench.fault(row, kind, detail)


# One cell that is not what it should be, of a row that is fine otherwise.

_CELLS: dict[str, tuple[tuple[str, str], ...]] = {
    "control_characters": (
        ("description", "red \x1b[31malert"),
        ("attr:colour", "bell\x07"),
        ("user", "u\u202etxt.exe"),
    ),
    "formula": (
        ("description", "=cmd|' /C calc'!A0"),
        ("user", "@SUM(1+1)*cmd|' /C calc'!A0"),
        ("description", "=1+1"),
    ),
    "script_address": (("description", "JavaScript:alert(1)"), ("attr:colour", "&lt;b&gt;"), ("user", "&#60;b&#62;")),
    "stray_label": (("attr:colour", "Not sure"), ("attr:pattern", "SKIP"), ("attr:colour", " N/A ")),
    "stray_word": (("domain", " Shop"), ("split", "TRAIN "), ("verdict", "unknown")),
    "unknown_word": (("domain", "mars"), ("split", "dev"), ("verdict", "probably authentic")),
    "broken_category": (("category", "/Apparel"), ("category", "Apparel//Shirts"), ("category", "Apparel/")),
    "broken_box": (("bbox", "5,0,-20,20"), ("bbox", "nan,nan,nan,nan"), ("bbox", "left half")),
    "box_outside": (("bbox", "0,0,9000,10"), ("bbox", "500,500,10,10"), ("bbox", "0,0,0,10")),
    "one_photo_class": (
        ("category", "Oddments/Keyrings"),
        ("attr:pattern", "houndstooth"),
        ("category", "Oddments/Mugs"),
    ),
    "long_text": (("description", "long " * 20_000), ("user", "u" * 5_000), ("description", "\U0001f457" * 5_000)),
}


def _cells(bench: _Bench) -> None:
    for kind, cells in _CELLS.items():
        for column, value in cells:
            photo = bench.single()
            row = photo.row | {column: value}
            bench.add(row, photo.data)
            bench.fault(row, kind, f"{column}: {value[:60]!r}")


# Two rows of one photo.


def _pairs(bench: _Bench) -> None:
    random = Random(f"{bench.seed}/defects/pairs")
    for orientation in (3, 5, 8):
        first, row = _twins(bench)
        bench.add(first.row, first.data)
        bench.add(row, _rotated(first.data, orientation))
        bench.fault(row, "rotated_copy", f"{first.row['image']}, stored turned, EXIF orientation {orientation}")
    leaks: dict[str, Callable[[bytes], bytes]] = {
        "leaked_copy": lambda data: jpeg(_opened(data), 70),
        "mirrored_leak": lambda data: jpeg(_opened(data).transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    }
    for kind, change in leaks.items():
        for _ in range(EACH):
            first, row = _twins(bench)
            row |= {"split": random.choice(("validation", "test"))}
            bench.add(first.row | {"split": "train"}, first.data)
            bench.add(row, change(first.data))
            bench.fault(row, kind, f"{first.row['image']} of train, here in {row['split']}")
    for _ in range(EACH):
        first, row = _twins(bench)
        bench.add(first.row | {"verdict": "authentic"}, first.data)
        row |= {"verdict": "counterfeit"}
        bench.add(row, jpeg(_opened(first.data), 70))
        bench.fault(row, "contradicting_verdict", f"{first.row['image']}, there authentic, here counterfeit")
    for _ in range(EACH):
        first, row = _twins(bench)
        bench.add(first.row | {"attr:colour": "red"}, first.data)
        row |= {"attr:colour": "green"}
        hue, saturation, value = _opened(first.data).convert("HSV").split()
        turned = hue.point(lambda level: (level + 85) % 256)
        bench.add(row, jpeg(Image.merge("HSV", (turned, saturation, value)).convert("RGB")))
        bench.fault(row, "other_colour", f"{first.row['image']} in another colour; both are fine")


def _twins(bench: _Bench) -> tuple[Photo, Row]:
    """A photo of a new listing, and the row of another new listing that shows and labels the same."""
    first, second = bench.single(), bench.single()
    row = second.row | {name: value for name, value in first.row.items() if name.startswith("attr:")}
    return first, row | {name: first.row[name] for name in ("category", "domain", "bbox", "view")}
