"""Training as `vitrine train` does it, against a bare torch loop over tensors that are ready.

    python benchmarks/train_step.py [--rounds 5] [--photos 1280] [--batch 64] [--nets mobilenet_v2:128 ...]

The bare loop has the same net (`bcnn`), optimiser, precision, augmentation and batch size; its photos lie in memory.
Ours reads the photos of a rendered catalog, augments them, takes the step and writes its checkpoint: once from the
cache of decoded photos, as in every epoch but the first, and once decoding them anew. The three take turns; the ratio
is ours to bare, in photos/s. MobileNetV2 is tuned whole, as `trunk=tuned` does. Memory: the most that a process holds
which does one of the two alone, photos in memory for the bare one, cached ones for ours; on a GPU what torch allocates.
"""

import argparse
import contextlib
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from _rounds import alternating

NETS = ("resnet18_narrow:64", "mobilenet_v2:128")


def main() -> None:
    """Prints photos per second and the ratios for each net."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=int, default=1280)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--nets", nargs="+", default=NETS, help="NAME:PIXELS each")
    parser.add_argument("--only", choices=("bare", "ours"), help="print the memory of one loop, and nothing else")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["VITRINE_CACHE"] = home
        if options.only:
            measure(Path(home), *options.nets[0].split(":"), options)
            return
        print(
            "net | size | bare, photos/s | from the cache | decoding | ratio, cache (least to most) | "
            "ratio, decoding | memory, MB: bare | ours"
        )
        for net in options.nets:
            measure(Path(home), *net.split(":"), options)


def peak(net: str, loop: str, options: argparse.Namespace) -> str:
    """The memory that a process of its own comes to, MB."""
    sizes = [f"--photos={options.photos}", f"--batch={options.batch}", "--rounds=2"]
    command = [sys.executable, __file__, f"--nets={net}", f"--only={loop}", *sizes]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]


def measure(home: Path, backbone: str, pixels: str, options: argparse.Namespace) -> None:
    """One line of the table, or the memory of one loop."""
    import torch
    from torch.nn import functional as F

    from vitrine.catalog import read_catalog
    from vitrine.data.augment import augment
    from vitrine.data.photo_store import PhotoStore
    from vitrine.synth import render_catalog
    from vitrine.tasks.taxonomy.objective import objective
    from vitrine.tasks.taxonomy.plan import describe
    from vitrine.tasks.taxonomy.settings import TaxonomySettings
    from vitrine.tasks.taxonomy.systems import build
    from vitrine.training.engine import fit, training_device, uses_bfloat16

    size = int(pixels)
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

    if options.only:
        loop = bare if options.only == "bare" else lambda: ours(cached)
        alternating([loop], options.rounds, warm_up=1)
        on_gpu = device.type == "cuda"
        most = (
            torch.cuda.max_memory_allocated() if on_gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        )
        print(round(most / 2**20))
        return
    times = alternating([bare, lambda: ours(cached), lambda: ours(plain)], options.rounds, warm_up=1)
    photos = " | ".join(f"{len(table) / statistics.median(own):.0f}" for own in times)
    ratios = [[one / other for one, other in zip(times[0], own, strict=True)] for own in times[1:]]
    spread = [f"{statistics.median(own):.2f} ({min(own):.2f} to {max(own):.2f})" for own in ratios]
    memory = " | ".join(peak(f"{backbone}:{size}", loop, options) for loop in ("bare", "ours"))
    print(f"{backbone} | {size} | {photos} | {' | '.join(spread)} | {memory}", flush=True)


if __name__ == "__main__":
    main()
