"""What the multitask net costs beside the flat one: a training step, and answering.

    python benchmarks/taxonomy_cost.py [--backbone resnet18_narrow] [--size 64] [--batch 64] [--rounds 30]

A tree of 10 roots, 40 nodes and 81 leaves, 8 attribute types of 12 labels; each photo carries one of each. Both nets
see the same photos, already decoded, on the GPU if there is one. A step is augmentation, forward, losses, backward and
AdamW. The ratio is the median of the rounds' own ratios, with their middle half.
"""

import argparse
import os
import statistics
from collections.abc import Callable


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet18_narrow")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    import torch

    from benchmarks._rounds import alternating

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pixels = torch.randint(0, 256, (options.batch, 3, options.size, options.size), dtype=torch.uint8, device=device)
    variants = ("bcnn", "sscnn", "ssmtl-ca", "ssmtl-rl")
    print(f"{options.backbone} at {options.size} px, batches of {options.batch}, {device}")
    print("| | ms a photo, bcnn | variant | ratio | middle half |\n| --- | --- | --- | --- | --- |")
    pairs = [(*sides(variant, options.backbone, pixels), variant) for variant in variants]
    (flat_step, flat_answer, _), *others = pairs
    for what, flat, column in (("step", flat_step, 0), ("answer", flat_answer, 1)):
        for other in others:
            times = alternating([flat, other[column]], options.rounds)
            bare, whole = (1000 * statistics.median(own) / options.batch for own in times)
            low, middle, high = statistics.quantiles([b / a for a, b in zip(*times, strict=True)], n=4)
            print(f"| {what}, {other[2]} | {bare:.3f} | {whole:.3f} | {middle:.3f} | {low:.3f} to {high:.3f} |")


def sides(variant: str, backbone: str, pixels: "torch.Tensor") -> tuple[Callable[[], object], Callable[[], object]]:  # noqa: F821
    """A training step and an answer of a variant's net."""
    import torch

    from vitrine.blocks.binary_cross_entropy import annotated_cross_entropy
    from vitrine.blocks.multitask import subtree_cross_entropy
    from vitrine.data.augment import augment, normalise
    from vitrine.tasks.taxonomy.net import HEAT
    from vitrine.tasks.taxonomy.plan import SYSTEMS
    from vitrine.tasks.taxonomy.systems import build

    system = SYSTEMS[variant]
    leaves = [f"root{i % 10}/node{i % 40}/leaf{i}" for i in range(81)]
    config = {"backbone": backbone, "image_size": pixels.shape[2], "leaves": leaves, "hidden": 256}
    config |= {"levels": [1, 2] if system.levels else [], "salient": system.salient}
    kinds = {f"type{i}": [f"label{j}" for j in range(12)] for i in range(8)} if system.attributes else {}
    net = build(config | {"labels": kinds}).to(pixels.device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    with torch.no_grad():
        sizes = {name: own.shape[1] for name, own in net(normalise(pixels[:2]))[1].items() if name != HEAT}
    truth = {
        name: torch.eye(size, device=pixels.device)[torch.arange(len(pixels)) % size] for name, size in sizes.items()
    }

    def step() -> None:
        net.train()
        _, scores = net(augment(pixels, (0, 0, 0)))
        losses = [
            annotated_cross_entropy(own, truth[name])
            if name.startswith("attr:")
            else subtree_cross_entropy(own, truth[name].bool())
            for name, own in scores.items()
            if name != HEAT
        ]
        torch.stack(losses).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def answer() -> None:
        net.eval()
        with torch.inference_mode():
            net(normalise(pixels))

    return step, answer


if __name__ == "__main__":
    main()
