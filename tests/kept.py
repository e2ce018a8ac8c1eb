"""Model folders of every task, as earlier versions wrote them: their config.json, and random tensors of their shapes."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

KEPT = sorted(Path(__file__).with_name("kept_models").glob("*.json"))


def model_folder(kept: Path | str, folder: Path) -> Path:
    """Makes the model folder that a file (or its name without ending) of `kept_models` describes."""
    told = json.loads(next(path for path in KEPT if str(kept) in (str(path), path.stem)).read_text())
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(told["config"]))
    rng = np.random.default_rng(0)
    tensors = {
        name: (rng.random(shape) if kind.startswith("float") else np.zeros(shape)).astype(kind)
        for name, (kind, shape) in told["tensors"].items()
    }
    save_file(tensors, folder / "model.safetensors")
    (folder / "metrics.json").write_text("{}")
    (folder / "card.md").write_text("# Kept\n")
    return folder
