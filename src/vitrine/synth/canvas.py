"""Deterministic drawing on a square of 1000 x 1000 units.

Every number here comes from integer tables or from IEEE additions, multiplications and divisions, and every pixel from
Pillow's scalar code, so that a picture has the same bytes on every processor: no sine, no exponential, no system font.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Point = tuple[float, float]
Segment = tuple[float, ...]
Colour = tuple[int, int, int]

SIZE = 320  # pixels of a drawing's side: about three times what a photo shows of it
CURVE_STEPS = 10


def path(start: Point, *segments: Segment) -> list[Point]:
    """Points along a path: `(x, y)` goes straight there, `(cx, cy, x, y)` by a quadratic curve pulled to (cx, cy)."""
    points = [start]
    for segment in segments:
        if len(segment) == 2:
            points.append((segment[0], segment[1]))
            continue
        cx, cy, x, y = segment
        x0, y0 = points[-1]
        for step in range(1, CURVE_STEPS + 1):
            t = step / CURVE_STEPS
            a, b, c = (1 - t) * (1 - t), 2 * t * (1 - t), t * t
            points.append((a * x0 + b * cx + c * x, a * y0 + b * cy + c * y))
    return points


def mirrored(points: Sequence[Point]) -> list[Point]:
    """The points' mirror image about the vertical axis x = 500."""
    return [(1000 - x, y) for x, y in points]


def symmetric(half: Sequence[Point]) -> list[Point]:
    """A closed outline from its right half, listed from top to bottom."""
    return [*half, *reversed(mirrored(half))]


def rectangle(left: float, top: float, right: float, bottom: float) -> list[Point]:
    """An upright rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def rounded(left: float, top: float, right: float, bottom: float, radius: float) -> list[Point]:
    """A rectangle with rounded corners."""
    r = radius
    return path(
        (left + r, top),
        (right - r, top),
        (right, top, right, top + r),
        (right, bottom - r),
        (right, bottom, right - r, bottom),
        (left + r, bottom),
        (left, bottom, left, bottom - r),
        (left, top + r),
        (left, top, left + r, top),
    )


def oval(cx: float, cy: float, rx: float, ry: float) -> list[Point]:
    """An ellipse, near enough, from eight quadratic curves."""
    k, d = 0.41421, 0.70711
    ring = [(1, 0), (1, k), (d, d), (k, 1), (0, 1), (-k, 1), (-d, d), (-1, k), (-1, 0)]
    ring += [(-1, -k), (-d, -d), (-k, -1), (0, -1), (k, -1), (d, -d), (1, -k), (1, 0)]
    scaled = [(cx + rx * x, cy + ry * y) for x, y in ring]
    return path(scaled[0], *[(*scaled[i], *scaled[i + 1]) for i in range(1, 16, 2)])


def mixed(a: Colour, b: Colour, share: int) -> Colour:
    """`share` percent of b in a."""
    return (
        (a[0] * (100 - share) + b[0] * share) // 100,
        (a[1] * (100 - share) + b[1] * share) // 100,
        (a[2] * (100 - share) + b[2] * share) // 100,
    )


def luma(colour: Colour) -> int:
    """How light a colour looks, 0 to 255."""
    return (colour[0] * 299 + colour[1] * 587 + colour[2] * 114) // 1000


def ink(colour: Colour) -> Colour:
    """A line colour that shows on `colour`: darker on light cloth, lighter on dark cloth."""
    return mixed(colour, (255, 255, 255), 30) if luma(colour) < 75 else mixed(colour, (0, 0, 0), 42)


def shaded(picture: Image.Image, shade: Image.Image) -> Image.Image:
    """The picture darkened by a grey map of the same size (255 leaves a pixel as it is)."""
    return ImageChops.multiply(picture, Image.merge("RGB", (shade, shade, shade)))


_VOLUME = [min(255, 105 + value * 17 // 25) if value < 222 else 255 for value in range(256)]


class Drawing:
    """An item being drawn: its colours and the mask of what it covers."""

    def __init__(self, backdrop: Colour = (128, 128, 128), size: int = SIZE) -> None:
        self.size = size
        self.rgb = Image.new("RGB", (size, size), backdrop)
        self.alpha = Image.new("L", (size, size), 0)

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.size / 1000, y * self.size / 1000) for x, y in points]

    def mask(self, outline: Sequence[Point]) -> Image.Image:
        """Where a part of this outline would lie: 255 inside."""
        mask = Image.new("L", (self.size, self.size), 0)
        ImageDraw.Draw(mask).polygon(self._pixels(outline), fill=255)
        return mask

    def part(
        self,
        outline: Sequence[Point],
        paint: Image.Image | Colour,
        edge: Colour | None = None,
        volume: int = 12,
    ) -> None:
        """Add one piece: cloth cut to an outline, darker towards its lower right rim (`volume` pixels wide)."""
        mask = self.mask(outline)
        cloth = paint if isinstance(paint, Image.Image) else Image.new("RGB", mask.size, paint)
        if volume:
            rim = ImageChops.offset(mask, -volume // 3, -volume // 3).filter(ImageFilter.BoxBlur(volume))
            cloth = shaded(cloth, rim.point(_VOLUME))
        self.rgb.paste(cloth, (0, 0), mask)
        self.alpha.paste(255, (0, 0), mask)
        if edge is not None:
            self.line([*outline, outline[0]], edge, 6)

    def line(self, points: Sequence[Point], colour: Colour, width: float = 6) -> None:
        """A line of `width` units on what is there already."""
        pixels = max(1, int(width * self.size / 1000 + 0.5))
        ImageDraw.Draw(self.rgb).line(self._pixels(points), fill=colour, width=pixels, joint="curve")

    def strap(self, points: Sequence[Point], colour: Colour, width: float, edge: Colour | None = None) -> None:
        """A line that is itself part of the item: a strap, a handle, a lace."""
        if edge is not None:
            self.strap(points, edge, width + 10)
        self.line(points, colour, width)
        pixels = max(1, int(width * self.size / 1000 + 0.5))
        ImageDraw.Draw(self.alpha).line(self._pixels(points), fill=255, width=pixels, joint="curve")

    def stitches(
        self, points: Sequence[Point], colour: Colour, dash: float = 16, gap: float = 12, width: float = 5
    ) -> None:
        """A dashed line: a seam."""
        left, drawing = dash, True
        for (x0, y0), (x1, y1) in pairwise(points):
            dx, dy = x1 - x0, y1 - y0
            length = sqrt(dx * dx + dy * dy)
            at = 0.0
            while length - at > 1e-6:
                step = min(left, length - at)
                if drawing:
                    a, b = at / length, (at + step) / length
                    self.line([(x0 + a * dx, y0 + a * dy), (x0 + b * dx, y0 + b * dy)], colour, width)
                at += step
                left -= step
                if left <= 1e-6:
                    drawing = not drawing
                    left = dash if drawing else gap

    def spot(self, x: float, y: float, radius: float, colour: Colour, edge: Colour | None = None) -> None:
        """A disc on the item: a button, an eyelet."""
        box = self._pixels([(x - radius, y - radius), (x + radius, y + radius)])
        ImageDraw.Draw(self.rgb).ellipse([*box[0], *box[1]], fill=colour, outline=edge)
        ImageDraw.Draw(self.alpha).ellipse([*box[0], *box[1]], fill=255)

    def darken(self, shade: Image.Image) -> None:
        """Multiply the whole drawing by a grey map."""
        self.rgb = shaded(self.rgb, shade)
