"""The photos of a catalog in a few large files, so that each step reads megabytes in sequence instead of thousands of
objects, of which each costs a request.

    ADDRESS/1-of-4.parquet     of the first of four shards: image, md5 and pack of each photo; written last
    ADDRESS/1-of-4-000.tar     its photos (as in WebDataset), uncompressed, `PACK_BYTES` or a little more

Whoever finds the packs of all shards fetches photos from them; whoever does not, from where they were.
"""

import hashlib
import io
import json
import re
import tarfile
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vitrine import files
from vitrine.catalog.node_cache import NodeCache, seal
from vitrine.catalog.photos import MAX_BYTES
from vitrine.catalog.schema import is_safe_path
from vitrine.errors import InputError

PACK_BYTES = 256 << 20
AT_ONCE = 4  # packs that are read side by side
INDEX = re.compile(r"(\d+)-of-(\d+)\.parquet")
MD5 = re.compile("[0-9a-f]{32}")
PACK = re.compile(r"\d+-of-\d+-\d+\.tar")
SCHEMA = pa.schema([("image", pa.string()), ("md5", pa.string()), ("pack", pa.string())])


def write_packs(folder: Path, entries: Mapping[str, str], address: str, part: tuple[int, int], size: int = 0) -> int:
    """Packs photos of one shard, unless that was done before.

    Args:
        folder: Where they are on this machine.
        entries: Their MD5 by their names below it, which are their `image` values.
        address: Folder or `s3://` prefix to write to.
        part: Which shard, from 1 on, of how many.
        size: Bytes from which on a pack is full; 0 = `PACK_BYTES`.

    Returns:
        How many packs were written.
    """
    shard = f"{part[0]}-of-{part[1]}"
    if files.exists(files.join(address, f"{shard}.parquet")):
        return 0
    images = sorted(entries)
    packs: list[str] = []
    written = 0
    while len(packs) < len(images):
        name = f"{shard}-{written:03}.tar"
        with tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w|", dereference=True) as tar:
                for image in images[len(packs) :]:
                    tar.add(folder / image, image, recursive=False, filter=_plain)
                    packs.append(name)
                    if file.tell() >= (size or PACK_BYTES):
                        break
            file.seek(0)
            files.write_file(files.join(address, name), file)
        written += 1
    table = pa.table([images, [entries[image] for image in images], packs], schema=SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    files.write_bytes(files.join(address, f"{shard}.parquet"), buffer.getvalue())
    return written


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same bytes whoever packs, whenever."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime, member.mode = 0, 0o644
    return member


def read_index(address: str) -> dict[str, tuple[str, str]] | None:
    """MD5 and pack of each photo by its `image`; None where not all shards are packed.

    Raises:
        InputError: if an index cannot be read.
    """
    matches = [INDEX.fullmatch(name) for name in _names(address)]
    counts = {int(match[2]) for match in matches if match}
    there = {(int(match[1]), int(match[2])) for match in matches if match}
    whole = [n for n in sorted(counts) if all((i, n) in there for i in range(1, n + 1))]
    if not whole:
        return None
    index: dict[str, tuple[str, str]] = {}
    for number in range(1, whole[0] + 1):
        uri = files.join(address, f"{number}-of-{whole[0]}.parquet")
        try:
            table = pq.read_table(pa.BufferReader(files.read_bytes(uri)), schema=SCHEMA)
        except (FileNotFoundError, pa.ArrowException) as error:
            raise InputError(f"{uri}: cannot be read as an index of packs ({error})") from error
        columns = [table.column(name).to_pylist() for name in SCHEMA.names]
        for image, md5, pack in zip(*columns, strict=True):
            if not (is_safe_path(image or "") and MD5.fullmatch(md5 or "") and PACK.fullmatch(pack or "")):
                raise InputError(f"{uri}: cannot be read as an index of packs ({image!r}, {md5!r}, {pack!r})")
            index[image] = (md5, pack)
    return index


def _names(address: str) -> list[str]:
    if files.is_s3(address):
        return list(files.list_objects(address, deep=False))
    return [path.name for path in Path(address).iterdir()] if Path(address).is_dir() else []


def unpack(
    address: str, index: Mapping[str, tuple[str, str]], lacking: Collection[str], cache: NodeCache, work: Path
) -> set[str]:
    """Moves photos from packs into the cache, each verified.

    Args:
        address: Of the packs.
        index: See `read_index`.
        lacking: The MD5s of those that are needed.
        cache: Of this node, or on a volume that several share.
        work: Folder on the cache's volume to work in.

    Returns:
        The MD5s that arrived. What is damaged, or gone, did not.
    """
    wanted: dict[str, dict[str, str]] = {}
    for image, (md5, pack) in index.items():
        if md5 in lacking:
            wanted.setdefault(pack, {})[image] = md5
    arrived: set[str] = set()

    def take(pack: str) -> None:
        try:
            parts = files.read_parts(files.join(address, pack))
            with tarfile.open(fileobj=io.BufferedReader(_Parts(parts), files.PART), mode="r|") as tar:
                for member in tar:
                    md5 = wanted[pack].get(member.name)
                    data = tar.extractfile(member) if md5 else None
                    if md5 is None or data is None or md5 in arrived or member.size > MAX_BYTES:
                        continue
                    if _keep(data.read(), md5, cache, work / f"{pack}.{md5}"):
                        arrived.add(md5)
        except (FileNotFoundError, tarfile.TarError, files.DamagedError):
            return  # what has not arrived is fetched from where it was

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(take, wanted))
    return arrived


