"""One photo laid over another: where it comes to lie, how much brighter it is, what has been put on it, what is left.

Both photos are squares of `SIDE` pixels. The second is laid over the first by an affine map that maximises their
correlation (Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient
maximization", 2008), brightness or contrast is made up for, a small mark near the rim is left out, and what differs in
detail and in the colours of blocks is measured.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 64
COARSE = 32
BLOCKS = 8  # a side
RIM, FRAMED_RIM = 2, 4  # pixels that are not judged: of a whole photo, and of what lies in a border or was cropped
SAME_ZOOM = 0.95  # below, the photo that shows a thing larger shows more of it
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
UPRIGHT = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)
CORNERS = np.array([[0, SIDE, 0, SIDE], [0, 0, SIDE, SIDE], [1, 1, 1, 1]], dtype=np.float32)
LEAST_SEEN = 900  # pixels that both must show
STEPS = {COARSE: 20, SIDE: 10}
FARTHEST = 12  # pixels that a corner may lie from where it was guessed: an affine map may also mirror
CLOSE = 0.02  # detail left at which nothing better is sought
HOPELESS = 0.27  # detail left at the coarse size
FAR = 0.2  # detail left at which a pair is not looked at any further
NEARLY_WHITE, NEARLY_BLACK = 247, 3
EVERY = 3  # pixel tells how bright or colourful a photo is
GREY, COLOURED = 1.5, 4.0  # levels by which the colours of a grey photo may differ, and from which on one has colour
SAME_MEAN = 0.5  # levels
MARKED = 0.06  # share of the pixels that a mark may cover
LIT = 0.03  # change of gain from which on a photo is brighter or has more contrast
TEXTURE = 2.0  # deviation of a block's detail from which on it shows something
ODD, SLIGHTLY_ODD = 16.0, 3.0  # levels by which blocks under a mark differ, if their detail is the same or not
UNLIKE = 0.93  # correlation of fine detail, at best, below which photos show other things
STRANGE = 0.6  # correlation of a block's detail below which it is another
MOST_STRANGERS = 0.12  # share of the textured blocks, less a mark
LARGEST_MARK, LARGEST_BOX = 10, 12  # blocks, of 64
OWN_DETAIL = 0.8  # correlation below which a block under a mark has detail of its own
TINY_MARK, MUCH = 2, 45  # blocks of a mark that need no detail of its own where so many blocks show something
LEAST_BESIDE = 6  # textured blocks beside a mark
BAND = 3  # blocks from the rim that a mark lies in

Plane = NDArray[np.float32]  # (SIDE, SIDE)
Photo = NDArray[np.float32]  # (SIDE, SIDE, 3), RGB, 0..255
Warp = NDArray[np.float32]  # (2, 3): where a pixel of the first lies in the second


@dataclass(frozen=True)
class Alignment:
    """How two photos lie over each other, and what is left.

    Attributes:
        moved: Pixels of `SIDE` by which a corner is moved.
        seen: Shares of the first and of the second photo that the other shows.
        plain: Grey levels by which the rest of each differs from one colour.
        swapped: Whether the second is the fainter of the two, which was made like the other.
        gain: By which the fainter one's levels were multiplied,
        offset: and what was added to them.
        grey: Whether one has no colour, so that grey levels were compared.
        mark: Left, top, right, bottom of a mark on one of them, in shares of the first; None without one.
        detail: What is left of fine detail, 0 to 0.5.
        correlation: Of fine detail.
        strangers: Share of the textured blocks whose detail is another.
        textured: Blocks that show something.
        usual: Levels by which a block with something in it usually differs in its colour.
        luma: Largest difference of a block's luma, in units of what the steepness of its edges explains.
        colour: The same of its colours, in units of that and of what is usual in this pair.
    """

    moved: float
    seen: tuple[float, float]
    plain: tuple[float, float]
    swapped: bool
    gain: float
    offset: float
    grey: bool
    mark: tuple[float, float, float, float] | None
    detail: float
    correlation: float
    strangers: float
    textured: int
    usual: float
    luma: float
    colour: float

    @property
    def lit(self) -> bool:
        """Whether one is brighter or has more contrast."""
        return abs(self.gain - 1) > LIT


class _Try(NamedTuple):
    """Two photos and how the second may lie over the first; see `_detail` for what they show."""

    first: Photo
    second: Photo
    warp: Warp
    left: float
    seen: Plane
    fine: Plane
    other_fine: Plane


def aligned(first: Photo, second: Photo, start: Warp) -> Alignment | None:
    """Lays one photo over another, from a first guess of where it lies and from lying as it is.

    Returns:
        None where that is hopeless.
    """
    framed = np.abs(start - UPRIGHT).max() >= 0.01
    rim = FRAMED_RIM if framed else RIM
    tried: list[_Try] = []
    for guess in [start, UPRIGHT] if framed else [UPRIGHT]:
        tried += _tries(*_as_sharp(first, second, guess), guess, rim, rim if framed else 0)
        if tried[-1].left < CLOSE:
            break
    best = min(tried, key=lambda each: each.left)
    if best.left > FAR:
        return None
    alignment = _measured(best, rim)
    if alignment is not None and alignment.lit and alignment.moved:
        # Levels that were clipped pull a photo aside: one in its place that is nearly as good is where it lies.
        for each in tried:
            if each.warp is UPRIGHT and each.left <= FAR:
                return _measured(each, rim)
    return alignment


def start_of(first: Sequence[float], second: Sequence[float]) -> Warp:
    """The map that lays a frame of one photo over a frame of another: left, top, right, bottom in shares, (4,) each."""
    one, other = np.asarray(first, dtype=np.float32), np.asarray(second, dtype=np.float32)
    zoom = (other[2:] - other[:2]) / (one[2:] - one[:2])
    shift = (other[:2] - one[:2] * zoom) * SIDE + (zoom - 1) / 2
    return np.array([[zoom[0], 0, shift[0]], [0, zoom[1], shift[1]]], dtype=np.float32)


def _as_sharp(first: Photo, second: Photo, start: Warp) -> tuple[Photo, Photo]:
    """Both photos, the one that shows a thing larger made as soft as the other."""
    zoom = float(np.sqrt(start[0, 0] * start[1, 1]))
    if zoom < SAME_ZOOM:
        return _softened(first, zoom), second
    if zoom > 1 / SAME_ZOOM:
        return first, _softened(second, 1 / zoom)
    return first, second


def _tries(first: Photo, second: Photo, guess: Warp, rim: int, masked: int) -> list[_Try]:
    """One photo laid over another as guessed, and as well as it can be from there."""
    greys = first @ LUMA, second @ LUMA

    def tried(warp: Warp) -> _Try:
        return _Try(first, second, warp, *_detail(*greys, warp, rim))

    tries = [tried(guess)]
    if tries[0].left < CLOSE:
        return tries
    small = [cv2.resize(grey, (COARSE, COARSE), interpolation=cv2.INTER_AREA) for grey in greys]
    coarse = _improved(small[0], small[1], _scaled(guess, COARSE / SIDE), masked)
    astray = np.abs((_scaled(coarse, SIDE / COARSE) - guess) @ CORNERS).max() > FARTHEST
    if not astray and _detail(small[0], small[1], coarse, rim)[0] <= HOPELESS:
        tries.append(tried(_improved(*greys, _scaled(coarse, SIDE / COARSE), masked)))
        if not masked and tries[-1].left <= FAR:  # corners that a turn left blank mislead
            tries.append(tried(_improved(*greys, tries[-1].warp, rim)))
    return tries


def _softened(photo: Photo, zoom: float) -> Photo:
    """A photo that shows no more than at a fraction of its size."""
    side = max(BLOCKS, round(SIDE * zoom))
    small = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))


def _scaled(warp: Warp, factor: float) -> Warp:
    """A map for photos of another size; pixels are places of their centres."""
    half = warp[:, :2].sum(axis=1) / 2
    return np.column_stack([warp[:, :2], (warp[:, 2] + 0.5 - half) * factor - 0.5 + half]).astype(np.float32)


def _improved(first: Plane, second: Plane, warp: Warp, rim: int) -> Warp:
    side = len(first)
    rim = rim * side // SIDE
    inner = np.zeros((side, side), np.uint8)
    inner[rim : side - rim, rim : side - rim] = 1
    shown = cv2.warpAffine(inner, warp, (side, side), flags=cv2.INTER_NEAREST)  # not the border around it
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, STEPS[len(first)], 1e-4)
    try:
        return cv2.findTransformECC(first, second, warp.copy(), cv2.MOTION_AFFINE, criteria, shown, 3)[1]
    except cv2.error:  # nothing correlates
        return warp


def _laid(plane: Plane, warp: Warp) -> Plane:
    side = plane.shape[:2]
    return np.asarray(cv2.warpAffine(plane, warp, side, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))


def _seen(side: int, warp: Warp, rim: int) -> Plane:
    """1 where the second photo shows what the first does, less a rim."""
    inside = (_laid(np.ones((side, side), np.float32), warp) > 0.99).astype(np.uint8)
    seen = cv2.erode(inside, np.ones((3, 3), np.uint8), borderValue=1).astype(np.float32)
    rim = rim * side // SIDE
    seen[:rim] = seen[-rim:] = seen[:, :rim] = seen[:, -rim:] = 0
    return seen


def _detail(first: Plane, second: Plane, warp: Warp, rim: int) -> tuple[float, Plane, Plane, Plane]:
    """What is left of fine detail, the pixels that both show, and the detail of both."""
    seen = _seen(len(first), warp, rim)
    count = float(seen.sum())
    if count * (SIDE / len(first)) ** 2 < LEAST_SEEN:
        return 1.0, seen, first, first
    one, other = _bands(first, _laid(second, warp), seen)
    unit = [band / max(math.sqrt(cv2.norm(band, cv2.NORM_L2SQR) / count), 0.5) for band in (one, other)]
    return float(cv2.sumElems(np.minimum(cv2.absdiff(unit[0], unit[1]), 0.5))[0]) / count, seen, one, other


def _bands(one: Plane, other: Plane, seen: Plane) -> tuple[Plane, Plane]:
    """Structure of a few pixels' size of two planes, which neither noise nor light changes much."""
    held = cv2.merge([cv2.multiply(one, seen), cv2.multiply(other, seen), seen])
    scale = len(seen) / SIDE
    levels = []
    for sigma in (1.0, 4.0):
        first, second, weight = cv2.split(cv2.GaussianBlur(held, (0, 0), sigma * scale))
        weight = cv2.max(weight, 1e-3)
        levels.append((cv2.divide(first, weight), cv2.divide(second, weight)))
    fine, coarse = levels
    bands = [cv2.multiply(cv2.subtract(*pair), seen) for pair in zip(fine, coarse, strict=True)]
    return np.asarray(bands[0]), np.asarray(bands[1])


