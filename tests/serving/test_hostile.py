"""Requests that mean harm, or make none of sense: each is a 4xx in words, and the next request is answered."""

import io
import struct
import time
import zlib

import httpx
import numpy as np
import pytest
from PIL import Image
from serving.conftest import running, spoken_to

from vitrine.serving.limits import Limits
from vitrine.serving.run import Plan

LIMITS = Limits(
    photo_bytes=1 << 20, request_bytes=2 << 20, waiting_bytes=3 << 20, pixels=4_000_000, photos=4, body_seconds=4
)


@pytest.fixture(scope="module")
def strict(made):
    with running(Plan(models=[str(made.other), str(made.authenticity)], index=made.index, limits=LIMITS)) as client:
        yield client


@pytest.fixture(autouse=True)
def _the_next_request_is_fine(strict):
    """After each: bytes of clients that are gone are given back as their connections are seen to close."""
    yield
    for _ in range(100):
        answer = strict.post("/predict", content=SOUND, headers={"Content-Type": "image/jpeg"})
        if answer.status_code == 200:
            break
        time.sleep(0.1)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["answers"]) == 1


def encoded(kind, size=(40, 30), **options):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


SOUND = encoded("JPEG")


def png(width, height, body=b"", bits=8, kind=2):
    """A PNG that declares a size, with whatever pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def gif(width, height):
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", width, height, 0, 0, 0)
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, width, height, 0)
    )


def photos():
    """Over a hundred kinds of photos that are none, or too large."""
    found = {
        "empty": b"", "one byte": b"\xff", "text": b"hello", "html": b"<script>alert(1)</script>" * 50,
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "zip": b"PK\x03\x04" + bytes(100),
        "pickle": b"\x80\x04\x95" + bytes(50), "zeros": bytes(10_000), "pdf": b"%PDF-1.7\n" + bytes(99),
        "60k x 60k png": png(60_000, 60_000), "a png of 2**31": png(2**31 - 1, 2**31 - 1),
        "png of no width": png(0, 5), "thin png": png(1, 4_000_001), "wide png": png(4_000_001, 1),
        "a png of one byte a pixel": png(2001, 2000, bytes(2001 * 2001), kind=0),
        "gif of 65535": gif(65535, 65535), "gif without pixels": gif(5, 5), "png without pixels": png(9, 9),
        "bmp of 2 GB": b"BM" + struct.pack("<IHHI", 2**31 - 1, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 30000, 30000, 1, 24, 0, 0, 0, 0, 0, 0),
        "tiff that points at itself": b"II*\x00\x08\x00\x00\x00\x01\x00" + b"\x00\x01\x04\x00\x01\x00\x00\x00\x08\x00\x00\x00" + b"\x08\x00\x00\x00",
        "heic that is cut": b"\x00\x00\x00\x18ftypheic" + bytes(12),
        "avif that is cut": b"\x00\x00\x00\x18ftypavif" + bytes(12),
        "jpeg 2000 that is cut": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(20),
        "jpeg of 65500 x 65500": b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xdc\xff\xdc\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xd9",
        "too many bytes": encoded("PNG", (700, 600)),
    }  # fmt: skip
    for kind, options in (
        ("JPEG", {}),
        ("PNG", {}),
        ("WEBP", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("JPEG2000", {}),
    ):
        whole = encoded(kind, **options)
        for share in (0.02, 0.1, 0.3, 0.6, 0.9):
            found[f"{kind} cut at {share}"] = whole[: int(len(whole) * share)]
        found[f"{kind} behind rubbish"] = b"rubbish" + whole
        random = np.random.default_rng(1)
        for i in range(4):
            spoilt = bytearray(whole[:24])  # the head, where a reader finds sizes and offsets
            for place in random.integers(2, 24, 12):
                spoilt[place] = random.integers(0, 256)
            found[f"{kind} with a spoilt head {i}"] = bytes(spoilt) + whole[24 : len(whole) // 2]
    return found


PHOTOS = photos()
TOLERATED = {name for name in PHOTOS if "GIF" in name or "BMP" in name}  # decoders may show what is left of a photo


@pytest.mark.parametrize("name", PHOTOS)
def test_photos(strict, name):
    answer = strict.post("/predict", content=PHOTOS[name], headers={"Content-Type": "image/png"})
    assert 400 <= answer.status_code < 500 or (name in TOLERATED and answer.status_code == 200), answer.text
    if answer.status_code != 200:
        said = answer.json()["error"]
        assert said
        assert "\n" not in said
        assert len(said) < 300


FORM = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="photos"; filename="a.png"\r\n\r\n'
BODIES = {
    "no boundary": ("multipart/form-data", b"x", 400),
    "an endless boundary": ("multipart/form-data; boundary=" + "x" * 5000, b"x", 400),
    "no parts": (FORM, b"", 400),
    "rubbish for a form": (FORM, b"rubbish", 400),
    "a form that is cut": (FORM, PART + b"abc", 400),
    "a part without a name": (FORM, b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n", 400),
    "a part without headers": (FORM, b"--x\r\n\r\nabc\r\n--x--\r\n", 400),
    "headers that do not end": (FORM, b"--x\r\nA: " + b"b" * 100_000 + b"\r\n\r\nabc\r\n--x--\r\n", 400),
    "a header without a colon": (FORM, b"--x\r\nabc\r\n\r\nabc\r\n--x--\r\n", 400),
    "a thousand parts": (FORM, (PART + b"abc\r\n") * 1000 + b"--x--\r\n", 413),
    "five photos": (FORM, (PART + b"abc\r\n") * 5 + b"--x--\r\n", 413),
    "a field of a megabyte": (FORM, b'--x\r\nContent-Disposition: form-data; name="top"\r\n\r\n' + b"9" * 1_000_000 + b"\r\n--x--\r\n", 400),
    "a name of binary": (FORM, b'--x\r\nContent-Disposition: form-data; name="\xff\xfe"; filename="\xff\x00\n"\r\n\r\nabc\r\n--x--\r\n', 400),
    "deep json": ("application/json", b'{"photos":' + b"[" * 200_000, 400),
    "closed deep json": ("application/json", b"[" * 50_000 + b"]" * 50_000, 400),
    "a json number without end": ("application/json", b'{"top": ' + b"9" * 100_000 + b"}", 400),
    "json in another character set": ("application/json", b"\xff\xfe\x00\x00", 400),
    "half a character": ("application/json", b'{"photos": [], "model": "\\ud800"}', 400),
    "photos that are none": ("application/json", b'{"photos": {"a": 1}}', 400),
    "a photo that is a number": ("application/json", b'{"photos": [7]}', 400),
    "an option that is a list": ("application/json", b'{"photos": [], "top": []}', 400),
    "xml": ("text/xml", b"<a/>", 415),
    "no type": ("", b"abc", 415),
    "a type of rubbish": ("; = ;;", b"abc", 415),
    "urlencoded": ("application/x-www-form-urlencoded", b"photos=abc", 415),
}  # fmt: skip


@pytest.mark.parametrize("route", ["/predict", "/search", "/verify"])
@pytest.mark.parametrize("name", BODIES)
def test_bodies(strict, name, route):
    kind, body, status = BODIES[name]
    answer = strict.post(route, content=body, headers={"Content-Type": kind.encode()} if kind else {})
    assert answer.status_code == status, answer.text
    assert len(answer.json()["error"]) < 300


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/predict?top=0", 400), ("/predict?top=-1", 400), ("/predict?top=1e3", 400), ("/predict?top=" + "9" * 500, 400),
        ("/predict?top=00000000599999", 400), ("/search?k=000000000000000000201", 400), ("/search?k=0000000002", 200),
        ("/predict?top=%C2%B2", 400), ("/predict?top=", 400), ("/search?k=201", 400), ("/search?k=0", 400),
        ("/predict?model=../../etc", 404), ("/predict?model=%00", 404), ("/search?category=%00", 400),
        ("/v2/models/..%2f..%2fetc/infer", 404), ("/v2/models/taxonomy/versions/%00/infer", 404),
        ("/static/..%2fapp.py", 404), ("/nothing", 404),
    ],
)  # fmt: skip
def test_addresses(strict, path, status):
    answer = strict.post(path, content=encoded("PNG"), headers={"Content-Type": "image/png"})
    assert answer.status_code == status, answer.text


def test_sources_are_not_served(strict):
    for name in ("app.py", "..%2fapp.py", "../app.py", "%2e%2e/app.py", "docs.html.j2"):
        assert strict.get(f"/static/{name}").status_code == 404


def raw(client, data, wait=30):
    """What the server says to bytes, until it closes or a while is over."""
    with spoken_to(client.port) as connection:
        connection.settimeout(wait)
        connection.sendall(data)
        said = b""
        try:
            while part := connection.recv(65536):
                said += part
                if b"\r\n\r\n" in said and b'"}' in said:
                    break
        except TimeoutError:
            pass
        return said


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b"Content-Length: 1073741824\r\n\r\n", b"413"),
        (HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n", b"4"),
        (HEAD + b"Content-Length: 000000000000000001073741824\r\n\r\n", b"413"),
        (HEAD + b"Content-Length: -5\r\n\r\n", b"400"),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", b"415"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"80000\r\n" + bytes(0x80000) + b"\r\n80000\r\n" + bytes(0x80000) + b"\r\n"
         + b"80000\r\n" + bytes(0x80000) + b"\r\n80001\r\n" + bytes(0x80001) + b"\r\n", b"413"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"rubbish\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50), b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"4"),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"400"),
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc", b"4"),
        (HEAD + b"Content-Length: 3x\r\n\r\nabc", b"400"),
        (HEAD + b"X: \x00\r\nContent-Length: 3\r\n\r\nabc", b"400"),
        (b"POST /predict HTTP/1.1\r\nHost x\r\n\r\n", b"400"),
        (b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", b"4"),
        (b"DELETE /models HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
        (b"GET /predict HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
        (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"4"),
        (HEAD + b"X: " + b"a" * 200_000 + b"\r\nContent-Length: 3\r\n\r\nabc", b"4"),
        (HEAD + b"".join(b"X-%d: a\r\n" % i for i in range(20_000)) + b"Content-Length: 3\r\n\r\nabc", b"4"),
        (HEAD + b"Expect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n", b"4"),
    ],
)  # fmt: skip
def test_raw_bytes(strict, data, status):
    assert raw(strict, data).startswith(b"HTTP/1.1 " + status)


def test_slow_senders_are_let_go(strict):
    started = time.monotonic()
    assert raw(strict, HEAD + b"Content-Length: 1000\r\n\r\nab").startswith(b"HTTP/1.1 408")
    assert raw(strict, b"POST /predict HTTP/1.1\r\nHost").startswith(b"HTTP/1.1 408")
    assert raw(strict, b"").startswith(b"HTTP/1.1 408")
    again = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with spoken_to(strict.port) as connection:  # a second request that never ends, on a connection that served one
        connection.sendall(again)
        assert b'{"live":true}' in connection.recv(65536)
        connection.sendall(again[:20])
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - started < 40


def test_many_bodies_at_once_are_bounded_together(strict):
    held = []
    try:
        for _ in range(2):
            connection = spoken_to(strict.port)
            held.append(connection)
            connection.__enter__().sendall(HEAD + b"Content-Length: 1900000\r\n\r\n" + bytes(1_500_000))
        time.sleep(0.3)
        answer = httpx.post(
            strict.base_url.join("/predict"), content=bytes(500_000), headers={"Content-Type": "image/png"}
        )
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
    finally:
        for connection in held:
            connection.__exit__(None, None, None)
