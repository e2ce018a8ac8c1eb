"""Teachers' embeddings of photos, computed once and kept: a file per teacher, an embedding per photo or view of it.

A photo is known by its content (the SHA-256 that cleaning noted, else its address; and its size and time of change),
not by its place in a table; a teacher by its tensors. So a changed photo or a retrained teacher is never answered from
what was kept, new photos cost their own forward pass only, and reordered or reduced catalogs cost none.
"""

import hashlib
import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from vitrine import files
from vitrine.data.feature_store import PLAIN, FeatureStore, copy_name
from vitrine.data.inputs import Inputs
from vitrine.data.photo_store import make_room
from vitrine.inference import run_net
from vitrine.tasks.attributes.net import AttributeNet

LAYOUT = "3"  # changes when the way photos reach a teacher, or the file, changes
MAX_CACHE_BYTES = 4 << 30


def teacher_embeddings(folder: Path, teacher: AttributeNet, store: Inputs, rows: np.ndarray) -> tuple[np.ndarray, int]:
    """Where a teacher places photos: each of the views that a student is shown again and again, if there are such.

    Args:
        folder: The teacher's model folder.
        teacher: Its net.
        store: The photos, at the teacher's size; of a `FeatureStore` with copies these are looked at.
        rows: Which photos, (n,).

    Returns:
        (photos of the store, copies or 1, D) float16 of unit length, 0 for photos not asked about; and how many views
        had to be computed.
    """
    cache = files.cache_folder() / "teacher-embeddings" / f"{_name_of(folder, store.size)}.npz"
    dim = len(teacher.dictionaries[0][0])
    embeddings = _read(cache, dim)
    copies = store.copies if isinstance(store, FeatureStore) else 0
    placed = np.zeros((len(store), copies or 1, dim), np.float16)
    computed = 0
    for place, copy in enumerate(range(1, copies + 1) or [PLAIN]):
        names = np.array([copy_name(store.contents[row], copy) for row in rows])
        missing = np.flatnonzero([name not in embeddings for name in names.tolist()])
        if len(missing):
            # Once for each content, however many rows show it.
            _, first = np.unique(names[missing], return_index=True)
            missing = missing[np.sort(first)]
            view = partial(store.copy, number=copy) if isinstance(store, FeatureStore) else store.normalised
            answered = run_net(teacher, store, rows[missing], embeddings=True, view=view)[1][teacher.kinds[0]]
            answered /= np.maximum(np.linalg.norm(answered, axis=1, keepdims=True), np.finfo(np.float32).tiny)
            embeddings |= dict(zip(names[missing].tolist(), answered.astype(np.float16), strict=True))
            computed += len(missing)
        placed[rows, place] = np.stack([embeddings[name] for name in names.tolist()])
    if computed:
        _write(cache, embeddings)
    return placed, computed


def _name_of(folder: Path, size: int) -> str:
    digest = hashlib.sha256(f"{LAYOUT} {size}\n".encode())
    for name in ("config.json", "model.safetensors"):
        digest.update((Path(folder) / name).read_bytes())
    return digest.hexdigest()[:24]


def _read(cache: Path, dim: int) -> dict[bytes, np.ndarray]:
    """Embeddings by photo; none where there is no file, or a damaged one."""
    try:
        with np.load(cache, allow_pickle=False) as kept:
            names, embeddings = kept["photos"], kept["embeddings"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return {}
    if embeddings.shape != (len(names), dim) or embeddings.dtype != np.float16:
        return {}
    return dict(zip(names.tolist(), embeddings, strict=True))


def _write(cache: Path, by_name: dict[bytes, np.ndarray]) -> None:
    embeddings = np.stack(list(by_name.values()))
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        more = embeddings.nbytes - (cache.stat().st_size if cache.exists() else 0)  # than what it replaces
        if not make_room(cache.parent, "*.npz", max(0, more), MAX_CACHE_BYTES, {cache.name}):
            return
        with files.atomic_write(cache) as temporary, temporary.open("wb") as handle:
            np.savez(handle, photos=np.array(list(by_name)), embeddings=embeddings)
    except OSError:  # a read-only or full disk: the cache is only ever a convenience
        return
