"""What the methods' own terms cost against their plain forms: forward and backward, on the GPU if there is one.

    python benchmarks/losses.py [--rounds 9]

Instance softmax: within each super-class (Eq. 5 of the representation paper) against over all photos (Eq. 4); ideally
the ratio is n_b / n, the share of the photos that one super-class holds. Attention pooling: padded bags against a loop
over listings (Eq. 1 of the authenticity paper). The sides take turns; ratios are medians of the rounds' own.
"""

import argparse
import statistics
from collections.abc import Callable

import torch
from _rounds import alternating
from torch import Tensor

from vitrine.blocks.attention_pooling import AttentionPooling
from vitrine.blocks.instance_softmax import InstanceSoftmax
from vitrine.memory import keep_freed_memory

SIZES = ((50_000, 20, 64), (50_000, 20, 256), (50_000, 20, 1024), (50_000, 4, 256))  # photos, super-classes, batch
LISTINGS = (16, 64, 256)
DIM = 128


def main() -> None:
    """Prints a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    keep_freed_memory()  # as every training does
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print("instance softmax: photos, super-classes, batch | over all, ms | within, ms | ratio | times n_b / n")
    for photos, groups, batch in SIZES:
        sides = [instance_step(photos, parts, batch, device) for parts in (1, groups)]
        whole, within = alternating(sides, options.rounds)
        ratio = statistics.median(b / a for a, b in zip(whole, within, strict=True))
        figures = f"{ms(whole)} | {ms(within)} | {ratio:.3f} | {ratio * groups:.2f}"
        print(f"{photos:,}, {groups}, {batch} | {figures}", flush=True)
    print("\nattention pooling: listings of 3 to 9 photos | loop, ms | padded, ms | ratio")
    for listings in LISTINGS:
        loop, pool = alternating(pooling_steps(listings, device), options.rounds)
        ratio = statistics.median(b / a for a, b in zip(loop, pool, strict=True))
        print(f"{listings} | {ms(loop)} | {ms(pool)} | {ratio:.3f}", flush=True)


def ms(times: list[float]) -> str:
    return f"{1000 * statistics.median(times):.1f}"


def instance_step(photos: int, groups: int, batch: int, device: torch.device) -> Callable[[], None]:
    """A function that takes a forward and a backward pass of the term."""
    torch.manual_seed(0)
    term = InstanceSoftmax(DIM, [photos // groups] * groups, 0.1).to(device)
    features = torch.randn(batch, DIM, device=device, requires_grad=True)
    own = (torch.arange(batch) % groups).to(device)
    places = torch.randint(photos // groups, (batch,)).to(device)

    def step() -> None:
        term(features, own, places, torch.Generator().manual_seed(0)).backward()
        term.zero_grad(set_to_none=True)

    return step


def pooling_steps(listings: int, device: torch.device) -> tuple[Callable[[], None], Callable[[], None]]:
    """The loop over listings and the padded form, forward and backward."""
    torch.manual_seed(0)
    lengths = torch.randint(3, 10, (listings,))
    pooling = AttentionPooling(512, 128).to(device)
    photos = torch.randn(int(lengths.sum()), 512, device=device, requires_grad=True)

    def one(own: Tensor) -> Tensor:
        weights = pooling.score(own)[:, 0].softmax(dim=0)
        return weights @ own

    def loop() -> None:
        torch.stack([one(own) for own in photos.split(lengths.tolist())]).sum().backward()

    def padded() -> None:
        pooling(photos, lengths)[0].sum().backward()

    return loop, padded


if __name__ == "__main__":
    main()
