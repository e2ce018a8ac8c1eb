"""The photos and options of a request, in any of the forms that a client may send them in."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from vitrine.catalog.photos import PhotoError, decode_opened, open_header
from vitrine.serving.limits import Limits, RefusedError, whole_number
from vitrine.untrusted import parse_json, printable

MAX_OPTION = 1000  # characters of an option, and of a file's name
MAX_PARTS = 200
MAX_HEADER = 8192  # bytes of a part's headers


@dataclass(frozen=True)
class Photo:
    """One photo as it was sent: its name, and its bytes."""

    name: str
    data: bytes


@dataclass
class Upload:
    """What a request brings."""

    photos: list[Photo] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)

    def number(self, name: str, default: int, most: int) -> int:
        """An option that is a whole number from 1 to `most`.

        Raises:
            RefusedError: if it is not.
        """
        text = self.options.get(name, str(default))
        number = whole_number(text)
        if not 1 <= number <= most:
            raise RefusedError(400, f"{name}={text[:40]!r}: a whole number from 1 to {most} is needed")
        return number

    def flag(self, name: str) -> bool:
        """An option that is on or off."""
        return self.options.get(name, "").lower() in ("1", "true", "yes", "on")


def read_upload(body: bytes, content_type: str, query: Mapping[str, str], limits: Limits) -> Upload:
    """The photos and options of a request.

    A body is multipart/form-data (files are photos, other fields options), one photo as it is (`image/...`), or JSON:
    `{"photos": ["<base64>", {"name": "a.jpg", "data": "<base64>"}], "top": 3}`. Options may stand in the query too.

    Raises:
        RefusedError: if the body is none of these, or holds more than the limits allow.
    """
    kind, parameters = parse_options_header(content_type)
    if kind == b"multipart/form-data":
        upload = _multipart(body, parameters.get(b"boundary", b""))
    elif kind == b"application/json":
        upload = _json(body)
    elif kind.startswith(b"image/") or kind == b"application/octet-stream":
        upload = Upload([Photo("photo", body)] if body else [])
    elif not body:
        upload = Upload()
    else:
        kind_shown = printable(kind.decode("latin-1"))[:80] or "no content type"
        raise RefusedError(415, f"{kind_shown}: send multipart/form-data, a photo as image/..., or application/json")
    options = {name: value for name, value in query.items() if len(value) <= MAX_OPTION}
    upload.options = options | upload.options
    limits.check_count(len(upload.photos))
    for photo in upload.photos:
        limits.check_photo(photo.name, photo.data)
    return upload


def decoded(data: bytes, limits: Limits, near: int) -> Image.Image:
    """A photo from bytes, at least `near` pixels wide and high if it has them.

    Raises:
        PhotoError: if it is none, or declares more pixels than the limits allow; these are not decoded.
    """
    image = open_header(data)
    if image.width * image.height > limits.pixels:
        raise PhotoError(f"declares {image.width} x {image.height} pixels, more than {limits.pixels:,}")
    return decode_opened(image, data, near)


def from_base64(text: str) -> bytes:
    """The bytes that base64 stands for, with or without `data:image/...;base64,` before it.

    Raises:
        RefusedError: if it is none.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise RefusedError(400, "a photo that is neither binary nor base64") from error


def json_object(data: bytes, what: str) -> dict[str, Any]:
    """What JSON says, which must be an object.

    Raises:
        RefusedError: if it is none.
    """
    try:
        value = parse_json(data)
    except ValueError as error:
        raise RefusedError(400, f"{what} is no JSON ({' '.join(str(error).split())[:200]})") from error
    if not isinstance(value, dict):
        raise RefusedError(400, f"{what} is no JSON object")
    return value


def _json(body: bytes) -> Upload:
    asked = json_object(body, "the body")
    photos = asked.pop("photos", [])
    if not isinstance(photos, list):
        raise RefusedError(400, "photos: a list is needed")
    upload = Upload()
    for place, photo in enumerate(photos):
        one = {"data": photo} if isinstance(photo, str) else photo
        if not isinstance(one, dict) or not isinstance(one.get("data"), str):
            raise RefusedError(400, f"photos[{place}]: base64, or an object with its base64 as data, is needed")
        upload.photos.append(Photo(_name(one.get("name"), place), from_base64(one["data"])))
    for name, value in asked.items():
        upload.options[name] = _option(name, value)
    return upload


def _option(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else ""
    if not isinstance(value, str | int | float) or len(str(value)) > MAX_OPTION:
        raise RefusedError(400, f"{printable(name)[:40]}: a text or a number is needed")
    return str(value)


def _name(name: Any, place: int) -> str:
    """What a photo is called in the answer: the last part of its name, harmless to show."""
    if not isinstance(name, str) or not name:
        return f"photo {place}"
    return printable(name.replace("\\", "/").rpartition("/")[2])[:MAX_OPTION] or f"photo {place}"


class _Parts:
    """What python-multipart calls while it reads a body."""

    def __init__(self) -> None:
        self.parts: list[tuple[bytes, bytearray]] = []  # Content-Disposition, data
        self._field = bytearray()
        self._value = bytearray()
        self._disposition = b""

    def begin(self) -> None:
        if len(self.parts) == MAX_PARTS:
            raise RefusedError(413, f"more than {MAX_PARTS} parts")
        self.parts.append((b"", bytearray()))
        self._disposition = b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._add(self._field, data[start:end])

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._add(self._value, data[start:end])

    def header_end(self) -> None:
        if bytes(self._field).lower() == b"content-disposition":
            self.parts[-1] = (bytes(self._value), self.parts[-1][1])
        self._field, self._value = bytearray(), bytearray()

    def data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1][1].extend(memoryview(data)[start:end])

    @staticmethod
    def _add(text: bytearray, more: bytes) -> None:
        text.extend(more)
        if len(text) > MAX_HEADER:
            raise RefusedError(400, "a part with headers that do not end")


def _multipart(body: bytes, boundary: bytes) -> Upload:
    parts, ended = _Parts(), []
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.header_field,
                "on_header_value": parts.header_value,
                "on_header_end": parts.header_end,
                "on_part_data": parts.data,
                "on_end": lambda: ended.append(True),
            },
        )
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise RefusedError(400, f"the form cannot be read ({' '.join(str(error).split())[:200]})") from error
    if not ended:
        raise RefusedError(400, "the form is cut short")
    upload = Upload()
    for disposition, data in parts.parts:
        kind, disposition_options = parse_options_header(disposition)
        if kind != b"form-data" or b"name" not in disposition_options:
            raise RefusedError(400, "the form has a part without a name")
        if b"filename" in disposition_options:
            name = disposition_options[b"filename"].decode("utf-8", "replace")
            if name or data:  # a browser sends an empty part for a field without a file
                upload.photos.append(Photo(_name(name, len(upload.photos)), bytes(data)))
        elif len(data) > MAX_OPTION:
            raise RefusedError(
                400, f"{printable(disposition_options[b'name'].decode('utf-8', 'replace'))[:40]}: too long"
            )
        else:
            upload.options[disposition_options[b"name"].decode("utf-8", "replace")] = data.decode("utf-8", "replace")
    return upload
