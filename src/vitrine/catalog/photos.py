"""Opening one photo safely: what every room that looks at pixels calls."""

import functools
import hashlib
import io
import itertools
import os
import re
import stat
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from vitrine import files
from vitrine.catalog.colour import deep_to_grey, to_srgb
from vitrine.catalog.jpeg import MAX_SCANS, LostPixelsError, has_many_scans, jpeg_pixels, plain_header
from vitrine.errors import InputError, PassingError

MAX_PIXELS = 120_000_000  # phones make 108 million; a header that declares more is taken for a decompression bomb
MAX_BYTES = 512 << 20
ENDINGS = {  # Pillow's name of a format that is read -> how its files are named
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx"),
}
PHOTO_ENDINGS = tuple(dict.fromkeys(itertools.chain.from_iterable(ENDINGS.values())))
# What servers and browsers put behind an ending: `1.jpg_large`, `2.jpg!w800`, `3.jpeg?v=2`.
BEHIND = re.compile(rf"(?:{'|'.join(map(re.escape, PHOTO_ENDINGS))})[^a-z0-9./][^./]*$")
# Of a photo's kind, and not read: JPEG XL, JPEG XR, cameras' raw files, drawings, layers and light, archives.
UNREAD_ENDINGS = (
    *(".jxl", ".jxr", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw"),
    *(".ai", ".eps", ".exr", ".hdr", ".ico", ".pbm", ".pcx", ".pgm", ".ppm", ".psb", ".psd", ".svg", ".tga", ".xcf"),
    *(".7z", ".rar", ".tar", ".tbz2", ".tgz", ".txz", ".zip"),
)
BOXED = ("AVIF", "HEIF")  # formats whose files begin with an `ftyp` box
FORMATS = tuple(name for name in ENDINGS if name not in ("MPO", *BOXED))  # JPEG opens MPO (two-lens photos) too

UPRIGHT = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def is_photo_name(name: str) -> bool:
    """Whether a file is named as photos are."""
    name = name.lower()
    return name.endswith(PHOTO_ENDINGS) or BEHIND.search(name) is not None


class PhotoError(InputError):
    """A photo that is missing, truncated, too large or no photo at all."""


def open_photo(uri: str, near: int | None = None, sha256: str = "") -> Image.Image:
    """Reads and decodes one photo: upright by its EXIF orientation, in sRGB, transparency on white.

    Args:
        uri: Local path or s3:// URI.
        near: The pixels of the shorter side that are enough; a JPEG is then decoded at a fraction of its size
            (1/2, 1/4 or 1/8) that keeps at least this many.
        sha256: What the file's SHA-256 must be, in hexadecimal digits; "" takes any.

    Raises:
        PhotoError: if there is no such photo, it is another than `sha256` says, or it cannot be decoded whole.
        PassingError: if S3 does not answer, or memory runs out.
    """
    try:
        data = read_photo(uri)
        if sha256 and hashlib.sha256(data).hexdigest() != sha256:
            raise PhotoError("is not the photo that was cleaned (another SHA-256); clean and split the data anew")
        return decode_photo(data, near)
    except FileNotFoundError as error:
        raise PhotoError(f"{uri}: no such photo") from error
    except OSError as error:
        raise PhotoError(f"{uri}: cannot be read ({error.strerror})") from error
    except PhotoError as error:
        raise PhotoError(f"{uri}: {error}") from error
    except MemoryError as error:
        raise PassingError(f"{uri}: memory ran out while it was decoded") from error


def read_photo(uri: str) -> bytes:
    """The bytes of a photo.

    Raises:
        PhotoError: if a local path is no regular file (a pipe would block, a device never end) or larger than
            `MAX_BYTES`.
        OSError: if it cannot be read; FileNotFoundError if it is not there.
    """
    if files.is_s3(uri):
        return files.read_bytes(uri)
    descriptor = os.open(uri, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # not waiting for a pipe's other end
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError("is not a file")
        if status.st_size > MAX_BYTES:
            raise PhotoError(f"is larger than {MAX_BYTES >> 20} MB")
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def decode_photo(data: bytes, near: int | None = None) -> Image.Image:
    """Like `open_photo`, from bytes.

    Raises:
        PhotoError: if it cannot be decoded whole.
        MemoryError: if memory runs out, which says nothing of the photo.
    """
    plain = plain_header(data)
    if plain is not None and plain.width * plain.height <= MAX_PIXELS:
        pixels = stored_pixels(data, plain.width, plain.height, near)
        if pixels is not None:
            return Image.fromarray(pixels)
    return decode_opened(open_header(data), data, near)


def stored_pixels(data: bytes, width: int, height: int, near: int | None = None) -> NDArray[np.uint8] | None:
    """The RGB pixels of a JPEG as they are stored, (height, width, 3); None where Pillow must decode.

    Raises:
        PhotoError: if a part of the photo is missing, or it would take minutes to decode.
    """
    if has_many_scans(data):
        raise PhotoError(f"has more than {MAX_SCANS} scans; decoding them all would take too long")
    try:
        return jpeg_pixels(data, width, height, near)
    except LostPixelsError as error:
        raise PhotoError(f"cannot be decoded: cut short or damaged ({error})") from error


def decode_opened(image: ImageFile.ImageFile, data: bytes, near: int | None = None) -> Image.Image:
    """Like `decode_photo`, from what `open_header` gave and the bytes."""
    try:
        if image.format in ("JPEG", "MPO"):
            pixels = stored_pixels(data, *image.size, near)
            if pixels is not None:
                colours = to_srgb(Image.fromarray(pixels), image.info.get("icc_profile"))
                return _turned(colours, orientation(image))
        if near is not None:
            image.draft("RGB", (near, near))
        stored = _raw_mode(image)
        image.load()  # a truncated file fails here
        return _turned(_to_rgb(image, stored), orientation(image))
    except (PhotoError, MemoryError):
        raise
    except Exception as error:  # on broken bytes Pillow's decoders raise nearly anything
        raise PhotoError(f"cannot be decoded ({_first_line(error)})") from error


def as_photo(image: Image.Image) -> Image.Image:
    """A picture that somebody opened with Pillow, or made, as `open_photo` would give it from a file.

    Raises:
        PhotoError: if it cannot be decoded whole.
    """
    try:
        stored = _raw_mode(image) if isinstance(image, ImageFile.ImageFile) else ""
        image.load()
        return _turned(_to_rgb(image, stored), orientation(image))
    except MemoryError:
        raise
    except Exception as error:  # as in `decode_opened`
        raise PhotoError(f"cannot be decoded ({_first_line(error)})") from error


def open_header(data: bytes) -> ImageFile.ImageFile:
    """Reads a photo's header only: format, mode and size, no pixels yet.

    Raises:
        PhotoError: if it is no photo or declares more than `MAX_PIXELS`.
    """
    if not data:
        raise PhotoError("is an empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=_formats(data))
    except UnidentifiedImageError as error:
        raise PhotoError("is not a photo") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"declares more than {MAX_PIXELS:,} pixels") from error
    except MemoryError:
        raise
    except Exception as error:  # as in `decode_opened`
        raise PhotoError(f"cannot be decoded ({_first_line(error)})") from error
    if image.width * image.height > MAX_PIXELS:
        raise PhotoError(f"declares {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
    return image


def _formats(data: bytes) -> tuple[str, ...]:
    """Which formats a file may be of; the decoder of phones' HEIC photos is loaded for the first that needs it."""
    if data[4:8] != b"ftyp":
        return FORMATS
    _register_heif()
    return BOXED


@functools.cache
def _register_heif() -> None:
    import pi_heif

    pi_heif.register_heif_opener()


def _turned(image: Image.Image, code: int) -> Image.Image:
    """Like `ImageOps.exif_transpose`, which refuses a good photo when another EXIF field is odd."""
    return image.transpose(UPRIGHT[code]) if code in UPRIGHT else image


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of a photo, 1 (upright) where there is none or it makes no sense."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd fields
            code = image.getexif().get(ExifTags.Base.Orientation, 1)
    except MemoryError:
        raise
    except Exception:  # unreadable EXIF says nothing about the pixels
        return 1
    return code if isinstance(code, int) and 1 <= code <= 8 else 1


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """How a file stores its pixels, in Pillow's words (`RGB;16B`, `I;12`), before they are loaded; "" if unknown."""
    mode = image.tile[0].args if image.tile else ""
    first = mode[0] if isinstance(mode, tuple) and mode else mode
    return first if isinstance(first, str) else ""


def _to_rgb(image: Image.Image, stored: str) -> Image.Image:
    """The photo in sRGB and on white; `stored` is its raw mode."""
    profile, key = image.info.get("icc_profile"), image.info.get("transparency")
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        colours = to_srgb(deep_to_grey(image, stored), profile)
        opaque = None if key is None else Image.fromarray(np.asarray(image) != key).convert("L")
    elif image.has_transparency_data:
        if key is not None and image.mode == "RGB" and "16" in stored:
            # Pillow keeps the high bytes of the pixels, and both of the key.
            image.info["transparency"] = tuple(value >> 8 for value in key)
        whole = image.convert("RGBA")
        colours, opaque = to_srgb(whole.convert("RGB"), profile), whole.getchannel("A")
    else:
        colours, opaque = to_srgb(image, profile), None
    return colours if opaque is None else Image.composite(colours, Image.new("RGB", colours.size, "white"), opaque)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
