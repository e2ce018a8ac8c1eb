"""Copies and damage planted among real photos for `benchmarks/peers.py`: what is done to a photo, by name."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Photo = Image.Image
Change = Callable[[Photo], bytes]
WHITE = (255, 255, 255)


def jpeg(photo: Photo, quality: int = 90) -> bytes:
    """A photo as JPEG."""
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=quality)
    return data.getvalue()


def scaled(photo: Photo, across: float, down: float) -> Photo:
    """A photo with its sides multiplied."""
    size = (max(1, round(photo.width * across)), max(1, round(photo.height * down)))
    return photo.resize(size, Image.Resampling.LANCZOS)


def cut(photo: Photo, left: float, top: float, right: float, bottom: float) -> Photo:
    """A photo without these shares of its sides."""
    width, height = photo.size
    box = (width * left, height * top, width * (1 - right), height * (1 - bottom))
    return photo.crop(tuple(map(round, box)))


def padded(photo: Photo, share: float, colour: tuple[int, int, int] = WHITE) -> Photo:
    """A photo with a border of a share of its shorter side."""
    return ImageOps.expand(photo, max(1, round(share * min(photo.size))), colour)


def with_logo(photo: Photo, share: float = 0.2) -> Photo:
    """A photo with a round mark with a word in its lower right corner."""
    photo = photo.copy()
    side = round(share * min(photo.size))
    left, top = photo.width - side - side // 5, photo.height - side - side // 5
    mark = Image.new("RGB", (80, 80), (20, 60, 160))
    pen = ImageDraw.Draw(mark)
    pen.text((8, 28), "SHOP", fill="white", font_size=26)
    disc = Image.new("L", (80, 80))
    ImageDraw.Draw(disc).ellipse((0, 0, 79, 79), fill=255)
    size = (side, side)
    photo.paste(mark.resize(size, Image.Resampling.LANCZOS), (left, top), disc.resize(size, Image.Resampling.LANCZOS))
    return photo


def lettered(photo: Photo, text: str, share: float, opacity: float, turn: float, tiled: bool = False) -> Photo:
    """A photo with half transparent white letters across it, dark rimmed, as picture agencies sell them.

    Args:
        photo: RGB.
        text: What stands there.
        share: Of the width that one text takes.
        opacity: 0..1
        turn: Degrees.
        tiled: Whether the text is repeated all over.
    """
    scale = max(1.0, 400 / photo.width)  # letters are drawn large, so that small photos get whole ones
    width, height = round(photo.width * scale), round(photo.height * scale)
    size = share * width / (0.6 * len(text))
    layer = Image.new("LA", (2 * width, 2 * height))
    pen = ImageDraw.Draw(layer)
    fill, rim = (255, round(255 * opacity)), (0, round(160 * opacity))
    step = (round(share * width * 1.15), round(size * 3)) if tiled else (4 * width, 4 * height)
    for y in range(0 if tiled else round(height - size / 2), 2 * height, step[1]):
        for x in range(0 if tiled else round(width - share * width / 2), 2 * width, step[0]):
            pen.text((x, y), text, fill=fill, font_size=size, stroke_width=max(1, round(size / 25)), stroke_fill=rim)
    layer = layer.rotate(turn, Image.Resampling.BICUBIC)
    layer = layer.crop((width // 2, height // 2, width // 2 + width, height // 2 + height))
    layer = layer.resize(photo.size, Image.Resampling.LANCZOS)
    whole = photo.convert("RGBA")
    whole.alpha_composite(layer.convert("RGBA"))
    return whole.convert("RGB")


def enlarged(photo: Photo, side: int = 1000) -> Photo:
    """A photo with that many pixels on its shorter side."""
    return scaled(photo, side / min(photo.size), side / min(photo.size))


def curve(photo: Photo, gamma: float) -> Photo:
    """A photo brightened (below 1) or darkened (above) by a power of its levels."""
    return photo.point([round(255 * (level / 255) ** gamma) for level in range(256)] * 3)


def tinted(photo: Photo, red: float, blue: float) -> Photo:
    """A photo under warmer or colder light."""
    levels = np.asarray(photo, dtype=np.float32) * np.array([red, 1, blue], dtype=np.float32)
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def ramp(photo: Photo) -> Photo:
    """A gradient of a photo's size."""
    levels = np.linspace(70, 180, photo.width)[None, :, None] + np.zeros((photo.height, 1, 3))
    return Image.fromarray(levels.astype(np.uint8))


