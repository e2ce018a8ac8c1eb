"""What the frozen first layers of a net make of photos, computed once for each photo and kept.

Frozen layers give the same maps in every pass, and they are the dear ones: the layers of MobileNetV2 whose maps are
large take most of its time. So their output is kept, by what names the photo's content, the layers' tensors, and the
augmented copy: a photo is augmented in `copies` ways, not anew in each pass.
"""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitrine import files
from vitrine.data.augment import DRAWS, generator_of, transformed
from vitrine.data.inputs import to_device
from vitrine.data.photo_store import PhotoStore, make_room

LAYOUT = "3"  # changes when what is kept of a photo changes
MAX_CACHE_BYTES = 20 << 30
SHARD_BYTES = 32 << 20
NAME_BYTES = 16
PLAIN = 0  # the number of the copy that is not augmented
# Photos that layers see at once, always: a convolution of fewer may sum in another order, and then a map would depend
# on what another process had kept before. On a CPU more than a few leave its caches (see `inference`).
TOGETHER = {"cpu": 4, "cuda": 32}
HALF = float(np.finfo(np.float16).max)


class FeatureStore:
    """Stands where a `PhotoStore` does, and gives feature maps where that gives photos.

    Maps are kept in half precision, in memory-mapped files below `folder`. Each process adds files of its own and
    reads what others had written when it began; where the disk takes no more, or all files together are as large as
    they may be and this store uses them all, maps are computed each time.

    Args:
        photos: The photos.
        layers: The frozen layers, on the device they run on.
        copies: In how many ways a photo is augmented; 0: not at all, so that every pass sees it as it is.
        folder: Where maps are kept; default: below `files.cache_folder()`.
    """

    def __init__(self, photos: PhotoStore, layers: nn.Module, copies: int, folder: Path | None = None) -> None:
        self.photos = photos
        self.size = photos.size
        self.contents = photos.contents
        self.computed = 0  # maps, by this store
        self._layers = layers.eval()
        self._device = next(layers.parameters()).device
        self.copies = copies
        with torch.inference_mode():
            channels, *edges = layers(torch.zeros(1, 3, self.size, self.size, device=self._device)).shape[1:]
        self._entry = np.dtype([("filled", "u1"), ("name", f"S{NAME_BYTES}"), ("map", "<f2", (*edges, channels))])
        self._key = _name_of(layers, self.size)
        self._folder = folder or files.cache_folder() / "features"
        self._shards: list[np.memmap[Any, Any]] = []
        self._used: dict[int, str] = {}  # of these, those that something was read from or written to, and their names
        self._places: dict[bytes, tuple[int, int]] = {}
        self._free: list[tuple[int, int]] = []  # places in this process's newest file
        self._keeps = True
        for path in sorted(self._folder.glob(f"{self._key}-*.maps")):
            self._read(path)

    def __len__(self) -> int:
        return len(self.photos)

    def batches(self, index_batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Batches of rows in the given order; `augmented` and `normalised` make maps of them."""
        for rows in index_batches:
            yield rows, torch.from_numpy(np.asarray(rows, np.int64))

    def normalised(self, batch: Tensor, device: torch.device) -> Tensor:
        """Maps of photos as they are: rows (n,) to (n, channels, height, width) float32, channels last."""
        return self.copy(batch, device, PLAIN)

    def augmented(self, batch: Tensor, device: torch.device, seed: tuple[int, ...]) -> Tensor:
        """The same of one of the augmented copies of each photo; which one depends on `seed` alone."""
        return self._maps(batch.numpy(), self.copies_drawn(len(batch), seed), device)

    def copies_drawn(self, count: int, seed: tuple[int, ...]) -> np.ndarray:
        """Which copy `augmented` shows of each of so many photos, (count,) from 1; 0 where there are none."""
        if not self.copies:
            return np.full(count, PLAIN)
        return torch.randint(1, self.copies + 1, (count,), generator=generator_of(seed)).numpy()

    def copy(self, batch: Tensor, device: torch.device, number: int) -> Tensor:
        """Maps of photos as a copy shows them; 0: as they are."""
        return self._maps(batch.numpy(), np.full(len(batch), number), device)

    def _maps(self, rows: np.ndarray, copies: np.ndarray, device: torch.device) -> Tensor:
        names = [copy_name(self.contents[row], copy) for row, copy in zip(rows, copies, strict=True)]
        places = np.array([self._places.get(name, (-1, -1)) for name in names])
        maps = np.empty((len(rows), *self._entry["map"].shape), np.float16)
        missing = places[:, 0] < 0
        if missing.any():
            maps[missing] = computed = self._compute(rows[missing], copies[missing])
            self._keep([name for name, is_missing in zip(names, missing, strict=True) if is_missing], computed)
        for shard in np.unique(places[~missing, 0]).tolist():
            if shard not in self._used:
                self._use(shard)
            inside = places[:, 0] == shard
            maps[inside] = self._shards[shard]["map"][places[inside, 1]]
        return to_device(torch.from_numpy(maps), device).float().permute(0, 3, 1, 2)

    def _compute(self, rows: np.ndarray, copies: np.ndarray) -> np.ndarray:
        """Maps of some photos' copies, (n, height, width, channels) half precision.

        Products are taken at 32 bits whatever the step that asks takes its own in: the next to ask may be another.
        """
        computed = np.empty((len(rows), *self._entry["map"].shape), np.float16)
        _, pixels = next(self.photos.batches([rows]))
        count = TOGETHER[self._device.type]
        for part in (np.flatnonzero(copies == PLAIN), np.flatnonzero(copies != PLAIN)):
            for start in range(0, len(part), count):
                some = part[start : start + count]
                filled = np.resize(some, count)  # where there are fewer, again from the first
                seen = self._seen(pixels[torch.from_numpy(filled)], rows[filled], copies[filled])
                with torch.inference_mode(), torch.autocast(self._device.type, enabled=False):
                    maps = self._layers(seen).float().clamp(-HALF, HALF).half()
                computed[some] = maps[: len(some)].permute(0, 2, 3, 1).cpu().numpy()
        self.computed += len(rows)
        return computed

    def _seen(self, pixels: Tensor, rows: np.ndarray, copies: np.ndarray) -> Tensor:
        """What the layers see of photos that are all plain, or all augmented copies: (n, 3, size, size) float32."""
        batch = pixels.to(self._device)
        if copies[0] == PLAIN:
            return PhotoStore.normalised(batch, self._device)
        draws = [_draws(copy_name(self.photos.name(row), copy)) for row, copy in zip(rows, copies, strict=True)]
        return transformed(batch, torch.from_numpy(np.stack(draws, axis=1)))

    def _keep(self, names: Sequence[bytes], maps: np.ndarray) -> None:
        for name, feature_map in zip(names, maps, strict=True):
            if not self._free:
                self._add_file()
            if not self._keeps:
                return
            shard, slot = self._free.pop()
            entry = self._shards[shard][slot : slot + 1]
            entry["name"], entry["map"] = name, feature_map
            entry["filled"] = 1  # last: a killed process leaves no place that only looks filled
            self._places[name] = shard, slot

    def _add_file(self) -> None:
        count = max(1, SHARD_BYTES // self._entry.itemsize)
        needed = count * self._entry.itemsize
        path = self._folder / f"{self._key}-{secrets.token_hex(8)}.maps"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._keeps = make_room(self._folder, "*.maps", needed, MAX_CACHE_BYTES, set(self._used.values()))
            if not self._keeps:
                return
            with files.atomic_write(path) as temporary, temporary.open("wb") as file:
                file.truncate(needed)
                if hasattr(os, "posix_fallocate"):  # see `photo_store`
                    os.posix_fallocate(file.fileno(), 0, needed)
            self._shards.append(np.memmap(path, self._entry, "r+"))
            newest = len(self._shards) - 1
            self._used[newest] = path.name
            self._free = [(newest, slot) for slot in reversed(range(count))]
        except OSError:  # the cache is only ever a convenience
            self._keeps = False

    def _read(self, path: Path) -> None:
        """What another store has kept."""
        try:
            kept = np.memmap(path, self._entry, "r")
        except (OSError, ValueError):  # gone meanwhile, or cut short
            return
        self._shards.append(kept)
        number = len(self._shards) - 1
        self._places |= {kept["name"][slot]: (number, slot) for slot in np.flatnonzero(kept["filled"])}

    def _use(self, shard: int) -> None:
        """Notes that a file is in use: reading alone would not show."""
        path = Path(str(self._shards[shard].filename))
        self._used[shard] = path.name
        with contextlib.suppress(OSError):  # dropped meanwhile, or not ours to touch; what is mapped stays
            os.utime(path)


def _name_of(layers: nn.Module, size: int) -> str:
    """Of some layers: their kinds and tensors, and the size of the photos they see."""
    digest = hashlib.sha256(f"{LAYOUT} {size} {layers}\n".encode())
    for tensor in layers.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]


def copy_name(content: str, copy: int) -> bytes:
    """What a copy of a photo is known by: a hash of both, `NAME_BYTES` letters."""
    # Without zero bytes at its end, which numpy's fixed-width bytes cannot tell from none.
    return hashlib.blake2b(f"{copy} {content}".encode(), digest_size=NAME_BYTES // 2).hexdigest().encode()


def _draws(name: bytes) -> np.ndarray:
    """The random view of a copy, (`DRAWS`,) float32: the same wherever it is made, whenever the photo came there."""
    return np.random.default_rng(list(name)).random(DRAWS, np.float32)
