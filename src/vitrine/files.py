"""Reading and writing whole files and folders, on this machine or on S3.

A local folder or file appears complete or not at all. S3 endpoint and credentials come from the usual AWS variables.
"""

import errno
import json
import logging
import os
import random
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vitrine.errors import InputError, PassingError
from vitrine.untrusted import parse_json

if TYPE_CHECKING:
    from botocore.client import BaseClient

PART = 2**18  # bytes that are read at a time
CONNECTIONS = 32  # to S3 at once; more gain little (docs/results)
ATTEMPTS = 10  # of reading: with one request in five failing, one object in ten million is not read
FIRST_WAIT, LONGEST_WAIT = 0.1, 20.0  # seconds before trying again
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")  # old ones may hold capitals and _
TRANSIENT = (429, 500, 502, 503, 504)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # a disk that takes no more
REFUSALS = {
    "NoSuchBucket": "no such bucket",
    "AccessDenied": "S3 refuses (AccessDenied): not for these credentials, or not there and they cannot list it",
    "403": "S3 refuses (403): not for these credentials",
    "InvalidAccessKeyId": "S3 does not know this AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "S3 refuses the signature: a wrong AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "S3 refuses: AWS_SESSION_TOKEN has expired",
    "RequestTimeTooSkewed": "S3 refuses: this machine's clock is wrong",
    "PreconditionFailed": "was changed by somebody while it was being read",
    "412": "was changed by somebody while it was being read",
}

_log = logging.getLogger(__name__)
_clients: dict[str, "BaseClient"] = {}
_making = threading.Lock()
_waits = random.Random()  # of its own: a training may have seeded the common one
os.register_at_fork(after_in_child=_waits.seed)  # else all forks would wait equally long


class DamagedError(PassingError):
    """What was read is not what was stored."""


def is_s3(uri: str) -> bool:
    """Whether `uri` names something on S3."""
    return uri.startswith("s3://")


def join(root: str, name: str) -> str:
    """Joins a folder path or an S3 prefix with a relative POSIX path."""
    return f"{root.rstrip('/')}/{name}"


def absolute(uri: str | Path) -> str:
    """An S3 URI without a trailing slash, or an absolute local path.

    Raises:
        InputError: if it begins with `~` and there is no such home folder.
    """
    text = str(uri)
    if is_s3(text):
        return text.rstrip("/")
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError as error:
        raise InputError(f"{text}: no such home folder; write ./{text} for a file of that name") from error


def read_bytes(uri: str) -> bytes:
    """The bytes of a local file or an S3 object.

    Raises:
        FileNotFoundError: if there is none.
        InputError: if S3 refuses or cannot be reached.
    """
    return b"".join(read_parts(uri))


def read_parts(uri: str) -> Iterator[bytes]:
    """The bytes of a local file or an S3 object, at most `PART` at a time.

    What passes (an overloaded server, a dropped connection, a body that ends too early) is tried again, `ATTEMPTS`
    times in all or as often as $AWS_MAX_ATTEMPTS says, after a random wait that may double each time. Reading goes on
    where it broke off.

    Raises:
        FileNotFoundError: if there is none.
        DamagedError: at the end, if S3 knows a checksum of the object and it is another one.
        InputError: if S3 refuses or cannot be reached.
    """
    if not is_s3(uri):
        with Path(uri).open("rb") as file:
            while part := file.read(PART):
                yield part
        return
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key = split_s3(uri)
    rest: dict[str, str] = {}  # once something is read: the range that is not, of the same state of the object
    read = failed = 0
    while True:
        try:
            response = _client("once").get_object(Bucket=bucket, Key=key, **rest)
            if rest and "ContentRange" not in response:
                raise InputError(f"{uri}: S3 sent the whole object where the rest was asked for")
            for part in response["Body"].iter_chunks(PART):
                yield part
                read += len(part)
                failed = 0
            return
        except (BotoCoreError, ClientError) as error:
            failed += 1
            if failed >= int(os.environ.get("AWS_MAX_ATTEMPTS") or ATTEMPTS) or not _passes(error):
                raise _plain(error, uri) from error
            time.sleep(_waits.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failed - 1))))
            if read:
                rest = {"Range": f"bytes={read}-", "IfMatch": response["ETag"]}


