"""What a pipeline's first step does: the catalog of one data revision, without a git checkout and without DVC.

DVC moves many small files slowly (its issues 6222, 7230 and 7607). The hashes of a folder stand in the `.dvc` file and
the `.dir` object it names, so the objects can be fetched by hash, many at a time.
"""

import hashlib
import logging
import os
import posixpath
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event

from tqdm import tqdm

from vitrine import files
from vitrine.catalog import packs
from vitrine.catalog.dvc_file import DVC_2, DVC_3, as_version, object_name, parse_listing, read_dvc_file, version_of
from vitrine.catalog.node_cache import NodeCache, has_md5, is_marked, seal
from vitrine.catalog.schema import is_safe_path
from vitrine.catalog.table import TABLE_NAMES, Catalog, read_catalog, write_catalog
from vitrine.catalog.version import versioned
from vitrine.errors import InputError

THREADS = files.CONNECTIONS
EVERY = 10.0  # seconds between two lines of a log; a bar moves 20 times as often

_log = logging.getLogger(__name__)


def fetch(
    source: str, out: Path, revision: str = "", remote: str = "", cache: Path | None = None, *, photos: bool = True
) -> Catalog:
    """Writes OUT/catalog.parquet, a table whose root says where the photos are, and returns it.

    From a catalog folder or `s3://` prefix no photo is copied. From a `.dvc` file the tracked folder is fetched from
    the DVC remote into this node's cache, where the photos then are; `at_hand` does the same on another node.

    Args:
        source: A catalog, or a `.dvc` file (local or `s3://`) that tracks one.
        out: The new folder.
        revision: DVC hash. A catalog must be at it; from a `.dvc` file it is fetched instead of the one recorded there.
        remote: The DVC remote of a `.dvc` file: a local folder or `s3://bucket/prefix`.
        cache: Where fetched objects are kept; default $VITRINE_PHOTOS, else $VITRINE_CACHE/data, else
            ~/.cache/vitrine/data.
        photos: Without them only the table is fetched, and whoever looks at photos calls `at_hand`.

    Raises:
        InputError: if anything is missing, damaged or at another revision: one line that names it.
    """
    with files.new_folder(Path(out)) as folder:
        if source.endswith(".dvc"):
            catalog = _fetch_tracked(source, revision, remote, _node_cache(cache), photos)
        else:
            catalog = _open_catalog(files.absolute(source), revision)
        catalog = replace(catalog, source=files.absolute(source))
        write_catalog(catalog, folder)
    return catalog


def asked_version(dvc_file: str, revision: str = "") -> str:
    """The folder's hash that a run asks for: `revision`, or what the `.dvc` file records.

    Raises:
        InputError: if it is no hash, or the file cannot be read.
    """
    if "://" in dvc_file and not files.is_s3(dvc_file):
        raise InputError(f"{dvc_file}: a .dvc file is read from a local path or s3://")
    return as_version(revision) if revision else read_dvc_file(files.absolute(dvc_file)).version


def at_hand(catalog: Catalog, cache: Path | None = None, images: Iterable[str] | None = None) -> Catalog:
    """The same table with its photos on this node, for one that another node made from a DVC remote, or packed.

    What is in this node's cache already is not fetched again. Any other catalog is returned as it is. The cache may be
    on a volume that several nodes share ($VITRINE_PHOTOS): objects are named by their content and appear whole.

    Args:
        catalog: The table.
        cache: As `fetch`.
        images: The photos that are needed, by their `image`; all of the revision by default.

    Raises:
        InputError: as `fetch`.
    """
    node = _node_cache(cache)
    if catalog.remote:
        version = as_version(Path(catalog.root).name)
        wanted = None if images is None else {posixpath.normpath(image) for image in images}
        tree = _fetch_tree(version, catalog.remote, node, wanted, catalog.packs)[0]
        return replace(catalog, root=str(tree))
    if catalog.packs and files.is_s3(catalog.root) and (index := packs.read_index(catalog.packs)) is not None:
        return replace(catalog, root=str(_unpack_tree(catalog, index, node, images)))
    return catalog