def _measured(tried: _Try, rim: int) -> Alignment | None:
    first, second, warp, detail, seen, fine, other_fine = tried
    pixels = _block_sums(seen)
    judged = pixels >= 0.4 * (SIDE // BLOCKS) ** 2
    powers = [_block_sums(product) for product in (fine * fine, other_fine * other_fine, fine * other_fine)]
    textured = ((powers[0] + powers[1]) / 2 > TEXTURE**2 * (SIDE // BLOCKS) ** 2) & judged
    likeness = np.where(textured, powers[2] / np.maximum(np.sqrt(powers[0] * powers[1]), 1e-6), 1)
    if (likeness < STRANGE).sum() > LARGEST_MARK + MOST_STRANGERS * textured.sum():
        return None
    if _correlation_at_best(powers, judged) < UNLIKE:
        return None
    laid = _laid(second, warp)
    both = seen > 0
    covered = cv2.warpAffine(np.ones((SIDE, SIDE), np.float32), warp, (SIDE, SIDE)) > 0.5
    target, source, swapped = first, laid, True
    colours = sorted((_colour(laid[both]), _colour(first[both])))
    grey = colours[0] <= GREY and colours[1] > COLOURED
    if grey:
        target, source = (np.repeat((photo @ LUMA)[..., None], 3, axis=2) for photo in (target, source))
    mean = float((second @ LUMA).mean())
    gain, offset = _tone(source, target, both, mean)
    if gain < 1:
        target, source, swapped = source, target, False
        mean = float((first @ LUMA).mean())
        gain, offset = _tone(source, target, both, mean)
    difference = (np.clip(gain * source + offset, 0, 255) - target) * seen[..., None]
    means = np.where(judged[..., None], _block_sums(difference) / np.maximum(pixels, 1)[..., None], 0)
    luma, colour = np.abs(means @ LUMA), np.abs(means).max(axis=2)
    grey_levels = target @ LUMA
    slope = sum(np.abs(cv2.Sobel(grey_levels, cv2.CV_32F, *axis, scale=0.125)) for axis in ((1, 0), (0, 1)))
    steepness = _block_sums(slope) / (SIDE // BLOCKS) ** 2
    box = _mark(judged & ((colour > ODD) | ((likeness < STRANGE) & (colour > SLIGHTLY_ODD))), likeness, textured)
    mark = None
    if box is not None:
        left, top, right, bottom = box
        mark = left / BLOCKS, top / BLOCKS, right / BLOCKS, bottom / BLOCKS
        judged = judged.copy()
        judged[top:bottom, left:right] = False
    textured &= judged
    content = judged & (steepness > 1)
    usual = float(np.median(colour[content])) if content.any() else 0.0
    squares = np.sqrt(powers[0][judged].sum() * powers[1][judged].sum())
    luma_units, colour_units = 2 + 0.25 * steepness, 3 + 0.25 * steepness + 2 * usual
    return Alignment(
        moved=float(np.abs((warp - UPRIGHT) @ CORNERS).max()),
        seen=(float(seen.sum()) / (SIDE - 2 * rim) ** 2, float(covered.mean())),
        plain=(_unevenness(first, both, 7), _unevenness(second, covered, 5)),
        swapped=swapped,
        gain=gain,
        offset=offset,
        grey=grey,
        mark=mark,
        detail=detail,
        correlation=float(powers[2][judged].sum() / max(squares, 1e-6)),
        strangers=float((likeness[textured] < 0.7).mean()) if textured.any() else 1.0,
        textured=int(textured.sum()),
        usual=usual,
        luma=float((luma / luma_units)[judged].max(initial=0)),
        colour=float((colour / colour_units)[judged].max(initial=0)),
    )


def _correlation_at_best(powers: list[NDArray[np.float32]], judged: NDArray[np.bool_]) -> float:
    """No mark that is left out makes the correlation of fine detail better than without the worst blocks."""
    one, other, both = (power[judged] for power in powers)
    kept = np.argsort((one + other) / 2 - both)[: max(len(both) - LARGEST_BOX, 1)]
    return float(both[kept].sum() / max(math.sqrt(float(one[kept].sum()) * float(other[kept].sum())), 1e-6))


def _block_sums(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    means = cv2.resize(plane, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    return np.asarray(means) * np.float32((SIDE // BLOCKS) ** 2)


def _colour(pixels: NDArray[np.float32]) -> float:
    """By how much red, green and blue differ, but for 2 pixels in 100."""
    pixels = pixels[::EVERY]
    return float(np.percentile(pixels.max(axis=1) - pixels.min(axis=1), 98))


def _unevenness(photo: Photo, shown: NDArray[np.bool_], reach: int) -> float:
    """By how many levels what is not shown differs from one colour on average; 0 where it is hardly anything."""
    rest = photo[cv2.dilate(shown.astype(np.uint8), np.ones((reach, reach), np.uint8)) == 0]
    return float(np.abs(rest - np.median(rest, axis=0)).mean(axis=0).max()) if len(rest) > 20 else 0.0


def _tone(source: Photo, target: Photo, both: NDArray[np.bool_], mean: float) -> tuple[float, float]:
    """The gain and offset, of brightness (about black) or contrast (about the mean), that make a photo like another.

    A sibling in another shade has neither: its ground stays as it was.

    Args:
        source: The fainter of both.
        target: The other.
        both: The pixels that both show.
        mean: Grey level of all of the fainter, its rim included.
    """
    one, other = (source[both][::EVERY] @ LUMA), (target[both][::EVERY] @ LUMA)
    means = [float(one.mean())]
    if abs(means[0] - mean) > SAME_MEAN:  # contrast was changed before the rim was cut off, or after
        means.append(mean)
    informative = ~((one > NEARLY_WHITE) & (other > NEARLY_WHITE))
    one, other = one[informative], other[informative]
    if len(one) < 30:
        return 1.0, 0.0
    best = (1.0, 0.0)
    least = _left(one, other)
    if least < 1.5:
        return best
    for fixed in (0.0, *means):
        gain = _strength(one - fixed, other - fixed, fixed)
        offset = fixed * (1 - gain)
        left = _left(np.clip(gain * one + offset, 0, 255), other)
        if left < 0.85 * least - 0.2:
            best, least = (gain, offset), left
    return best


def _left(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """By how many levels pixels differ on average, but for those that a mark may cover."""
    away = np.abs(one - other)
    kept = round(len(away) * (1 - MARKED))
    return float(np.partition(away, kept - 1)[:kept].mean())


def _strength(one: NDArray[np.float32], other: NDArray[np.float32], fixed: float) -> float:
    """The factor that makes levels about a fixed one like others, where they are not clipped."""
    gain = 1.0
    for _ in range(4):
        made = gain * one + fixed
        live = (made < 255 - NEARLY_BLACK) & (made > NEARLY_BLACK)
        count = np.count_nonzero(live)
        if count < 30:
            break
        away = np.abs(other + fixed - np.minimum(np.maximum(made, 0), 255))
        usual = float(np.partition(away[live], count // 2)[count // 2])
        weighted = one * (live / (1 + np.square(away / max(2.0, 2 * usual))))
        gain = min(max(float(weighted @ other) / max(float(weighted @ one), 1e-3), 0.5), 2.0)
    return gain


def _mark(
    odd: NDArray[np.bool_], likeness: NDArray[np.float32], textured: NDArray[np.bool_]
) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom in blocks, a block wider all round, of a small mark near the rim; None without one.

    A mark has detail of its own. Another shade or print of the thing that is shown has that of the thing, or lies in
    the middle.
    """
    if not 0 < odd.sum() <= LARGEST_MARK:
        return None
    own = odd & (likeness < OWN_DETAIL)
    if own.any():  # blocks that lie elsewhere are no part of it, and judged
        parts = cv2.connectedComponents(odd.astype(np.uint8))[1]
        odd = np.isin(parts, np.unique(parts[own]))
    down, across = np.nonzero(odd)
    top, bottom, left, right = int(down.min()), int(down.max()) + 1, int(across.min()), int(across.max()) + 1
    near_rim = top >= BLOCKS - BAND or bottom <= BAND or left >= BLOCKS - BAND or right <= BAND
    small = (bottom - top) * (right - left) <= LARGEST_BOX
    own_detail = (likeness[odd] < OWN_DETAIL).mean() >= 0.5
    tiny = odd.sum() <= TINY_MARK and textured.sum() >= MUCH  # in a photo full of things, no shade of one
    if not (near_rim and small and (own_detail or tiny)) or (textured & ~odd).sum() < LEAST_BESIDE:
        return None
    return max(left - 1, 0), max(top - 1, 0), min(right + 1, BLOCKS), min(bottom + 1, BLOCKS)
