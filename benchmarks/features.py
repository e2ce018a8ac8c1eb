"""Features from JPEG files, against decoding them and nothing else and against the net and nothing else.

    python benchmarks/features.py [FOLDER of JPEGs] [--rounds 5]

Without a folder, photos are rendered; all are saved as JPEG of quality 88, 448 pixels on the shorter side. Features are
taken as `vitrine index` takes them, with nothing cached. Decoding is Pillow's: open, RGB, resize to the net's size, by
as many threads as there are cores. The net alone is given tensors that are ready, in batches of the same size. The
three take turns; the ratio is that of the features' photos/s to the slower of the other two.

Decoding and a net on the CPU share its cores, so that features cannot be faster than 1 / (1/decoding + 1/net): `shared`
is the ratio this would come to. With the net on a GPU the limit is the slower of the two.
"""

import argparse
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from _rounds import alternating
from PIL import Image

from vitrine.data.augment import normalise
from vitrine.data.photo_store import PhotoStore
from vitrine.inference import BATCH, run_net
from vitrine.synth import render_catalog
from vitrine.tasks.representation.net import RepresentationNet

SIDE = 448
NETS = (("resnet18_narrow", 64, 1024), ("resnet18", 224, 256), ("resnet50", 224, 128))  # and photos


def main() -> None:
    """Prints photos per second and the ratio for each net."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        source = options.folder
        if source is None:
            source = Path(home) / "catalog"
            render_catalog(source)
        known = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        paths = [saved(path, Path(home) / f"{number}.jpg") for number, path in enumerate(known[: NETS[0][2]])]
        print("net | size | decoding, photos/s | net | features | ratio (least to most) | shared")
        for backbone, size, photos in NETS:
            measure(backbone, size, [paths[i % len(paths)] for i in range(photos)], options.rounds)


def saved(path: Path, out: Path) -> str:
    """A photo as JPEG with `SIDE` pixels on the shorter side."""
    photo = Image.open(path).convert("RGB")
    scale = SIDE / min(photo.size)
    photo.resize((round(photo.width * scale), round(photo.height * scale))).save(out, quality=88)
    return str(out)


def measure(backbone: str, size: int, paths: list[str], rounds: int) -> None:
    """One line of the table."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = RepresentationNet(backbone, size, 0).to(device).to(memory_format=torch.channels_last).eval()
    store = PhotoStore(paths, size)
    rows = np.arange(len(paths))
    ready = [store.read(own) for own in np.array_split(rows, range(BATCH, len(rows), BATCH))]

    def decode() -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda path: np.asarray(Image.open(path).convert("RGB").resize((size, size))), paths))

    @torch.inference_mode()
    def forward() -> None:
        for pixels in ready:
            photos = normalise(pixels.to(device)).contiguous(memory_format=torch.channels_last)
            net(photos)[0].cpu()

    times = alternating([decode, forward, lambda: run_net(net, store, rows)], rounds, warm_up=1)
    decoding, alone, both = (len(paths) / statistics.median(own) for own in times)
    ratios = [max(one, other) / whole for one, other, whole in zip(*times, strict=True)]
    shared = 1 / (1 / decoding + 1 / alone) / min(decoding, alone)
    print(
        f"{backbone} | {size} | {decoding:.0f} | {alone:.0f} | {both:.0f} | "
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | {shared:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