def pack(catalog: Catalog, images: Iterable[str], part: tuple[int, int], cache: Path | None = None) -> Catalog:
    """As `at_hand` for the photos of one shard, which are then packed for the steps behind where the table asks for it.

    Args:
        catalog: The table.
        images: The photos of the shard, by their `image`.
        part: Which shard, from 1 on, of how many.
        cache: As `fetch`.
    """
    local_images, node = (
        [image for image in images if is_safe_path(image) and not files.is_s3(image)],
        _node_cache(cache),
    )
    if not catalog.packs or packs.read_index(catalog.packs) is not None:
        return at_hand(catalog, cache, local_images)
    if catalog.remote:
        local = at_hand(catalog, cache, local_images)
        listing = _known_listing(Path(local.root).name, node)
        listed = listing[0] if listing else {}
        entries = {image: listed[image] for image in local_images if image in listed}
    else:
        state = _state(catalog)
        with node.one_at_a_time(state) as work:
            entries = packs.fetch_objects(catalog.root, local_images, node, work)
            node.lay_out(state, node.unsound(state, entries), DVC_3, work)
        local = replace(catalog, root=str(node.home / state))
    packs.write_packs(Path(local.root), entries, catalog.packs, part)
    return local


def _state(catalog: Catalog) -> str:
    """What the state of the data that was packed is called."""
    return catalog.packs.rstrip("/").split("/")[-2]


def _unpack_tree(
    catalog: Catalog, index: Mapping[str, tuple[str, str]], cache: NodeCache, images: Iterable[str] | None
) -> Path:
    """The folder in the cache with the photos of a state, those wanted sound."""
    state = _state(catalog)
    wanted = index.keys() if images is None else index.keys() & set(images)
    entries = {image: index[image][0] for image in wanted}
    if (cache.home / state).is_dir() and not cache.unsound(state, entries):
        return cache.home / state
    with cache.one_at_a_time(state) as work:
        unsound = cache.unsound(state, entries)
        lacking = {md5 for md5 in unsound.values() if not cache.holds(md5)}
        gone = lacking - packs.unpack(catalog.packs, index, lacking, cache, work)
        if gone:
            again = [image for image, md5 in unsound.items() if md5 in gone]
            unsound = {image: md5 for image, md5 in unsound.items() if md5 not in gone}
            unsound |= packs.fetch_objects(catalog.root, again, cache, work)
        cache.lay_out(state, unsound, DVC_3, work)
    return cache.home / state


def _node_cache(folder: Path | None) -> NodeCache:
    shared = os.environ.get("VITRINE_PHOTOS")
    return NodeCache(Path(files.absolute(folder or shared or files.cache_folder() / "data")))


def _open_catalog(source: str, revision: str) -> Catalog:
    catalog = read_catalog(source, check_rows=False)
    version = _version_beside(source) or versioned(catalog).data_version
    if revision and revision.removesuffix(".dir") != version.removesuffix(".dir"):
        raise InputError(f"{source}: is at {version}, not at {revision}; fetch from its .dvc file and remote instead")
    return replace(catalog, data_version=version)


def _version_beside(source: str) -> str:
    """What the `.dvc` file beside a folder says of it; "" if there is none, or the folder is not what was added.

    Every file is hashed, on S3 by its ETag. DVC 2 hashed text as if its lines ended in a line feed alone: a folder with
    text of other line ends that it added counts as changed.
    """
    dvc_file = f"{source}.dvc"
    if not files.exists(dvc_file):
        return ""
    tracked = read_dvc_file(dvc_file)
    listed = files.list_objects(source) if files.is_s3(source) else _sizes(source)
    count, total = len(listed), sum(size for size, _ in listed.values())
    if tracked.files is not None and (count, total) != (tracked.files, tracked.bytes):
        why = f"{count:,} files of {total:,} bytes, not {tracked.files:,} of {tracked.bytes:,}"
    elif version_of(_md5s(source, listed)) != tracked.version:
        why = "its files have other hashes"
    else:
        return tracked.version
    _log.warning("%s: has changed since `dvc add` (%s), so it has no revision", source, why)
    return ""