def faint_noise(photo: Photo) -> Photo:
    """Noise on grey."""
    levels = np.random.default_rng(photo.getpixel((0, 0))).normal(128, 4, (photo.height, photo.width, 3))
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def far_away(photo: Photo) -> Photo:
    """A photo made tiny, on a plain ground."""
    ground = Image.new("RGB", photo.size, (214, 216, 219))
    small = scaled(photo, 0.14, 0.14)
    ground.paste(small, (photo.width // 2, photo.height // 3))
    return ground


def turned(photo: Photo, degrees: float, fill: tuple[int, int, int] = WHITE) -> Photo:
    """A photo turned a little within its frame."""
    return photo.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=fill)


# The first table: copies.
COPIES: dict[str, Change] = {
    "brightness +20 %": lambda photo: jpeg(ImageEnhance.Brightness(photo).enhance(1.2)),
    "contrast +30 %": lambda photo: jpeg(ImageEnhance.Contrast(photo).enhance(1.3)),
    "grey": lambda photo: jpeg(photo.convert("L")),
    "logo": lambda photo: jpeg(with_logo(photo)),
    "rotated 2 degrees": lambda photo: jpeg(turned(photo, 2)),
    "crop 8 %": lambda photo: jpeg(cut(photo, 0.08, 0.08, 0.08, 0.08)),
    "white padding": lambda photo: jpeg(padded(photo, 0.1)),
    "stretched": lambda photo: jpeg(scaled(photo, 1.25, 1)),
    "mirrored": lambda photo: jpeg(ImageOps.mirror(photo)),
    "JPEG q40": lambda photo: jpeg(photo, 40),
    "half size": lambda photo: jpeg(scaled(photo, 0.5, 0.5)),
    "crop 3 %": lambda photo: jpeg(cut(photo, 0.03, 0.03, 0.03, 0.03)),
    "saved as PNG": lambda photo: png(photo),
    "same bytes": lambda photo: b"",
}

# Ten more kinds of copies.
MORE_COPIES: dict[str, Change] = {
    "brightness -25 %": lambda photo: jpeg(ImageEnhance.Brightness(photo).enhance(0.75)),
    "contrast -25 %": lambda photo: jpeg(ImageEnhance.Contrast(photo).enhance(0.75)),
    "gamma 0.8": lambda photo: jpeg(curve(photo, 0.8)),
    "warmer light": lambda photo: jpeg(tinted(photo, 1.08, 0.92)),
    "letters across": lambda photo: jpeg(lettered(photo, "SHOP24", 0.6, 0.5, 0)),
    "sharpened": lambda photo: jpeg(photo.filter(ImageFilter.UnsharpMask(1, 120, 0))),
    "rotated 3 degrees, cut": lambda photo: jpeg(cut(turned(photo, -3), 0.05, 0.05, 0.05, 0.05)),
    "10 % cut off one side": lambda photo: jpeg(cut(photo, 0.1, 0, 0, 0)),
    "padded to a square, black": lambda photo: jpeg(
        ImageOps.pad(photo, (max(photo.size),) * 2, color=(0, 0, 0), centering=(0.5, 0.5))
    ),
    "half size, brighter, logo": lambda photo: jpeg(
        with_logo(scaled(ImageEnhance.Brightness(photo).enhance(1.12), 0.5, 0.5)), 75
    ),
}


def png(photo: Photo) -> bytes:
    """A photo without loss."""
    data = io.BytesIO()
    photo.save(data, "PNG", compress_level=1)
    return data.getvalue()


# The second table: damage, by the rule that should name it. Kinds that share a rule take turns.
DAMAGE: dict[str, dict[str, Change]] = {
    "dark_photos": {
        "brightness x 0.15": lambda photo: jpeg(ImageEnhance.Brightness(photo).enhance(0.15)),
        "brightness x 0.25": lambda photo: jpeg(ImageEnhance.Brightness(photo).enhance(0.25)),
    },
    "blurred_photos": {
        "radius 3": lambda photo: jpeg(photo.filter(ImageFilter.GaussianBlur(3 * min(photo.size) / 96))),
        "radius 8 at 1,000 px": lambda photo: jpeg(enlarged(photo).filter(ImageFilter.GaussianBlur(8))),
    },
    "odd_aspect": {
        "four times as tall": lambda photo: jpeg(scaled(photo, 0.5, 2.2)),
        "four times as wide": lambda photo: jpeg(scaled(photo, 2.2, 0.5)),
    },
    "bright_photos": {
        "brightness x 3": lambda photo: jpeg(ImageEnhance.Brightness(photo).enhance(3)),
        "washed out": lambda photo: jpeg(Image.blend(photo, Image.new("RGB", photo.size, "white"), 0.8)),
    },
    "low_information": {
        "gradient": lambda photo: jpeg(ramp(photo)),
        "noise on grey": lambda photo: jpeg(faint_noise(photo)),
    },
    "mostly_background": {"far away": lambda photo: jpeg(far_away(photo))},
    # One agency's mark on all of them: what is sought is a mark that photos share.
    "watermarks": {"one word": lambda photo: jpeg(lettered(photo, "SAMPLE", 0.8, 0.6, 20))},
}