def exists(uri: str) -> bool:
    """Whether a local file or an S3 object is there."""
    if not is_s3(uri):
        return Path(uri).exists()
    bucket, key = split_s3(uri)
    with _s3_errors(uri):
        listed = s3_client().list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    return any(item["Key"] == key for item in listed.get("Contents", []))


def list_folder(uri: str) -> list[str]:
    """The files under a local folder (links followed) or an S3 prefix, as sorted relative POSIX paths.

    Files are not looked at one by one: the listing of each folder tells enough. The empty objects that stand for
    folders on S3 are left out.

    Raises:
        InputError: if there is no such folder or bucket, or it cannot be read.
    """
    if is_s3(uri):
        return sorted(list_objects(uri))
    if not Path(uri).is_dir():
        raise InputError(f"{uri}: no such folder")
    names_below: list[str] = []
    above: dict[str, frozenset[str]] = {}  # folder -> where it and those above it really are
    for folder, folders, names in os.walk(Path(uri), followlinks=True, onerror=_unreadable):
        parents = above.get(folder.rpartition(os.sep)[0], frozenset())
        real = os.path.realpath(folder)
        if real in parents:  # a link that leads back to a folder above it
            folders.clear()
            continue
        above[folder] = parents | {real}
        inside = Path(folder).relative_to(uri).as_posix()
        names_below += names if inside == "." else [f"{inside}/{name}" for name in names]
    return sorted(names_below)


def list_objects(prefix: str, *, deep: bool = True) -> dict[str, tuple[int, str]]:
    """Size in bytes and ETag of the objects under an S3 prefix, by their names below it.

    S3 gives an object another ETag when its content changes; it is its MD5, unless the object came in parts or is
    encrypted with a key of AWS KMS. Empty objects that stand for folders are left out.

    Args:
        prefix: An `s3://` URI.
        deep: Whether what lies in folders below it counts.

    Raises:
        InputError: if there is no such bucket, or it cannot be read.
    """
    bucket, start = split_s3(prefix.rstrip("/") + "/")
    objects = {}
    near = {} if deep else {"Delimiter": "/"}
    with _s3_errors(prefix):
        for page in s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start, **near):
            for item in page.get("Contents", []):
                if not item["Key"].endswith("/"):
                    objects[item["Key"].removeprefix(start)] = (int(item["Size"]), item["ETag"].strip('"'))
    return objects


def states(uris: Iterable[str], unlisted: str = "") -> dict[str, str]:
    """What can be seen of files without reading them: for each URI a word that is another after a file is replaced.

    On S3 it is made of size and ETag, from one listing of each folder. Of a local file it is made of size and time of
    change: one replaced by another of the same size under the same time (`cp -p`, a clock set back) is not noticed.
    What is not there has a word too. Objects whose folder may not be listed get one that never comes again, and a
    warning says so: nothing that was found in them earlier counts. `unlisted` is another word for these.
    """
    wanted = set(uris)
    local = {uri: _size_and_time(uri) for uri in wanted if not is_s3(uri)}
    folders = sorted({uri.rpartition("/")[0] for uri in wanted if is_s3(uri)})
    if not folders:
        return local
    with ThreadPoolExecutor(min(CONNECTIONS, len(folders))) as pool:
        listed = dict(zip(folders, pool.map(_list_or_warn, folders), strict=True))
    return local | {uri: _listed_state(listed[uri.rpartition("/")[0]], uri, unlisted) for uri in wanted - local.keys()}