def _sizes(folder: str) -> dict[str, tuple[int, str]]:
    return {name: (Path(folder, name).stat().st_size, "") for name in files.list_folder(folder)}


def _md5s(source: str, listed: Mapping[str, tuple[int, str]]) -> dict[str, str]:
    """The MD5 of each file of a folder; on S3 the ETag, which for whole objects is the same."""
    if files.is_s3(source):
        return {name: etag for name, (_, etag) in listed.items()}
    with ThreadPoolExecutor() as pool:  # hashing does not hold the interpreter's lock
        return dict(zip(listed, pool.map(_md5, (Path(source, name) for name in listed)), strict=True))


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _fetch_tracked(dvc_file: str, revision: str, remote: str, cache: NodeCache, photos: bool) -> Catalog:
    version = asked_version(dvc_file, revision)
    if not remote:
        raise InputError(f"{dvc_file}: name the DVC remote it was pushed to (a folder or s3://bucket/prefix)")
    remote = files.absolute(remote)
    tree, tracked = _fetch_tree(version, remote, cache, None if photos else TABLE_NAMES)
    catalog = replace(read_catalog(tree, check_rows=False), data_version=version)
    # A table records where its photos were when it was made; those tracked beside it are the ones of this revision.
    here = any(posixpath.normpath(image) in tracked for image in catalog.table["image"])
    return replace(catalog, root=str(tree), remote=remote) if here else catalog


def _fetch_tree(
    version: str, remote: str, cache: NodeCache, wanted: Collection[str] | None, packed: str = ""
) -> tuple[Path, Collection[str]]:
    """The folder of a revision in the cache, and the names of all files the revision has.

    All of them, or those wanted, are sound afterwards, whatever was there before.
    """
    tree = cache.home / version
    listing = _known_listing(version, cache)
    if listing and tree.is_dir() and not cache.unsound(version, _only(listing[0], wanted)):
        return tree, listing[0]
    with cache.one_at_a_time(version) as work:
        tracked, layout = _known_listing(version, cache) or _fetch_listing(version, remote, cache, work)
        entries = _only(tracked, wanted)
        unsound = cache.unsound(version, entries)
        lacking = {md5: name for name, md5 in unsound.items() if not is_marked(cache.path(md5, layout))}
        objects = len(set(entries.values()))
        _log.info("%s: %s of %s objects are not in %s", version, f"{len(lacking):,}", f"{objects:,}", cache.home)
        if packed and layout == DVC_3 and lacking and (index := packs.read_index(packed)) is not None:
            arrived = packs.unpack(packed, index, lacking, cache, work)
            lacking = {md5: name for md5, name in lacking.items() if md5 not in arrived}
        _fetch_objects(lacking, layout, remote, cache, work)
        cache.lay_out(version, unsound, layout, work)
    return tree, tracked


def _only(entries: dict[str, str], wanted: Collection[str] | None) -> dict[str, str]:
    return entries if wanted is None else {name: md5 for name, md5 in entries.items() if name in wanted}


def _known_listing(version: str, cache: NodeCache) -> tuple[dict[str, str], str] | None:
    for layout in (DVC_3, DVC_2):
        if cache.holds(version, layout):
            return parse_listing(cache.path(version, layout).read_bytes(), version), layout
    return None


def _fetch_listing(version: str, remote: str, cache: NodeCache, work: Path) -> tuple[dict[str, str], str]:
    """A folder's files, and the layout of the remote they lie on: the one that has this list."""
    for layout in (DVC_3, DVC_2):
        try:
            _fetch_object(version, layout, remote, cache, work)
        except FileNotFoundError:
            continue
        except files.DamagedError as error:
            raise InputError(f"{remote}: the list of files is damaged: {error}") from error
        return parse_listing(cache.path(version, layout).read_bytes(), version), layout
    uri = files.join(remote, object_name(version))
    raise InputError(f"{uri}: no list of files of this revision on the remote; was it pushed with `dvc push`?")


