"""Model folders of every task: their config.json as version 0.1.0 wrote it, tensors of its names and shapes, and what
that version's code (commit 80e5989) predicted with them for the first two photos of `labelled_noise`."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.numpy import save_file

from vitrine.catalog import Catalog

KEPT = sorted(Path(__file__).with_name("kept_models").glob("*.json"))
LEAVES = ("Angular/Square/Crossed", "Angular/Square/Plain", "Round/Disc", "Round/Ring")


def write_kept(kept: Path, folder: Path) -> dict:
    """Makes a model folder of what is kept of one; the tensors are drawn. Returns what is kept."""
    told = json.loads(kept.read_text())
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(told["config"]))
    rng = np.random.default_rng(0)
    tensors = {name: _drawn(rng, *tensor) for name, tensor in told["tensors"].items()}
    save_file(tensors, folder / "model.safetensors")
    return told


def model_folder(kept: str, folder: Path) -> Path:
    """The folder of a model by its name in `kept_models`, with a card and figures."""
    write_kept(next(path for path in KEPT if path.stem == kept), folder)
    (folder / "metrics.json").write_text("{}")
    (folder / "card.md").write_text("# Kept\n")
    return folder


def _drawn(rng: np.random.Generator, kind: str, shape: list[int]) -> np.ndarray:
    """Weights under which signals neither vanish nor overflow; a single number or row scales or shifts."""
    if not kind.startswith("float"):
        return np.zeros(shape, kind)
    if len(shape) < 2:
        return (0.5 + rng.random(shape)).astype(kind)
    return (rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(kind)


def labelled_noise(folder: Path) -> Catalog:
    """Eight test photos of noise, with labels that the kept models know of every kind."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(8):
        image = f"{i}.png"
        Image.fromarray(rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)).save(folder / image)
        rows.append(
            {
                "image": image,
                "listing": f"listing {i // 2}",
                "product": f"product {i // 2}",
                "domain": ("user", "shop")[i % 2],
                "view": ("stamp", "tag")[i % 2],
                "category": LEAVES[i // 2],
                "attr:colour": ("blue", "green", "red")[i % 3],
                "attr:a.b": ("angular", "round")[i // 4],
                "verdict": ("authentic", "counterfeit")[(i // 2) % 2],
                "split": "test",
            }
        )
    return Catalog(str(folder), pd.DataFrame(rows), "v-1")
