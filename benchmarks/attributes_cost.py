"""What answering every attribute costs beside the bare backbone: one forward pass of each, in turn.

    python benchmarks/attributes_cost.py [--backbone resnet18_narrow] [--size 64] [--types 8]

Both nets see the same photos, in evaluation mode, on the GPU if there is one. Each round times one after the other, the
first in turn, so that whatever else the machine does falls on both alike; the ratio is of their medians. The branches
and dictionaries are those of a student with so many types, classes and D = 256.

With `--store CATALOG` it also counts how often distillation asks each teacher about a photo: first with an empty cache,
then again.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any


def main() -> None:
    """Prints milliseconds a photo of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet18_narrow")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--types", type=int, default=8)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--store", default="", metavar="CATALOG")
    options = parser.parse_args()
    import torch

    from benchmarks._rounds import alternating
    from vitrine.tasks.attributes.net import AttributeNet

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    labels = {f"type{i}": [f"class{j}" for j in range(options.classes)] for i in range(options.types)}
    net = AttributeNet(options.backbone, options.size, labels, 256).eval().to(device)
    net = net.to(memory_format=torch.channels_last)
    photos = torch.randn(options.batch, 3, options.size, options.size, device=device)
    photos = photos.contiguous(memory_format=torch.channels_last)

    def bare() -> object:
        return net.trunk(photos).mean(dim=(2, 3))

    def student() -> object:
        return net(photos)

    with torch.inference_mode():
        times = alternating([bare, student], options.rounds)
    alone, whole = (1000 * statistics.median(own) / options.batch for own in times)
    ratios = sorted(b / a for a, b in zip(*times, strict=True))
    print(
        f"{options.backbone} at {options.size} px on {device}, {options.types} types of {options.classes} classes: "
        f"backbone {alone:.3f} ms a photo, student {whole:.3f}, ratio {whole / alone:.3f} "
        f"(middle half of {options.rounds} rounds {ratios[len(ratios) // 4]:.3f} to {ratios[3 * len(ratios) // 4]:.3f})"
    )
    if options.store:
        readings(options.store)


def readings(name: str) -> None:
    """Counts the forward passes that a student's training costs each teacher."""
    from vitrine.catalog import attribute_types, read_catalog
    from vitrine.tasks.attributes import teacher_embeddings as teacher_embeddings
    from vitrine.train import train

    asked: list[int] = []
    ask = teacher_embeddings.run_net

    def counting(net: Any, store: Any, rows: Any, **given: Any) -> Any:
        asked.append(len(rows))
        return ask(net, store, rows, **given)

    teacher_embeddings.run_net = counting
    catalog = read_catalog(name)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VITRINE_CACHE"] = folder
        small = ["epochs=1", "image_size=32"]
        teachers = []
        for kind in attribute_types(catalog.table)[:2]:
            teachers.append(str(train("attributes", "teacher", catalog, Path(folder) / kind, [f"type={kind}", *small])))
        for again in ("first", "second"):
            asked.clear()
            settings = [f"teachers={','.join(teachers)}", "epochs=3", "image_size=32"]
            train("attributes", "student", catalog, Path(folder) / again, settings)
            print(f"{again} student, 3 epochs of {len(catalog)} photos: teachers asked about {asked or 'none'}")


if __name__ == "__main__":
    main()
