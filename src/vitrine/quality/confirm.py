"""Whether the pixels of photos that look alike show one photo: the last look before a row is called a copy.

A signature cannot tell two black wallets on white apart: nearly all of its cells agree. So both photos of each pair
that may be one are decoded, reduced to what the smaller one still shows, laid one over the other and compared
(`vitrine.quality.alignment`). A copy shows the same detail and, once brightness or contrast is made up for, the same
colours, but for a small mark near its rim. Another shade, print or shape changes whole blocks.

Shades painted into one photo of a cosmetic differ by less than what a JPEG of low quality loses. Where nothing was
moved, there is a sharper look: one photo is saved as the other was, with its quantization tables. If the one was made
of the other, hardly anything is left. Numbers: docs/results/quality-planted.md.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from vitrine.catalog.photos import PhotoError, decode_opened, decode_photo, open_header, read_photo
from vitrine.errors import InputError, PassingError
from vitrine.quality.alignment import SIDE, Alignment, aligned, start_of
from vitrine.quality.pool import in_order

BLOCK = 8  # pixels a side of the blocks that `same_picture` judges
# The same picture (`same_picture`), in grey levels: the largest difference of a block's mean, that of all textured
# blocks together, and how many times the usual one the largest may be. Faint ones may be coherent, as rounding is.
UNSEEN = 2.5
FAINT_LIMIT, FAINT_TINT, FAINT_PEAK = 4.0, 1.5, 3.0
NOISE_LIMIT, NOISE_TINT, NOISE_PEAK = 10.0, 2.0, 3.6
COHERENT = 0.45  # share of the differences that block means keep: 1/8 of white noise, 1 of a shade
LOOSER = 1.4  # for photos of different sizes
PLAIN = 4.0  # deviation below which a block shows nothing
SHOWN = 16  # of the 64 blocks that must show something: shades of a lipstick on white differ by no more than noise
# A copy (`is_copy`).
CORRELATION, STRANGERS, USUAL = 0.95, 0.12, 6.0
DETAIL, MOVED_DETAIL = 0.2, 0.15
TEXTURED = 10  # blocks that must show something
CONTAINED = 0.945  # share of one photo that the other must show,
SHARED = 0.6  # and of the other that it must, unless the rest is
PLAIN_REST = 3.0  # one colour within so many levels: a border
# Pixels of SIDE by which the corners of a photo that was neither cropped nor turned may seem moved; from which on it
# may have been, if there is much to see; and else.
IN_PLACE, MOVED_RICH, MOVED = 0.8, 0.25, 0.6
LUMA_UNITS, COLOUR_UNITS, CLEAR_UNITS = 1.5, 1.05, 0.4  # of a photo in its place, and of one that is beyond doubt
# Of one that was moved: where there is little to see, and, from so many textured blocks on, where photos that fit this
# well are no others by chance.
MOVED_CORRELATION = 0.975
MOVED_LUMA, MOVED_COLOUR, RICH, RICH_LUMA, RICH_COLOUR = 1.1, 0.75, 45, 1.3, 0.95
# Levels by which patches of PATCH pixels may differ once saved alike, if nothing was changed, and if gain, size or an
# unknown coder stand between, or gain in a photo that is beyond doubt; noise that lies all over may be NOISE times what
# it usually is.
SAVED, SAVED_CHANGED, SAVED_LIT, NOISE = 5.0, 6.5, 14.0, 3.0
SAVED_ALIKE = 1.0  # levels or less, where nothing else needs to be asked
PATCH = 4
# An unsharp mask: its radius, share of the edges that it adds, and levels beyond which these are cut off.
RADIUS, LEAST_STRENGTH, MOST_STRENGTH = 1.0, 0.2, 2.5
BLACK, WHITE = 4, 251
FILTERED = SAVED_ALIKE + 0.01  # a photo that was filtered is never one that was saved again
SHORTEST = 0.6  # share of its sides that a cut may have left
LOSSY = ("WEBP", "AVIF", "HEIF", "JPEG2000", "GIF", "MPO")
DECODE = 128  # pixels of the shorter side that large photos are decoded at
BATCH = 64  # pairs
TURNS = {1: Image.Transpose.FLIP_LEFT_RIGHT, 2: Image.Transpose.FLIP_TOP_BOTTOM, 4: Image.Transpose.TRANSPOSE}
WHOLE = (0.0, 0.0, 1.0, 1.0)

DIFFERENT, COPY, PICTURE = 0, 1, 2

Planes = NDArray[np.float32]  # (pairs, side, side, 3)
Pixels = NDArray[np.float32]  # (height, width, 3), RGB, 0..255
Verdicts = NDArray[np.uint8]
Frame = Sequence[float]  # left, top, right, bottom in shares of the sides
Task = tuple[list[str], list[str], list[int], list[int], list[Frame], list[Frame]]


@dataclass(frozen=True)
class Decoded:
    """A photo at no more than a few times SIDE.

    Attributes:
        image: Upright, RGB.
        whole: Whether these are all of its pixels.
        size: Of all of it, upright.
        tables: Quantization tables of a JPEG, by their number.
        sampling: How a JPEG's chroma is sampled, as Pillow numbers it.
        lossy: Whether saving changed it in a way that cannot be repeated.
    """

    image: Image.Image
    whole: bool
    size: tuple[int, int]
    tables: dict[int, list[int]]
    sampling: int
    lossy: bool


def confirmed(
    first: Sequence[str],
    second: Sequence[str],
    workers: int | None = None,
    turns: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None,
    frames: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
) -> Verdicts:
    """Whether pairs of photos show one photo, judged by their pixels.

    Photos are decoded in worker processes, a bounded number of pairs at a time, and once for neighbouring pairs: sort
    the pairs by their first photo.

    Args:
        first: URIs, one per pair.
        second: URIs, one per pair.
        workers: Processes; by default one per processor.
        turns: By which turn (as in `signature.turned`) each first and each second photo is laid before it is compared.
        frames: Which part of each first and of each second photo seems to show the same, (pairs, 4); see
            `vitrine.quality.frames`.

    Returns:
        Of each pair `DIFFERENT`, `COPY` or `PICTURE` (re-encoded or resized, nothing else); `DIFFERENT` where a photo
        is damaged.

    Raises:
        InputError: if the bytes of a photo cannot be read: whether it is a copy is not known then.
    """
    upright = np.zeros(len(first), dtype=np.uint8)
    left, right = (upright, upright) if turns is None else turns
    whole = np.broadcast_to(np.array(WHOLE, dtype=np.float32), (len(first), 4))
    one, other = (whole, whole) if frames is None else frames
    tasks: list[Task] = []
    for start in range(0, len(first), BATCH):
        part = slice(start, start + BATCH)
        numbers = [values[part].tolist() for values in (left, right, one, other)]
        tasks.append((list(first[part]), list(second[part]), *numbers))
    return np.concatenate([np.empty(0, dtype=np.uint8), *in_order(_judged, tasks, workers)])


def pixel_digests(uris: Sequence[str], workers: int | None = None) -> list[str]:
    """A digest of all of each photo's upright RGB pixels; "" where it is damaged.

    Args:
        uris: Photos.
        workers: Processes; by default one per processor.

    Raises:
        InputError: if the bytes of a photo cannot be read.
    """
    return list(in_order(_pixel_digest, uris, workers))


def _pixel_digest(uri: str) -> str:
    data = _read(uri)
    try:
        image = decode_photo(data)
    except PhotoError:
        return ""
    except MemoryError as error:
        raise PassingError(f"{uri}: memory ran out while it was decoded") from error
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()


def is_copy(alignment: Alignment, saved: float | None, changed: bool) -> bool:
    """Whether what is left between two photos is what a copy leaves.

    Args:
        alignment: How they lie over each other.
        saved: See `left_once_saved`; None where one was moved.
        changed: Whether gain, size or an unknown coder stand between them.
    """
    rest = sorted(zip(alignment.seen, alignment.plain, strict=True))  # the one that the other shows less of first
    if rest[1][0] < CONTAINED or (rest[0][0] < SHARED and rest[0][1] > PLAIN_REST):
        return False
    if (
        alignment.correlation < CORRELATION
        or alignment.strangers > STRANGERS
        or alignment.usual > USUAL
        or alignment.textured < TEXTURED
    ):
        return False
    if saved is not None:
        if saved <= SAVED_ALIKE and not (changed or alignment.lit):
            return alignment.detail <= DETAIL
        if (
            alignment.detail > DETAIL
            or alignment.luma > LUMA_UNITS
            or alignment.colour > COLOUR_UNITS
            or (alignment.lit and alignment.grey)
        ):
            return False
        clear = alignment.lit and max(alignment.luma, alignment.colour) <= CLEAR_UNITS
        return saved <= (SAVED_LIT if clear else SAVED_CHANGED if changed else SAVED)
    if alignment.detail > MOVED_DETAIL or alignment.lit or alignment.mark is not None or alignment.grey:
        return False
    rich = alignment.textured >= RICH
    if not rich and alignment.correlation < MOVED_CORRELATION:
        return False
    return alignment.luma <= (RICH_LUMA if rich else MOVED_LUMA) and alignment.colour <= (
        RICH_COLOUR if rich else MOVED_COLOUR
    )


def same_picture(one: Planes, other: Planes, resized: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pairs of copies differ as one picture does from itself when it was saved anew or resized.

    Where nothing was moved and no shade painted in, what is left is noise: it lies all over the photo, and cancels
    within a block. Paint changes whole blocks by one amount, and leaves others as they were. Of photos of different
    sizes, which nobody paints on, more is allowed: resampling softens edges.

    Measured on 150 photos of each of three sets: of copies saved as JPEG of quality 75 or 40 or WEBP of 40, or
    enlarged by half, 81 to 100 in 100 pass, of those halved and saved at quality 85 91 to 99, at 60 54 to 99; of 12
    pairs of one cosmetic or bag in two shades none.

    Args:
        one: Values 0..255, (pairs, SIDE, SIDE, 3).
        other: The same.
        resized: Which pairs come from photos of different sizes, (pairs,).
    """
    difference, blocks = one - other, SIDE // BLOCK
    cut = (-1, blocks, BLOCK, blocks, BLOCK, 3)
    means = difference.reshape(cut).mean(axis=(2, 4)).reshape(len(one), -1, 3)  # (pairs, blocks, 3)
    power = np.square(difference).reshape(cut).mean(axis=(2, 4)).reshape(means.shape)
    detail = ((one + other) / 2).reshape(cut).std(axis=(2, 4)).reshape(means.shape).max(axis=2)
    textured = detail > PLAIN
    shown = textured.sum(axis=1)
    share = (textured / shown.clip(1)[:, None])[..., None]  # of each textured block, (pairs, blocks, 1)
    largest = np.abs(means).max(axis=(1, 2))
    usual = np.sqrt((np.square(means).max(axis=2, keepdims=True) * share).sum(axis=(1, 2))).clip(0.1)
    tint = np.abs((means * share).sum(axis=1)).max(axis=1)
    kept, all_power = ((each * share).sum(axis=(1, 2)) for each in (np.square(means), power))
    coherence = np.sqrt(kept / all_power.clip(1e-6))
    looser = np.where(resized, LOOSER, 1)
    unseen = largest <= UNSEEN
    faint = (largest <= FAINT_LIMIT) & (tint <= FAINT_TINT) & (largest <= FAINT_PEAK * usual)
    noise = (largest <= NOISE_LIMIT * looser) & (tint <= NOISE_TINT * looser) & (largest <= NOISE_PEAK * usual)
    noise &= coherence <= COHERENT * looser
    return np.asarray((shown >= SHOWN) & (unseen | faint | noise), dtype=bool)


