"""An index of photos by embedding: a folder of segments that grows and shrinks without being rebuilt."""

import fcntl
import logging
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vitrine import files
from vitrine.errors import InputError
from vitrine.retrieval import approximate
from vitrine.retrieval.exact import best_of, fast_codes, search_exact
from vitrine.retrieval.segment import Segment, in_order, mapped, unit_rows, write_segment

CONTENTS = "index.json"
LOCK = ".index.json.lock"
FORMAT = 1
NAME = re.compile(r"(segment|removed)-[A-Za-z0-9_]+(\.npy)?")  # of what index.json may name
CANDIDATES = 25  # approximate neighbours ranked exactly again, for each that is wanted
LEAST_CANDIDATES = 1000
THIN = 0.2  # share of a segment that a category or what was removed leaves; below, exact search looks at it alone

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hit:
    """One result; `score` is the cosine, `place` where the photo stands in the index (`Index.uri_at`)."""

    image: str
    uri: str
    product: str
    category: str
    score: float
    place: str


class Index:
    """An index folder, opened for searching.

    `index.json` names the segments, and for each the file of removed rows if there is one. Segments never change; a
    change writes new files and then replaces `index.json`, so a search that is running goes on with what it opened,
    and a broken change leaves the index as it was. Several processes may change an index: each takes up what the
    others have written, and replaces `index.json` while it holds the lock. Searches take no lock.

    Raises:
        InputError: if the folder is no index.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / CONTENTS).is_file():
            raise InputError(f"{folder}: not an index (no {CONTENTS}); make one with `vitrine index`")
        self.segments: list[Segment] = []
        self._read()

    def _read(self) -> None:
        """Takes up what `index.json` says now."""
        contents = files.read_json(self.folder / CONTENTS)
        while True:
            try:
                self._take_up(contents)
                return
            except InputError:  # a change deletes what is not named any more
                failed, contents = contents, files.read_json(self.folder / CONTENTS)
                if contents == failed:
                    raise

    def _take_up(self, contents: Any) -> None:
        folder = self.folder
        if not isinstance(contents, dict) or contents.get("format") != FORMAT:
            raise InputError(f"{folder}: an index of another format; make it anew with `vitrine index`")
        names, removed = contents.get("segments"), contents.get("removed")
        if not isinstance(names, list) or not isinstance(removed, dict):
            raise InputError(f"{folder}: damaged ({CONTENTS} names no segments)")
        for name in (*names, *removed, *removed.values()):
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise InputError(f"{folder}: damaged ({CONTENTS} names {name!r}, which is nothing of an index)")
        opened = {segment.folder.name: segment for segment in self.segments}
        self.segments = [opened.get(name) or Segment(folder / name) for name in names]
        self._removed: dict[str, str] = removed
        self._alive = [self._read_alive(segment) for segment in self.segments]
        if len({segment.vectors.shape[1] for segment in self.segments}) > 1:
            raise InputError(f"{folder}: damaged (embeddings of different lengths)")

    def __len__(self) -> int:
        return sum(int(np.count_nonzero(alive)) for alive in self._alive)

    @property
    def dim(self) -> int:
        """Length of the embeddings; 0 while there are none."""
        return int(self.segments[0].vectors.shape[1]) if self.segments else 0

    def uri_at(self, place: str) -> str:
        """The photo that `Hit.place` names.

        Raises:
            InputError: if the index holds no such photo, or does not any more.
        """
        name, _, row = place.partition("/")
        for segment, alive in zip(self.segments, self._alive, strict=True):
            exists = segment.folder.name == name and row.isascii() and row.isdigit() and len(row) <= 12
            if exists and int(row) < len(alive) and alive[int(row)]:
                return str(segment.rows["uri"].iloc[int(row)])
        raise InputError(f"{self.folder}: holds no photo at {place!r}")

    def products_of(self, uris: Sequence[str]) -> list[str]:
        """What indexed photos show, by where they are; "" for a photo that is not here, or shows no known product."""
        wanted, found = set(uris), dict[str, str]()
        for segment, alive in zip(self.segments, self._alive, strict=True):
            rows = segment.rows[segment.rows["uri"].isin(wanted).to_numpy() & alive]
            found |= dict(zip(rows["uri"].tolist(), rows["product"].tolist(), strict=True))
        return [found.get(uri, "") for uri in uris]

    def embeddings_of(self, product: str) -> np.ndarray:
        """Of the photos of a product, (n, dim), of length 1; none for one that is not here."""
        embeddings = [np.empty((0, self.dim), np.float32)]
        for segment, alive in zip(self.segments, self._alive, strict=True):
            embeddings.append(segment.vectors[(segment.rows["product"] == product).to_numpy() & alive])
        return np.concatenate(embeddings)

    @classmethod
    def create(cls, folder: Path) -> "Index":
        """Makes an empty index in an existing folder."""
        files.write_json(folder / CONTENTS, {"format": FORMAT, "segments": [], "removed": {}})
        return cls(folder)

    def add(self, table: pd.DataFrame, batches: Iterable[np.ndarray]) -> None:
        """Adds photos. One that is in the index already (the same `uri`) replaces its earlier self.

        Args:
            table: Columns image, uri, product, category, in the order of `in_order`.
            batches: Their features, see `write_segment`.

        Raises:
            InputError: if the features do not fit the index.
        """
        added = self._write(table, batches)  # which may take hours, and keeps nobody waiting
        uris = set(table["uri"])
        try:
            with self._changing():
                if self.dim not in (0, added.vectors.shape[1]):
                    raise InputError(f"{self.folder}: embeddings of another length ({added.vectors.shape[1]})")
                removed = self._without([segment.rows["uri"].isin(uris).to_numpy() for segment in self.segments])
                self._replace([*self.segments, added], removed)
        except BaseException:
            if not any(added is named for named in self.segments):
                shutil.rmtree(added.folder, ignore_errors=True)
            raise

    def remove(self, products: Sequence[str] = (), images: Sequence[str] = ()) -> int:
        """Removes all photos of some products, and some photos by their `image` or `uri`; how many there were."""
        with self._changing():
            before = len(self)
            gone = [
                (
                    segment.rows["product"].isin(products)
                    | segment.rows["image"].isin(images)
                    | segment.rows["uri"].isin(images)
                ).to_numpy()
                for segment in self.segments
            ]
            self._replace(self.segments, self._without(gone))
            return before - len(self)

    def search(
        self, features: np.ndarray, k: int, category: str = "", exact: bool = False, candidates: int = 0
    ) -> list[list[Hit]]:
        """The k nearest photos to each query, nearest first; fewer where there are fewer.

        Args:
            features: (m, dim), of any length.
            k: At least 1.
            category: Only photos at or below this node of the category tree.
            exact: Compare with every photo, instead of nearly all.
            candidates: Photos of each segment that are scored exactly after the approximate scan; 0: 25 k, at least
                1000.

        Raises:
            InputError: if k is below 1, the index is empty or its embeddings have another length, or no photo lies in
                the category.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}")
        if not len(self):
            raise InputError(f"{self.folder}: holds no photos")
        if features.shape[1] != self.segments[0].vectors.shape[1]:
            raise InputError(f"{self.folder}: holds embeddings of another length than {features.shape[1]}")
        queries = unit_rows(features)
        if not np.isfinite(queries).all():
            raise InputError(f"{self.folder}: a query's embedding is not finite")
        count = max(candidates or CANDIDATES * k, k, 0 if candidates else LEAST_CANDIDATES)
        hits_of_query: list[list[tuple[int, int, float]]] = [[] for _ in queries]
        anything = False
        for number, (segment, alive) in enumerate(zip(self.segments, self._alive, strict=True)):
            part = segment.slice_of(category)
            if not alive[part].any():
                continue
            anything = True
            for hits, (rows, scores) in zip(
                hits_of_query, _search_segment(segment, alive, part, queries, k, exact, count), strict=True
            ):
                hits += [(number, int(row), float(score)) for row, score in zip(rows, scores, strict=True)]
        if not anything:
            raise InputError(f"{self.folder}: no photo in category {category!r}")
        return [[self._hit(*best) for best in sorted(hits, key=lambda hit: -hit[2])[:k]] for hits in hits_of_query]

    def compact(self) -> None:
        """Writes all photos that are left into one segment; what was removed is gone, later searches are faster."""
        with self._changing():
            tables = [
                segment.rows.assign(segment=i, row=range(len(segment.rows))) for i, segment in enumerate(self.segments)
            ]
            kept = [table[alive] for table, alive in zip(tables, self._alive, strict=True)]
            old = self.segments
            if len(self):
                whole = in_order(pd.concat(kept))
                self._replace([self._write(whole, _gathered(old, whole))], {})
            else:
                self._replace([], {})
            for segment in old:
                shutil.rmtree(segment.folder, ignore_errors=True)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """While nobody else changes the index, from the state that the others left it in."""
        with ExitStack() as stack:
            try:
                # To lock it one has to read it only: others who may change the folder need not own the file.
                lock = os.open(self.folder / LOCK, os.O_RDONLY | os.O_CREAT, 0o666)
                stack.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX)  # held until it is closed
            except OSError as error:
                _log.warning(
                    "%s: cannot be locked (%s); nobody else may change it meanwhile", self.folder, error.strerror
                )
            self._read()
            yield

    def _write(self, table: pd.DataFrame, batches: Iterable[np.ndarray]) -> Segment:
        """A new segment that `index.json` does not name yet."""
        path = Path(tempfile.mkdtemp(prefix="segment-", dir=self.folder))
        try:
            write_segment(path, table, batches)
            path.chmod(0o755)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return Segment(path)

    def _hit(self, segment: int, row: int, score: float) -> Hit:
        image, uri, product, category = (column[row] for column in self.segments[segment].columns)
        return Hit(image, uri, product, category, score, f"{self.segments[segment].folder.name}/{row}")

    def _read_alive(self, segment: Segment) -> np.ndarray:
        segment.check()
        name = segment.folder.name
        if name not in self._removed:
            return np.ones(len(segment.rows), bool)
        removed = mapped(self.folder / self._removed[name], np.bool_, (len(segment.rows),))
        return ~removed

    def _without(self, gone: Sequence[np.ndarray]) -> dict[str, str]:
        """Files of removed rows after some more are gone."""
        removed = dict(self._removed)
        for segment, alive, more in zip(self.segments, self._alive, gone, strict=True):
            if (more & alive).any():
                name = f"removed-{secrets.token_hex(4)}.npy"
                np.save(self.folder / name, ~alive | more)
                removed[segment.folder.name] = name
        return removed

    def _replace(self, segments: Sequence[Segment], removed: dict[str, str]) -> None:
        contents = {"format": FORMAT, "segments": [segment.folder.name for segment in segments], "removed": removed}
        files.write_json(self.folder / CONTENTS, contents)
        for name in set(self._removed.values()) - set(removed.values()):
            (self.folder / name).unlink(missing_ok=True)
        self.segments, self._removed = list(segments), removed
        self._alive = [self._read_alive(segment) for segment in self.segments]


