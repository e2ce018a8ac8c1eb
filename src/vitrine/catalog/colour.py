"""Colours as sRGB: what a photo's embedded colour profile says of its numbers, and 16-bit grey in 8.

Every newer phone stores Display P3, cameras Adobe RGB, printers' files CMYK. Their numbers mean other colours than the
same numbers in sRGB, which screens, models and every measure of this project take for granted. They are converted by
LittleCMS with the relative colorimetric intent and black point compensation: colours that sRGB has stay as they are,
the others go to the nearest. (The perceptual intent would move all colours, and by what each profile's maker liked.)
"""

import io
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, TiffImagePlugin

SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of profiles -> Pillow's mode
UNSEEN = 2  # levels by which no colour of a profile may be off from sRGB's to count as sRGB


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours of an opaque photo in sRGB.

    Args:
        image: Of any mode. A grey photo may come as RGB, as JPEGs are decoded.
        profile: The ICC profile embedded in the file. One that cannot be read, or is about other colours than the
            photo's (an RGB profile in a grey photo), says nothing and is ignored, as browsers do.

    Returns:
        RGB; the very image where it is in sRGB already.
    """
    if image.mode == "LAB":
        return cast(Image.Image, ImageCms.applyTransform(image, _from_lab()))
    conversion = _transform(profile) if profile else None
    if conversion is not None:
        mode, transform = conversion
        if (image.mode, mode) == ("P", "RGB") or ((image.mode, mode) == ("RGB", "L") and _is_grey(image)):
            image = image.convert(mode)
        if image.mode == mode:
            return cast(Image.Image, ImageCms.applyTransform(image, transform))
    return image if image.mode == "RGB" else image.convert("RGB")


def deep_to_grey(image: Image.Image, raw_mode: str) -> Image.Image:
    """A grey photo of more than 8 bits in 8 (L): the high ones, whatever the photo's own brightest value.

    Args:
        image: Of mode I;16 (and its kin), I or F.
        raw_mode: How the file stores a value (Pillow's name). Whole numbers that are not of 12 bits count as 16.
            Fractions reach to 1, or where one is larger, to 255 or 65535.

    Scanners' TIFFs in which 0 is white, which Pillow heeds in 8 bits only, are inverted.
    """
    grey = _deep_to_grey(np.asarray(image), image.mode, raw_mode)
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    return Image.fromarray(255 - grey if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0 else grey)


def _deep_to_grey(values: NDArray[Any], mode: str, raw_mode: str) -> NDArray[np.uint8]:
    if mode == "F":
        brightest = np.nanmax(values, initial=0)
        high = next((high for high in (1, 255) if brightest <= high), 65535)
        return np.asarray(np.nan_to_num(values * (255 / high)).clip(0, 255).round().astype(np.uint8))
    high = 4095 if raw_mode.startswith("I;12") else 65535
    return np.asarray((values.astype(np.int64).clip(0, high) * 255 // high).astype(np.uint8))


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = image.split()
    return red.tobytes() == green.tobytes() == blue.tobytes()


@lru_cache(maxsize=16)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform] | None:
    """The mode that a profile is about, and what brings it to sRGB; None for sRGB itself and what cannot be used.

    What a profile does is asked of it, not its name: of sRGB alone there are a dozen, most of them unnamed.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = SPACES[source.profile.xcolor_space.strip()]
        transform = _towards_srgb(source, mode)
    except (ImageCms.PyCMSError, OSError, KeyError):
        return None
    if mode == "CMYK":
        return mode, transform
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, len(steps), 3)
    before = Image.fromarray(grid if mode == "RGB" else grid[..., 0].copy())
    after = np.asarray(ImageCms.applyTransform(before, transform)).astype(int)
    return None if np.abs(after - np.asarray(before.convert("RGB"))).max() <= UNSEEN else (mode, transform)


@lru_cache(maxsize=1)
def _from_lab() -> ImageCms.ImageCmsTransform:
    return _towards_srgb(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")


def _towards_srgb(source: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    target = ImageCms.createProfile("sRGB")
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    return ImageCms.buildTransform(source, target, mode, "RGB", renderingIntent=intent, flags=flags)
