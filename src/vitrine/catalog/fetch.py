"""What a pipeline's first step does: the catalog of one data revision, without a git checkout and without DVC.

DVC moves many small files slowly (its issues 6222, 7230 and 7607). The hashes of a folder stand in the `.dvc` file and
the `.dir` object it names, so the objects can be fetched by hash, many at a time.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from tqdm import tqdm

from vitrine import files
from vitrine.catalog import schema
from vitrine.catalog.table import Catalog, read_catalog, write_catalog
from vitrine.errors import InputError

THREADS = 16
CACHE_VARIABLE = "VITRINE_CACHE"
DEFAULT_CACHE = "~/.cache/vitrine/data"

_log = logging.getLogger(__name__)


def fetch(source: str, out: Path, revision: str = "", remote: str = "", cache: Path | None = None) -> Catalog:
    """Writes OUT/catalog.parquet, a table whose root says where the photos are, and returns it.

    From a catalog folder or `s3://` prefix no photo is copied. From a `.dvc` file the tracked folder is fetched from
    the DVC remote into the cache, where the photos then are: give steps on other machines the same cache volume.

    Args:
        source: A catalog, or a `.dvc` file (local or `s3://`) that tracks one.
        out: The new folder.
        revision: DVC hash. A catalog must be at it; from a `.dvc` file it is fetched instead of the one recorded there.
        remote: The DVC remote of a `.dvc` file: a local folder or `s3://bucket/prefix`.
        cache: Where fetched objects are kept; default $VITRINE_CACHE, else ~/.cache/vitrine/data.

    Raises:
        InputError: if anything is missing, damaged or at another revision: one line that names it.
    """
    if source.endswith(".dvc"):
        catalog = _fetch_tracked(files.absolute(source), revision, remote, cache)
    else:
        catalog = _open_catalog(files.absolute(source), revision)
    with files.new_folder(Path(out)) as folder:
        write_catalog(catalog, folder)
    return catalog


def _open_catalog(source: str, revision: str) -> Catalog:
    catalog = read_catalog(source, check_rows=False)
    beside = f"{source}.dvc"
    version = _tracked_hash(beside) if files.exists(beside) else catalog.data_version
    if revision and revision.removesuffix(".dir") != version.removesuffix(".dir"):
        raise InputError(f"{source}: is at {version}, not at {revision}; fetch from its .dvc file and remote instead")
    return Catalog(catalog.root, catalog.table, version)


def _fetch_tracked(dvc_file: str, revision: str, remote: str, cache: Path | None) -> Catalog:
    version = _as_version(revision) if revision else _tracked_hash(dvc_file)
    if not remote:
        raise InputError(f"{dvc_file}: name the DVC remote it was pushed to (a folder or s3://bucket/prefix)")
    home = cache or Path(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE)
    home = Path(files.absolute(home))
    tree = home / version
    if not tree.is_dir():
        _fetch_tree(version, files.absolute(remote), home, tree)
    catalog = read_catalog(tree, check_rows=False)
    # A table records where its photos were when it was made; those tracked beside it are the ones of this revision.
    here = any((tree / image).is_file() for image in catalog.table["image"] if schema.is_safe_path(image))
    return Catalog(str(tree) if here else catalog.root, catalog.table, version)


def _tracked_hash(dvc_file: str) -> str:
    """The hash of the folder that a `.dvc` file tracks."""
    try:
        content = yaml.safe_load(files.read_bytes(dvc_file))
    except OSError as error:
        raise InputError(f"{dvc_file}: cannot be read ({error.strerror or 'no such file'})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{dvc_file}: is not YAML ({' '.join(str(error).split())})") from error
    outs = content.get("outs") if isinstance(content, dict) else None
    if not isinstance(outs, list) or len(outs) != 1 or not isinstance(outs[0], dict):
        raise InputError(f"{dvc_file}: does not track one folder (no single entry under outs)")
    value = outs[0].get("md5")
    if not isinstance(value, str) or outs[0].get("hash") != "md5":
        raise InputError(f"{dvc_file}: has no MD5 of DVC 3; add the folder again with `dvc add`")
    if not value.endswith(".dir"):
        raise InputError(f"{dvc_file}: tracks the single file {outs[0].get('path')!r}; track the catalog's folder")
    return _as_version(value)


def _as_version(text: str) -> str:
    """A DVC folder hash with its `.dir`."""
    if not re.fullmatch(r"[0-9a-f]{32}(\.dir)?", text):
        raise InputError(f"revision {text!r}: not the hash of a folder (32 hexadecimal digits, as in its .dvc file)")
    return f"{text.removesuffix('.dir')}.dir"


def _fetch_tree(version: str, remote: str, cache: Path, tree: Path) -> None:
    """Fetches a folder's objects and lays the folder out under hard links to them."""
    listing = _fetch_object(remote, cache, version, f"the list of files ({version})").read_bytes()
    entries = _parse_listing(listing, version)
    names = {md5: name for name, md5 in entries.items()}  # one name per object, for messages
    missing = {md5: name for md5, name in names.items() if not _object_path(cache, md5).exists()}
    _log.info("%s: %d files, %d objects to fetch from %s", version, len(entries), len(missing), remote)
    pool = ThreadPoolExecutor(THREADS)
    try:
        tasks = [pool.submit(_fetch_object, remote, cache, md5, name) for md5, name in missing.items()]
        for task in tqdm(tasks, desc="fetching", unit="file", disable=None):
            task.result()
    finally:
        pool.shutdown(cancel_futures=True)
    try:
        with files.new_folder(tree) as folder:
            _lay_out(entries, cache, folder)
    except InputError:
        if not tree.is_dir():  # else another process laid it out meanwhile
            raise
    _log.info("%s: complete in %s", version, tree)