def _size_and_time(path: str) -> str:
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:
        return type(error).__name__
    return f"{status.st_size} {status.st_mtime_ns}"


def _list_or_warn(folder: str) -> dict[str, tuple[int, str]] | None:
    try:
        return list_objects(folder, deep=False)
    except InputError as error:
        _log.warning("%s (listing it); whether photos there were replaced cannot be told", error)
        return None


def _listed_state(listed: Mapping[str, tuple[int, str]] | None, uri: str, unlisted: str) -> str:
    if listed is None:
        return unlisted or secrets.token_hex(8)
    size, etag = listed.get(uri.rpartition("/")[2], (0, "FileNotFoundError"))
    return f"{size} {etag}"


def write_bytes(uri: str, data: bytes) -> None:
    """Writes a whole local file (atomically) or an S3 object."""
    if is_s3(uri):
        bucket, key = split_s3(uri)
        with _s3_errors(uri):
            s3_client().put_object(Bucket=bucket, Key=key, Body=data)
        return
    with atomic_write(Path(uri)) as temporary:
        temporary.write_bytes(data)


def write_file(uri: str, file: BinaryIO) -> None:
    """Writes what is left of an open file as a local file (atomically) or an S3 object, in parts if it is large."""
    if is_s3(uri):
        bucket, key = split_s3(uri)
        with _s3_errors(uri):
            s3_client().upload_fileobj(file, bucket, key)
        return
    with atomic_write(Path(uri)) as temporary, temporary.open("wb") as target:
        shutil.copyfileobj(file, target)


def delete(uri: str) -> None:
    """Deletes a local file or an S3 object; it need not be there.

    Raises:
        InputError: if it cannot be.
    """
    if is_s3(uri):
        bucket, key = split_s3(uri)
        with _s3_errors(uri):
            s3_client().delete_object(Bucket=bucket, Key=key)
        return
    try:
        Path(uri).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{uri}: cannot be deleted ({error.strerror})") from error


def refuse_links_out(folder: Path) -> None:
    """Refuses a local folder that is about to be copied and holds a link to something outside.

    Copying follows links, and what they lead to may be nothing that whoever sees the copy should see.

    Raises:
        InputError: naming the link.
    """
    home = Path(folder).resolve()
    for parent, folders, names in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *names)):
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                raise InputError(f"{path}: a link that leads out of its folder is not copied")


def copy_folder(source: Path, target: str) -> None:
    """Copies a local folder to a new local folder or S3 prefix.

    Raises:
        InputError: if it holds a link that leads out of it.
    """
    refuse_links_out(source)
    if not is_s3(target):
        with new_folder(Path(target)) as temporary:
            shutil.copytree(source, temporary, dirs_exist_ok=True)
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            write_bytes(join(target, path.relative_to(source).as_posix()), path.read_bytes())