# Photos into planes, in processes.


def _judged(task: Task) -> Verdicts:
    photos = {uri: _decoded(uri) for uri in dict.fromkeys([*task[0], *task[1]])}
    verdicts = np.zeros(len(task[0]), dtype=np.uint8)
    pairs: list[tuple[Pixels, Pixels]] = []
    resized: list[bool] = []
    copies: list[bool] = []
    places: list[int] = []
    for place, (first, second, left, right, *frames) in enumerate(zip(*task, strict=True)):
        one, other = photos[first], photos[second]
        if one is None or other is None:
            continue
        sides = [(turned(one, RELATIVE[left][right]), other)]
        if left != right and one.tables:  # it may be the one that was saved anew, which only shows unturned
            sides.append((turned(other, RELATIVE[right][left]), one))
        for side in sides:
            planes = laid(side[0].image, side[1].image)
            alike, copy = compared(*side, planes, frames[0], frames[1])
            if copy:
                break
        if alike:
            pairs.append(planes)
            resized.append(one.size != other.size)
            copies.append(copy)
            places.append(place)
    if pairs:
        ones, others = (np.stack(side) for side in zip(*pairs, strict=True))
        pictures = same_picture(ones, others, np.array(resized))
        verdicts[places] = np.where(pictures, PICTURE, np.where(copies, COPY, DIFFERENT))
    return verdicts