def _search_segment(
    segment: Segment, alive: np.ndarray, part: slice, queries: np.ndarray, k: int, exact: bool, count: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per query the best rows of one segment and their scores."""
    living = int(np.count_nonzero(alive[part]))
    share = living / len(alive)
    if exact or share < THIN or segment.product_codes is None:
        return _exactly(segment, alive, part, queries, k)
    allowed = np.zeros(len(alive), bool)
    allowed[part] = alive[part]
    near = approximate.candidates(segment.product_codes, queries, int(count / share))
    hits = []
    for i, rows in enumerate(near):
        rows = np.sort(rows[rows >= 0])
        rows = rows[allowed[rows]]
        if len(rows) < min(k, living):  # what is near lies in other categories
            hits += _exactly(segment, alive, part, queries[i : i + 1], k)
        else:
            hits.append(best_of(rows, queries[i], segment.vectors, segment.codes, k))
    return hits


def _exactly(
    segment: Segment, alive: np.ndarray, part: slice, queries: np.ndarray, k: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    living = alive[part]
    codes = segment.codes.part(part) if fast_codes() else None
    rows, scores = search_exact(queries, segment.vectors[part], codes, k, None if living.all() else living)
    return list(zip(rows + part.start, scores, strict=True))


def _gathered(segments: Sequence[Segment], table: pd.DataFrame, rows_at_once: int = 16_384) -> Iterable[np.ndarray]:
    for start in range(0, len(table), rows_at_once):
        some = table.iloc[start : start + rows_at_once]
        batch = np.empty((len(some), segments[0].vectors.shape[1]), np.float32)
        for number in some["segment"].unique():
            of_segment = (some["segment"] == number).to_numpy()
            batch[of_segment] = segments[number].vectors[some["row"].to_numpy()[of_segment]]
        yield batch