def fetch_folder(source: str, target: Path) -> None:
    """Copies everything under an S3 prefix into a new local folder.

    Raises:
        InputError: if nothing is there.
    """
    names = list_folder(source)
    if not names:
        raise InputError(f"{source}: nothing there")
    with new_folder(target) as temporary:
        for name in names:
            path = (temporary / name).resolve()
            if not path.is_relative_to(temporary.resolve()):
                raise InputError(f"{source}: object key {name!r} leaves the folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.writelines(read_parts(join(source, name)))


def write_json(path: Path, value: object) -> None:
    """Writes one local JSON file, whole."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Reads one local JSON file.

    Raises:
        InputError: if it is missing or no JSON.
    """
    try:
        return parse_json(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error


def cache_folder() -> Path:
    """Where things that can be made again are kept: `$VITRINE_CACHE` or `~/.cache/vitrine`.

    Raises:
        InputError: if neither is known.
    """
    if named := os.environ.get("VITRINE_CACHE"):
        return Path(named)
    try:
        return Path.home() / ".cache" / "vitrine"
    except RuntimeError as error:  # a user that the container does not know
        raise InputError("no home folder to keep a cache in; set VITRINE_CACHE") from error


def refuse_existing(out: Path) -> None:
    """For what works long before it writes.

    Raises:
        InputError: if `out` exists and is not an empty folder.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(f"{out}: exists already; name a new folder")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yields an empty sibling of `out` that becomes `out` when the block ends well.

    Raises:
        InputError: if `out` exists and is not an empty folder, or its parent cannot be written.
        OSError: with the name of `out`, if the disk takes no more, whatever the block raised then.
    """
    out = Path(os.path.abspath(out))
    refuse_existing(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror})") from error
    try:
        yield temporary
        temporary.chmod(0o755)
        try:
            temporary.rename(out)
        except OSError as error:  # somebody else wrote it meanwhile
            raise InputError(f"{out}: cannot be put in place ({error.strerror})") from error
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _raise_if_full(error, out)
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` that replaces it when the block ends well.

    Raises:
        OSError: with the name of `path`, if the disk takes no more, whatever the block raised then.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A process of another container may have the same number and write the same file.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _raise_if_full(error, path)
        raise


def _raise_if_full(error: BaseException, path: Path) -> None:
    """Says that the disk takes no more where that is what stopped a block, and names what could not be written.

    Python names no file where writing fails, and libraries that write by themselves (safetensors, PyTorch, faiss) raise
    errors of their own, with the system's in their words or before them.
    """
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, InputError):
        for code in FULL:
            if os.strerror(code) in str(reason):
                raise OSError(code, os.strerror(code), getattr(reason, "filename", None) or str(path)) from error
        reason = reason.__context__


def s3_client() -> "BaseClient":
    """The boto3 client of this process, for all of its threads; retries are boto3's own."""
    return _client("retrying")


def forget_clients() -> None:
    """Has the next request read the AWS variables anew. A forked process does so by itself."""
    global _making
    _making = threading.Lock()  # a thread that is not here may have held it
    _clients.clear()


os.register_at_fork(after_in_child=forget_clients)


def _client(kind: str) -> "BaseClient":
    with _making:
        if kind not in _clients:
            import boto3
            from botocore.config import Config

            options = {"retries": {"total_max_attempts": 1}, "connect_timeout": 10} if kind == "once" else {}
            config = Config(max_pool_connections=CONNECTIONS, **options)
            _clients[kind] = boto3.session.Session().client("s3", config=config)
        return _clients[kind]


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error


@contextmanager
def _s3_errors(uri: str) -> Iterator[None]:
    """Turns what boto3 raises into FileNotFoundError (no such object) or InputError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise _plain(error, uri) from error


def _plain(error: Exception, uri: str) -> Exception:
    """What boto3 raised, as FileNotFoundError (no such object) or one line that names the object."""
    from botocore.exceptions import ClientError, FlexibleChecksumError

    if isinstance(error, FlexibleChecksumError):
        return DamagedError(f"{uri}: damaged ({error})")
    if not isinstance(error, ClientError):
        return (PassingError if _passes(error) else InputError)(f"{uri}: {error}")
    code = error.response["Error"]["Code"]
    if _passes(error):
        return PassingError(f"{uri}: S3 answered {code}")
    if code in ("NoSuchKey", "404"):
        return FileNotFoundError(uri)
    return InputError(f"{uri}: {REFUSALS.get(code, f'S3 answered {code}')}")


def _passes(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        return error.response["ResponseMetadata"]["HTTPStatusCode"] in TRANSIENT
    return isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError | exceptions.IncompleteReadError)


def split_s3(uri: str) -> tuple[str, str]:
    """The bucket and the key of an S3 URI.

    Raises:
        InputError: if it names no bucket by a plain name. An ARN, which boto3 takes too, would choose the host.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not BUCKET.fullmatch(bucket):
        raise InputError(f"{uri}: an S3 URI reads s3://bucket/key")
    return bucket, key