def compared(
    one: Decoded, other: Decoded, planes: tuple[Pixels, Pixels], frame: Frame, other_frame: Frame
) -> tuple[bool, bool]:
    """Whether two photos look alike, within a frame of each that seems to show the same, and whether one is a copy."""
    if _area(frame) < _area(other_frame):  # the second is laid over the one that shows less around the frame
        one, other, planes, frame, other_frame = other, one, planes[::-1], other_frame, frame
    alignment = aligned(*planes, start_of(frame, other_frame))
    if _is_moved_copy(alignment) or _is_moved_copy(_cut(one, other, planes)):
        return True, True
    if alignment is None or alignment.moved >= IN_PLACE:
        return False, False
    if not is_copy(alignment, 0.0, False):
        return False, False
    source, target = (other, one) if alignment.swapped else (one, other)
    changed = (
        alignment.lit
        or alignment.grey
        or alignment.mark is not None
        or one.size != other.size
        or one.lossy
        or other.lossy
    )
    saved = left_once_saved(source, target, alignment)
    if not alignment.lit:
        saved = min(saved, left_once_saved(target, source, alignment))
    return True, is_copy(alignment, saved, changed)


def _is_moved_copy(alignment: Alignment | None) -> bool:
    if alignment is None or alignment.moved < (MOVED_RICH if alignment.textured >= RICH else MOVED):
        return False
    return is_copy(alignment, None, False)


