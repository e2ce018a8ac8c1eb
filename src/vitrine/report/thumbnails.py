"""Small JPEGs embedded in pages as data URIs."""

import base64
import io

from vitrine.catalog.photos import open_photo
from vitrine.errors import InputError


def thumbnail(uri: str, size: int = 112) -> str | None:
    """A photo as a data URI that fits `size` x `size` pixels, or None if it cannot be shown."""
    try:
        image = open_photo(uri, near=size)
    except InputError:
        return None
    image.thumbnail((size, size))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return data_uri(buffer.getvalue(), "image/jpeg")


def data_uri(data: bytes, mime: str) -> str:
    """Bytes as a `data:` URI."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
