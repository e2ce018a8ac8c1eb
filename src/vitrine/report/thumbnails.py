"""Small JPEGs embedded in pages as data URIs."""

import base64
import io
import warnings

from PIL import Image, ImageOps

from vitrine import files
from vitrine.errors import InputError

MAX_PIXELS = 50_000_000  # larger photos are named, not opened: a page must not fall to a decompression bomb


def thumbnail(uri: str, size: int = 112) -> str | None:
    """A photo as a data URI that fits `size` x `size` pixels, or None if it cannot be shown."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(files.read_bytes(uri)))
            if image.width * image.height > MAX_PIXELS:
                return None
            image.draft("RGB", (size * 2, size * 2))
            small = ImageOps.exif_transpose(image).convert("RGB")
        small.thumbnail((size, size))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=82)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, InputError):
        return None
    return data_uri(buffer.getvalue(), "image/jpeg")


def data_uri(data: bytes, mime: str) -> str:
    """Bytes as a `data:` URI."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