def _cut(one: Decoded, other: Decoded, planes: tuple[Pixels, Pixels]) -> Alignment | None:
    """The smaller photo laid over the middle of the larger one, as if all that was cut off or added were a rim."""
    if one.size[0] > other.size[0]:
        one, other, planes = other, one, planes[::-1]
    shares = [edge / larger for edge, larger in zip(one.size, other.size, strict=True)]
    if not all(SHORTEST < share < 1 for share in shares):
        return None
    frame = [(1 - share) / 2 for share in shares] + [(1 + share) / 2 for share in shares]
    return aligned(*planes, start_of(WHOLE, frame))


def _area(frame: Frame) -> float:
    return (frame[2] - frame[0]) * (frame[3] - frame[1])


def left_once_saved(source: Decoded, target: Decoded, alignment: Alignment) -> float:
    """By how many levels two photos that lie in the same place differ once the one was made as the other is.

    It gets the other's size and brightness, and is saved with its quantization tables or not, whichever leaves less;
    where these are not known, noise that lies all over is allowed for. Means of small patches are judged, less a mark.
    """
    made = source.image.resize(target.image.size, Image.Resampling.LANCZOS)
    if alignment.grey:
        made = made.convert("L").convert("RGB")
    levels = np.asarray(made, dtype=np.float32)
    if alignment.lit:
        levels = np.clip(alignment.gain * levels + alignment.offset, 0, 255)
    wanted = target.image.convert("L").convert("RGB") if alignment.grey else target.image
    noisy = alignment.lit or source.size != target.size or source.lossy or target.lossy
    goal = np.asarray(wanted, dtype=np.float32)
    least = _least_patch(levels, goal, target, alignment, noisy)
    if least > SAVED and (sharper := _sharpened(levels, goal)) is not None:
        # What sharpening leaves are edges, which cancel in larger patches as another shade does not.
        least = min(least, max(_least_patch(sharper, goal, target, alignment, False, 2 * PATCH), FILTERED))
    return least


def _sharpened(levels: Pixels, goal: Pixels) -> Pixels | None:
    """A photo under the unsharp mask that brings it nearest to another; None where that does little."""
    edges = levels - cv2.GaussianBlur(levels, (0, 0), RADIUS)
    live = (goal > BLACK) & (goal < WHITE)
    power = float(np.square(edges[live]).sum())
    strength = float((edges[live] * (goal - levels)[live]).sum()) / max(power, 1.0)
    if not LEAST_STRENGTH <= strength <= MOST_STRENGTH:
        return None
    return np.asarray(np.clip(levels + strength * edges, 0, 255))


