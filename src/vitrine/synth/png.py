"""PNG files byte by byte, uncompressed: zlib's output differs between its builds, stored blocks do not."""

import struct
import zlib

GREY, RGB = 0, 2
_BLOCK = 0xFFFF


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _stored(data: bytes) -> bytes:
    blocks = [data[at : at + _BLOCK] for at in range(0, len(data), _BLOCK)] or [b""]
    body = b"".join(
        struct.pack("<BHH", i == len(blocks) - 1, len(block), len(block) ^ _BLOCK) + block
        for i, block in enumerate(blocks)
    )
    return b"\x78\x01" + body + struct.pack(">I", zlib.adler32(data))


def png(width: int, height: int, pixels: bytes, colour: int = RGB, depth: int = 8) -> bytes:
    """A PNG file of this declared size.

    Args:
        width: declared width in pixels.
        height: declared height in pixels.
        pixels: the rows' samples, big endian, without filter bytes; fewer than declared make a file that lies.
        colour: `GREY` or `RGB`.
        depth: bits per sample, 8 or 16.
    """
    stride = width * (3 if colour == RGB else 1) * depth // 8
    lines = b"".join(b"\0" + pixels[at : at + stride] for at in range(0, len(pixels), stride))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + _chunk(b"IHDR", header) + _chunk(b"IDAT", _stored(lines)) + _chunk(b"IEND", b"")
