"""What a verdict costs beyond looking at the photos: each system's time per listing against the bare trunk's.

    python benchmarks/authenticity_cost.py [--variants ssa,mil-att] [--backbone resnet18_narrow] [--image-size 64]
        [--listings 16] [--rounds 31]

Both sides see the same listings of 3 to 9 photos, already decoded and on the device, in evaluation mode. A round times
the trunk and the system right after one another, in turns which goes first; the ratio is taken within a round, so that
a machine that is busy for a while slows both sides. Prints the median and the quartiles over the rounds.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from vitrine.blocks.backbones import build_backbone
from vitrine.methods.authenticity import VARIANTS, build

VIEWS = ["box_logo", "insole", "midsole", "stamp", "tag"]


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--backbone", default="resnet18_narrow")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--listings", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=31)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lengths = torch.from_numpy(np.random.default_rng(0).integers(3, 10, options.listings))
    photos = torch.randn(int(lengths.sum()), 3, options.image_size, options.image_size, device=device)
    photos = photos.contiguous(memory_format=torch.channels_last)
    views = torch.randint(0, len(VIEWS), (len(photos),), device=device)
    config = {"backbone": options.backbone, "image_size": options.image_size, "attention": 128, "hidden": 128}
    config |= {"views": VIEWS, "viewless": False}
    trunk, _ = build_backbone(options.backbone, options.image_size)
    trunk = trunk.eval().to(device).to(memory_format=torch.channels_last)
    print(f"{options.listings} listings, {len(photos)} photos of {options.image_size} px, {options.backbone}, {device}")
    print("| system | ms per listing | the trunk's | ratio, median | quartiles |\n| --- | --- | --- | --- | --- |")
    for variant in options.variants.split(","):
        net = build({**config, "variant": variant}).eval().to(device).to(memory_format=torch.channels_last)
        bare, whole = _rounds(
            lambda: trunk(photos),
            lambda net=net: net(photos, lengths, views),  # type: ignore[misc]
            options.rounds,
        )
        low, middle, high = statistics.quantiles([b / a for a, b in zip(bare, whole, strict=True)], n=4)
        own, its = (1000 * statistics.median(times) / options.listings for times in (whole, bare))
        print(f"| {variant} | {own:.2f} | {its:.2f} | {middle:.3f} | {low:.3f}-{high:.3f} |", flush=True)


def _rounds(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each in every round, after two rounds that are not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    with torch.inference_mode():
        for turn in range(rounds + 2):
            for side in (0, 1) if turn % 2 else (1, 0):
                seconds = _seconds((first, second)[side])
                if turn > 1:
                    times[side].append(seconds)
    return times


def _seconds(run: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
