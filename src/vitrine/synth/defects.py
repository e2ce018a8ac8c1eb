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
    for plant_kind in (_rows_without_photos, _labels_and_texts, _views):
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


def _rotated(data: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer has to turn the stored pixels by 90 degrees clockwise
    buffer = BytesIO()
    _opened(data).transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=88, exif=exif)
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
