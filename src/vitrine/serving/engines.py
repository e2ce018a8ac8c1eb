"""What asks the nets: torch, onnxruntime, or whichever is faster on this machine."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vitrine.blocks.folded import fold_batch_norms
from vitrine.data.pixels import Query
from vitrine.errors import InputError
from vitrine.export import with_onnx
from vitrine.predict import Model

TORCH, ONNX, AUTO = "torch", "onnx", "auto"
ROUNDS = 5  # of each engine in turns; the best of them counts, as what else the machine does only adds
ASKED = (1, 8)  # photos: a lone client's, and a batch's

Load = Callable[[Path], tuple[Model, str]]  # a model folder to what answers, and its engine

_log = logging.getLogger(__name__)


def load_torch(folder: Path) -> tuple[Model, str]:
    """With the net it was trained as, its batch norms folded into the convolutions before them."""
    model = Model.load(folder)
    return replace(model, net=fold_batch_norms(model.net)), TORCH


def load_onnx(folder: Path) -> tuple[Model, str]:
    """With onnxruntime; what cannot be exported answers with torch."""
    try:
        return with_onnx(folder), ONNX
    except InputError as error:
        _log.warning("%s; torch answers", error)
        return load_torch(folder)


def load_faster(folder: Path) -> tuple[Model, str]:
    """With whichever takes less time about one photo and about a batch, measured now; on a GPU with torch."""
    plain = load_torch(folder)
    if next(plain[0].net.parameters()).is_cuda:
        return plain
    other = load_onnx(folder)
    if other[1] == TORCH:
        return plain
    took = [0.0, 0.0]
    for photos in ASKED:
        for place, seconds in enumerate(best_of([plain[0], other[0]], photos)):
            took[place] += seconds / photos
    _log.info("%s: torch %.1f ms a photo, onnxruntime %.1f", folder, *(1000 * own / len(ASKED) for own in took))
    return other if took[1] < took[0] else plain


def best_of(models: Sequence[Model], photos: int) -> list[float]:
    """The least seconds of each model, asked in turns about so many grey photos."""
    size = int(models[0].config["image_size"])
    grey = np.full((photos, size, size, 3), 128, np.uint8)
    query = Query(grey, [f"photo {i}" for i in range(photos)], 1)
    found = [float("inf")] * len(models)
    for turn in range(-1, ROUNDS):  # the first warms up
        for place, model in enumerate(models):
            started = time.perf_counter()
            model.reply([query])
            if turn >= 0:
                found[place] = min(found[place], time.perf_counter() - started)
    return found


ENGINES: Mapping[str, Load] = {TORCH: load_torch, ONNX: load_onnx, AUTO: load_faster}