def _parse_listing(data: bytes, version: str) -> dict[str, str]:
    """Relative path -> MD5, both checked: neither may lead out of its folder."""
    try:
        items = json.loads(data)
        entries = {str(item["relpath"]): str(item["md5"]) for item in items}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{version}: is not a DVC list of files") from error
    for name, md5 in entries.items():
        if not schema.is_safe_path(name) or files.is_s3(name):
            raise InputError(f"{version}: {name!r} would be written outside its folder")
        if not re.fullmatch(r"[0-9a-f]{32}", md5):
            raise InputError(f"{version}: {name!r} has no MD5 but {md5!r}")
    return entries


def _fetch_object(remote: str, cache: Path, md5: str, name: str) -> Path:
    """The cached object of a hash, fetched and verified first where it is not there."""
    path = _object_path(cache, md5)
    if path.exists():
        return path
    uri = files.join(remote, _object_name(md5))
    try:
        data = files.read_bytes(uri)
    except FileNotFoundError as error:
        raise InputError(f"{uri}: not on the remote; it is {name} (was it pushed with `dvc push`?)") from error
    except OSError as error:
        raise InputError(f"{uri}: cannot be read ({error.strerror})") from error
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != md5.removesuffix(".dir"):
        raise InputError(f"{uri}: damaged: {name} should have the MD5 {md5}, has {found}")
    try:
        with files.atomic_write(path) as temporary:
            temporary.write_bytes(data)
            temporary.chmod(0o444)  # the folders of all revisions share it
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def _lay_out(entries: dict[str, str], cache: Path, folder: Path) -> None:
    try:
        for parent in {name.rpartition("/")[0] for name in entries}:
            (folder / parent).mkdir(parents=True, exist_ok=True)
        for name, md5 in entries.items():
            _link(_object_path(cache, md5), folder / name)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be written ({error.strerror})") from error


def _link(target: Path, path: Path) -> None:
    try:
        os.link(target, path)
    except OSError:  # no hard links on this volume, or too many to one file
        shutil.copyfile(target, path)


def _object_path(cache: Path, md5: str) -> Path:
    return cache / _object_name(md5)


def _object_name(md5: str) -> str:
    """Where DVC 3 keeps an object, below its cache or a remote."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"