def _least_patch(
    levels: Pixels, goal: Pixels, target: Decoded, alignment: Alignment, noisy: bool, side: int = PATCH
) -> float:
    """See `left_once_saved`."""
    least = _worst_patch(levels, goal, alignment, noisy, side)
    if target.whole and target.tables:
        data = io.BytesIO()
        photo = Image.fromarray(levels.round().astype(np.uint8))
        photo.save(data, "JPEG", qtables=target.tables, subsampling=target.sampling)
        again = np.asarray(Image.open(data).convert("RGB"), dtype=np.float32)
        least = min(least, _worst_patch(again, goal, alignment, noisy, side))
    return least


def _worst_patch(levels: Pixels, goal: Pixels, alignment: Alignment, noisy: bool, side: int) -> float:
    patches = np.maximum.reduce(cv2.split(np.abs(cv2.blur(levels - goal, (side, side)))))
    if alignment.mark is not None:
        height, width = patches.shape
        left, top, right, bottom = alignment.mark
        patches[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = 0
    worst = float(np.partition(patches.ravel(), -PATCH)[-PATCH])
    if noisy:
        shown = patches[patches > 1]
        worst -= NOISE * float(np.median(shown)) if shown.size else 0
    return worst


def _read(uri: str) -> bytes:
    """The bytes of a photo that could be read when it was scanned."""
    try:
        return read_photo(uri)
    except OSError as error:
        raise InputError(f"{uri}: cannot be read any more ({error.strerror or 'no such photo'})") from error
    except PhotoError as error:
        raise InputError(f"{uri}: {error}") from error


def _decoded(uri: str) -> Decoded | None:
    """A photo for comparison, None if it is damaged."""
    data = _read(uri)
    try:
        header = open_header(data)
        tables: dict[int, list[int]] = getattr(header, "quantization", {}) if header.format == "JPEG" else {}
        sampling = JpegImagePlugin.get_sampling(header) if tables else -1
        size, kind, mode = header.size, header.format, header.mode
        image = decode_opened(header, data, DECODE)
    except (OSError, ValueError):
        return None
    except MemoryError as error:
        raise PassingError(f"{uri}: memory ran out while it was decoded") from error
    whole = image.size in (size, size[::-1])
    if image.size == size[::-1]:
        size = image.size
    scale = DECODE / min(image.size)
    if scale < 0.5:
        image = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.HAMMING
        )
        whole = False
    usable = whole and bool(tables) and mode in ("RGB", "L")
    if sampling < 0:
        sampling = 2
    return Decoded(
        image, whole, size, tables if usable else {}, sampling, kind in LOSSY or (whole and not usable and bool(tables))
    )


def turned(photo: Decoded, turn: int) -> Decoded:
    """The photo as `signature.turned` lays it: bit 1 mirrors, bit 2 flips, bit 4 transposes."""
    if not turn:
        return photo
    image = photo.image
    for bit, method in TURNS.items():
        image = image.transpose(method) if turn & bit else image
    # Blocks of a JPEG do not lie as they did: nothing can be saved as this was.
    return Decoded(image, photo.whole, photo.size[::-1] if turn & 4 else photo.size, {}, 2, True)


def _relative() -> list[list[int]]:
    """By which turn alone a first photo comes to lie as a second does, where one turn each laid them alike."""
    corners = np.arange(4).reshape(2, 2)

    def laid_by(turn: int, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        cells = cells[:, ::-1] if turn & 1 else cells
        cells = cells[::-1] if turn & 2 else cells
        return cells.T if turn & 4 else cells

    def between(left: int, right: int) -> int:
        wanted = laid_by(left, corners)
        return next(turn for turn in range(8) if (laid_by(right, laid_by(turn, corners)) == wanted).all())

    return [[between(left, right) for right in range(8)] for left in range(8)]


RELATIVE = _relative()


def laid(one: Image.Image, other: Image.Image) -> tuple[Pixels, Pixels]:
    """Two photos as (SIDE, SIDE, 3) that show no more detail than the smaller of them."""
    common = (min(one.width, other.width, SIDE), min(one.height, other.height, SIDE))
    small = [
        image if image.size == common else image.resize(common, Image.Resampling.HAMMING) for image in (one, other)
    ]
    wide = [np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float32) for image in small]
    return wide[0], wide[1]
