"""JPEGs by libjpeg-turbo alone: the very pixels that Pillow gives in half the time, and no silence about lost ones.

libjpeg fills what it cannot read with grey and says so in a warning, which Pillow does not pass on. A file that was cut
and closed with an end marker would otherwise count as a photo, as would many that have a hole.
"""

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

# How libjpeg's warnings about lost pixels begin or go on (jerror.h); others, such as bytes left over, lose none.
LOST = ("premature end", "bad huffman code", "bad arithmetic code", "instead of rst")
MODES = {"gray": "L", "ycbcr": "RGB", "rgb": "RGB"}  # colour space -> Pillow's mode
SCALES = (8, 4, 2, 1)
MAX_SCANS = 64  # a progressive JPEG has some ten
SOS = b"\xda"  # the marker that begins a scan
EOI = b"\xff\xd9"  # what closes a photo
MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")


class LostPixelsError(ValueError):
    """A JPEG of which a part cannot be decoded."""


class Plain(NamedTuple):
    """The header of a JPEG that nothing turns and no other photo follows: its size and Pillow's mode."""

    width: int
    height: int
    mode: str


def plain_header(data: bytes) -> Plain | None:
    """The header of a grey or colour JPEG without EXIF, XMP or multi-picture segments; None for anything else."""
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    scan = data.find(b"\xff\xda")
    if data.find(b"\xff\xe1", 0, scan) >= 0 or data.find(b"\xff\xe2", 0, scan) >= 0:  # APP1, APP2
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    mode = MODES.get(str(colours).lower())
    return Plain(int(width), int(height), mode) if mode else None


def has_many_scans(data: bytes) -> bool:
    """Whether a JPEG has more than `MAX_SCANS` passes over its pixels, each a few bytes and as slow as a photo."""
    if data.count(b"\xff\xda") <= MAX_SCANS:
        return False
    scans = (marker for marker, _ in _segments(data) if marker == SOS)
    return sum(1 for _ in itertools.islice(scans, MAX_SCANS + 1)) > MAX_SCANS


def lacks_end(data: bytes) -> bool:
    """Whether a JPEG that could be decoded goes on to the end of its file, where a marker should close it."""
    return not data.endswith(EOI) and data.rfind(EOI) < data.rfind(b"\xff" + SOS)


def _segments(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Marker and place of each segment up to the end of the photo; what lies inside of others (thumbnails) is none."""
    position = 0
    while (marker := MARKER.search(data, position)) and marker[1] != b"\xd9":
        position = marker.end()
        yield marker[1], position
        if marker[1] not in (b"\xd8", b"\x01"):
            position += int.from_bytes(data[position : position + 2], "big")


def _in_one_scan(data: bytes) -> bool:
    """Whether a JPEG is of one pass with all of its colours: one that breaks off in it cannot look whole."""
    segments = list(itertools.islice(_segments(data), MAX_SCANS * 8))
    frames = [data[place + 7 : place + 8] for marker, place in segments if marker in (b"\xc0", b"\xc1")]
    scans = [data[place + 2 : place + 3] for marker, place in segments if marker == SOS]
    return len(frames) == 1 and frames == scans


def jpeg_pixels(data: bytes, width: int, height: int, near: int | None = None) -> NDArray[np.uint8] | None:
    """The pixels of a JPEG in RGB, (height, width, 3), as they are stored.

    Args:
        data: The file.
        width: Pixels, as its header says.
        height: The same.
        near: The pixels of the shorter side that are enough: decoded at 1/2, 1/4 or 1/8 as long as they are there.

    Returns:
        None where Pillow must decide: other colours (CMYK), warnings of which no pixel is lost, no JPEG at all.

    Raises:
        LostPixelsError: if a part of the photo is missing. The end marker alone may be, as where a transfer lost the
            last bytes, unless the photo comes in several passes, of which others could be missing with it.
    """
    try:
        return _pixels(data, width, height, near)
    except LostPixelsError:
        if not _in_one_scan(data):
            raise
        return _pixels(data + EOI, width, height, near)


def _pixels(data: bytes, width: int, height: int, near: int | None) -> NDArray[np.uint8] | None:
    room = min(width, height) // near if near else 1
    scale = next((scale for scale in SCALES if scale <= room), 1)
    least = {"min_height": -(-height // scale), "min_width": -(-width // scale), "min_factor": scale}
    try:
        colours = str(simplejpeg.decode_jpeg_header(data)[2]).lower()
        pixels = np.asarray(simplejpeg.decode_jpeg(data, "RGB" if colours in MODES else "CMYK", **least))
        return pixels if colours in MODES else None  # what print colours look like is Pillow's matter
    except ValueError as error:
        if any(words in str(error).lower() for words in LOST):
            raise LostPixelsError(" ".join(str(error).split())) from error
        return None