def _keep(data: bytes, md5: str, cache: NodeCache, path: Path) -> bool:
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
        return False
    with path.open("wb") as file:
        file.write(data)
        seal(file, len(data))
    cache.keep(path, md5)
    return True


class _Parts(io.RawIOBase):
    """Bytes that come in parts, as a file that is read in sequence."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(next(self._parts, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def fetch_objects(
    root: str, images: Iterable[str], cache: NodeCache, work: Path, threads: int = files.CONNECTIONS
) -> dict[str, str]:
    """Fetches photos from below an `s3://` prefix into the cache; their MD5s by their names.

    What is not there is left out: whoever looks at it says so. An ETag that is an MD5 tells what the cache holds.
    """
    etags = {name: etag for name, (_, etag) in files.list_objects(root).items()}

    def take(image: str) -> tuple[str, str] | None:
        etag = etags.get(image, "")
        if MD5.fullmatch(etag) and cache.holds(etag):
            return image, etag
        path = work / hashlib.sha256(image.encode()).hexdigest()
        digest, size = hashlib.md5(usedforsecurity=False), 0
        try:
            with path.open("wb", buffering=files.PART) as file:
                for part in files.read_parts(files.join(root, image)):
                    digest.update(part)
                    size += file.write(part)
                seal(file, size)
        except FileNotFoundError:
            return None
        cache.keep(path, digest.hexdigest())
        return image, digest.hexdigest()

    with ThreadPoolExecutor(threads) as pool:
        return dict(filter(None, pool.map(take, [image for image in images if image in etags])))


def prune(states: str, newest: str, keep: int) -> list[str]:
    """Deletes the packs of all but the newest states of the data; the tables stay.

    Args:
        states: Folder or `s3://` prefix of the states' folders.
        newest: The state that a run begins with.
        keep: How many keep their packs.

    Returns:
        The states that lost theirs.
    """
    record = files.join(states, "packed.json")
    before = json.loads(files.read_bytes(record)) if files.exists(record) else []
    order = [newest, *(state for state in before if state != newest)]
    files.write_bytes(record, json.dumps(order[:keep]).encode())
    for state in order[keep:]:
        address = files.join(states, f"{state}/photos")
        # The indexes first: whoever looks meanwhile finds the packs whole, or none.
        for name in sorted(_names(address), key=lambda name: not name.endswith(".parquet")):
            files.delete(files.join(address, name))
    return order[keep:]
