"""Training as `vitrine train` does it, against a bare torch loop over tensors that are ready.

    python benchmarks/train_step.py [--rounds 5] [--photos 1280] [--batch 64]

The bare loop has the same net (`bcnn`), optimiser, precision, augmentation and batch size; its photos lie in memory.
Ours reads the photos of a rendered catalog, augments them, takes the step and writes its checkpoint: once from the
cache of decoded photos, as in every epoch but the first, and once decoding them anew. The three take turns; the ratio
is ours to bare, in photos/s. MobileNetV2 is tuned whole, as `trunk=tuned` does.
"""

import argparse
import contextlib
import io
import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
from _rounds import alternating

NETS = (("resnet18_narrow", 64), ("mobilenet_v2", 128))


def main() -> None:
    """Prints photos per second and the ratios for each net."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=int, default=1280)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["VITRINE_CACHE"] = home
        print(
            "net | size | bare, photos/s | from the cache | decoding | ratio, cache (least to most) | ratio, decoding"
        )
        for backbone, size in NETS:
            measure(Path(home), backbone, size, options)


def measure(home: Path, backbone: str, size: int, options: argparse.Namespace) -> None:
    """One line of the table."""
    import torch
    from torch.nn import functional as F

    from vitrine.catalog import read_catalog
    from vitrine.data.augment import augment
    from vitrine.data.photo_store import PhotoStore
    from vitrine.synth import render_catalog
    from vitrine.tasks.taxonomy.objective import objective
    from vitrine.tasks.taxonomy.settings import TaxonomySettings
    from vitrine.tasks.taxonomy.systems import build, describe
    from vitrine.training.engine import fit, training_device, uses_bfloat16

    if not (home / "catalog").exists():
        render_catalog(home / "catalog", listings=300)
    catalog = read_catalog(home / "catalog")
    table = catalog.table.iloc[np.arange(options.photos) % len(catalog.table)].reset_index(drop=True)
    catalog = catalog.with_table(table.assign(split="train"))
    settings = TaxonomySettings(
        epochs=1, batch_size=options.batch, image_size=size, backbone=backbone, learning_rate=1e-3, trunk_rate=0.1
    )
    config = {"backbone": backbone, "image_size": size, "hidden": settings.hidden}
    config |= describe(catalog, "bcnn")
    net = build(config)
    cached = PhotoStore.of_catalog(catalog, size)
    plain = PhotoStore([catalog.uri(image) for image in table["image"]], size)
    device = training_device()
    mixed = uses_bfloat16(settings, device)
    bare_net = build(config).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(bare_net.parameters(), lr=settings.learning_rate)
    rows = np.array_split(np.arange(len(table)), len(table) // options.batch)
    ready = [cached.read(own).to(device) for own in rows]
    labels = [torch.randint(len(config["leaves"]), (len(own),), device=device) for own in rows]

    def bare() -> None:
        bare_net.train()
        for step, (pixels, truth) in enumerate(zip(ready, labels, strict=True)):
            views = augment(pixels, (0, step))
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                loss = F.cross_entropy(bare_net(views)[1]["leaf"], truth)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def ours(store: PhotoStore) -> None:
        learnt = objective(net, catalog, store, config, settings)
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            fit(net, learnt, settings, Path(folder) / "checkpoint.pt", "benchmark", "")

    times = alternating([bare, lambda: ours(cached), lambda: ours(plain)], options.rounds, warm_up=1)
    photos = " | ".join(f"{len(table) / statistics.median(own):.0f}" for own in times)
    ratios = [[one / other for one, other in zip(times[0], own, strict=True)] for own in times[1:]]
    spread = [f"{statistics.median(own):.2f} ({min(own):.2f} to {max(own):.2f})" for own in ratios]
    print(f"{backbone} | {size} | {photos} | {' | '.join(spread)}", flush=True)


if __name__ == "__main__":
    main()