def _fetch_objects(wanted: Mapping[str, str], layout: str, remote: str, cache: NodeCache, work: Path) -> None:
    """Fetches objects (hash -> a file it stands for), many at a time, unless the cache holds them after all.

    Raises:
        InputError: if objects are missing or damaged, after all others were fetched; at once for anything else.
    """
    waiting = deque(wanted.items())
    missing: list[tuple[str, str]] = []
    damaged: list[tuple[str, str]] = []
    progress, stop = _Progress(len(wanted)), Event()

    def work_off() -> None:
        while not stop.is_set():
            try:
                md5, name = waiting.popleft()
            except IndexError:
                return
            try:
                progress.add(0 if cache.verify(md5, layout) else _fetch_object(md5, layout, remote, cache, work))
            except FileNotFoundError:
                missing.append((name, files.join(remote, object_name(md5, layout))))
            except files.DamagedError as error:
                damaged.append((name, str(error)))

    with ThreadPoolExecutor(THREADS) as pool:
        running = {pool.submit(work_off) for _ in range(min(THREADS, len(wanted)))}
        try:
            while running:
                done, running = wait(running, progress.pause, FIRST_EXCEPTION)
                progress.show()
                for task in done:
                    task.result()
        finally:
            stop.set()
            progress.end()
    wrong = [
        f"{len(failed):,} of {len(wanted):,} objects are {what}; the first is {' ('.join(min(failed))})"
        for failed, what in ((missing, "not there (was the revision pushed?)"), (damaged, "damaged"))
        if failed
    ]
    if wrong:
        raise InputError(f"{remote}: {'; '.join(wrong)}")


def _fetch_object(md5: str, layout: str, remote: str, cache: NodeCache, work: Path) -> int:
    """Copies one object into the cache, hashed on its way, and returns its bytes.

    Raises:
        FileNotFoundError: if it is not on the remote.
        DamagedError: if something else is there.
        InputError: if S3 refuses, or a file cannot be read or written.
    """
    uri, path = files.join(remote, object_name(md5, layout)), work / md5
    digest_read = ""
    for _ in range(files.ATTEMPTS):
        digest, size = hashlib.md5(usedforsecurity=False), 0
        try:
            with path.open("wb", buffering=files.PART) as file:
                with suppress(files.DamagedError):
                    for part in files.read_parts(uri):
                        digest.update(part)
                        size += file.write(part)
                file.flush()
                sound = digest.hexdigest() == md5.removesuffix(".dir")
                sound = sound or (layout == DVC_2 and has_md5(path, md5, layout))
                if sound:
                    seal(file, size)
            if sound:
                cache.keep(path, md5, layout)
                return size
        except OSError as error:
            of_remote = error.filename in (None, uri)
            if of_remote and isinstance(error, FileNotFoundError):
                raise
            where = f"{uri}: cannot be read" if error.filename == uri else f"{cache.home}: cannot be written"
            raise InputError(f"{where} ({error.strerror})") from error
        before, digest_read = digest_read, digest.hexdigest()
        if digest_read == before:  # no accident on the way
            break
    raise files.DamagedError(f"{uri}: should have the MD5 {md5}, has {digest_read}")


class _Progress:
    """How far fetching is: a bar on a terminal, else a line now and then."""

    def __init__(self, total: int) -> None:
        self._sizes: list[int] = []
        self._total = total
        self._bar = tqdm(total=total, desc="fetching", unit="object", disable=None, leave=False)
        self._started = time.monotonic()
        self.pause = EVERY if self._bar.disable else 0.2

    def add(self, size: int) -> None:
        """One more file, from any thread."""
        self._sizes.append(size)

    def show(self) -> None:
        """Moves the bar, or writes a line."""
        count, megabytes, seconds = len(self._sizes), sum(self._sizes) / 1e6, time.monotonic() - self._started
        if self._bar.disable:
            _log.info(
                "fetched %s of %s objects, %.1f MB (%.0f objects/s, %.1f MB/s)",
                f"{count:,}", f"{self._total:,}", megabytes, count / seconds, megabytes / seconds,
            )  # fmt: skip
        else:
            self._bar.set_postfix_str(f"{megabytes / seconds:.1f} MB/s", refresh=False)
            self._bar.update(count - self._bar.n)

    def end(self) -> None:
        """Takes the bar away."""
        self._bar.close()
