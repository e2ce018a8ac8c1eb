"""Running a net over photos."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from vitrine.data.corruptions import corrupt, photo_seed
from vitrine.data.inputs import Inputs
from vitrine.memory import collect_often, keep_freed_memory

BATCH = 128  # photos that are decoded together, and that a GPU is shown at once
# Of the photos that a CPU is shown at once, 16 of 128 px: what a layer makes of more leaves its caches before the next
# layer reads it, which takes MobileNetV2 twice the time (docs/performance.md).
CPU_PIXELS = 16 * 128**2
# (rows, pixels) to the pixels that a net is shown instead, both (n, 3, h, w) uint8.
Change = Callable[[np.ndarray, Tensor], Tensor]
View = Callable[[Tensor, torch.device], Tensor]  # a batch of a store to a net's inputs


def run_net(
    net: nn.Module,
    store: Inputs,
    rows: np.ndarray,
    embeddings: bool = False,
    change: Change | None = None,
    view: View | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Features and scores of some photos, in the order of `rows`, the net in evaluation mode.

    Args:
        net: `net(photos)` gives (features, scores by name); with `embeddings`, `net.embed(photos)` is asked instead.
        store: The photos.
        rows: Which, (n,).
        embeddings: Ask for the embeddings before they are compared with the dictionary.
        change: What the net is shown instead.
        view: How photos are shown; default: as they are.

    Returns:
        Features (n, dim) float32 and, by name, (n, m) float32.
    """
    keep_freed_memory()
    collect_often()
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    ask: Callable[[Tensor], tuple[Tensor, dict[str, Tensor]]] = net.embed if embeddings else net  # type: ignore[assignment]
    view = view or store.normalised
    features, scores = [], []
    with torch.inference_mode():
        for batch, pixels in store.batches(np.array_split(rows, range(BATCH, len(rows), BATCH))):
            if change is not None:
                pixels = change(batch, pixels)
            for shown in pixels.split(photos_at_once(store.size, device)):
                pooled, named = ask(view(shown, device))
                features.append(pooled.float().cpu().numpy())
                scores.append({name: value.float().cpu().numpy() for name, value in named.items()})
    net.train(was_training)
    return np.concatenate(features), {name: np.concatenate([batch[name] for batch in scores]) for name in scores[0]}


def photos_at_once(size: int, device: torch.device) -> int:
    """How many photos of `size` x `size` pixels a net is shown at once where nothing is learnt."""
    return min(BATCH, max(1, CPU_PIXELS // size**2)) if device.type == "cpu" else BATCH


def probabilities(scores: np.ndarray, temperature: float, offsets: np.ndarray | float = 0.0) -> np.ndarray:
    """Calibrated probabilities of the labels: softmax(scores / temperature + offsets), (n, m), in double precision."""
    return softmax(scores.astype(np.float64) / temperature + offsets, axis=1)


def corruption(name: str, severity: int, images: np.ndarray, seed: int = 0) -> Change:
    """Corrupts photos as the net would see them, at its size; the draw depends on the photo and the seed.

    Args:
        name: One of `CORRUPTIONS`.
        severity: 1 to 5.
        images: The photos' names in the catalog, by row.
        seed: Of the draws.
    """
    seeds = [photo_seed(image, seed) for image in images]

    def change(rows: np.ndarray, pixels: Tensor) -> Tensor:
        photos = pixels.permute(0, 2, 3, 1).contiguous().numpy()
        changed = [corrupt(photo, name, severity, seeds[row]) for row, photo in zip(rows, photos, strict=True)]
        return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2)

    return change
