"""What a verdict costs beyond looking at the photos: each system's time per listing against the bare trunk's.

    python benchmarks/authenticity_cost.py [--variants ssa,mil-att] [--backbone resnet18_narrow] [--image-size 64]
        [--listings 16] [--rounds 31]

Both sides see the same listings of 3 to 9 photos, already decoded and on the device, in evaluation mode. A round times
the trunk and the system right after one another, in turns which goes first; the ratio is taken within a round, so that
a machine that is busy for a while slows both sides. Prints the median and the quartiles over the rounds.
"""

import argparse
import statistics

import numpy as np
import torch

from benchmarks._rounds import alternating
from vitrine.blocks.backbones import build_backbone
from vitrine.tasks.authenticity.systems import VARIANTS, build

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
        with torch.inference_mode():
            bare, whole = alternating([lambda: trunk(photos), lambda: net(photos, lengths, views)], options.rounds)  # noqa: B023
        low, middle, high = statistics.quantiles([b / a for a, b in zip(bare, whole, strict=True)], n=4)
        own, its = (1000 * statistics.median(times) / options.listings for times in (whole, bare))
        print(f"| {variant} | {own:.2f} | {its:.2f} | {middle:.3f} | {low:.3f}-{high:.3f} |", flush=True)


if __name__ == "__main__":
    main()
