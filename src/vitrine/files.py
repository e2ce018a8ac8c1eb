"""Reading and writing whole files and folders, on this machine or on S3.

A local folder or file appears complete or not at all. S3 endpoint and credentials come from the usual AWS variables.
"""

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitrine.errors import InputError

if TYPE_CHECKING:
    from botocore.client import BaseClient

_clients = threading.local()


def is_s3(uri: str) -> bool:
    """Whether `uri` names something on S3."""
    return uri.startswith("s3://")


def join(root: str, name: str) -> str:
    """Joins a folder path or an S3 prefix with a relative POSIX path."""
    return f"{root.rstrip('/')}/{name}"


def absolute(uri: str | Path) -> str:
    """An S3 URI without a trailing slash, or an absolute local path."""
    text = str(uri)
    return text.rstrip("/") if is_s3(text) else str(Path(text).expanduser().absolute())


def read_bytes(uri: str) -> bytes:
    """The bytes of a local file or an S3 object.

    Raises:
        FileNotFoundError: if there is none.
        InputError: if S3 refuses or cannot be reached.
    """
    if not is_s3(uri):
        return Path(uri).read_bytes()
    bucket, key = _split(uri)
    with _s3_errors(uri):
        return s3_client().get_object(Bucket=bucket, Key=key)["Body"].read()


def exists(uri: str) -> bool:
    """Whether a local file or an S3 object is there."""
    if not is_s3(uri):
        return Path(uri).exists()
    bucket, key = _split(uri)
    with _s3_errors(uri):
        found = s3_client().list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    return any(item["Key"] == key for item in found.get("Contents", []))


def list_folder(uri: str) -> list[str]:
    """The files under a local folder (links followed) or an S3 prefix, as sorted relative POSIX paths.

    Files are not looked at one by one: the listing of each folder tells enough. The empty objects that stand for
    folders on S3 are left out.

    Raises:
        InputError: if there is no such folder or bucket, or it cannot be read.
    """
    if is_s3(uri):
        bucket, prefix = _split(uri.rstrip("/") + "/")
        with _s3_errors(uri):
            pages = s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return sorted(key.removeprefix(prefix) for key in keys if not key.endswith("/"))
    if not Path(uri).is_dir():
        raise InputError(f"{uri}: no such folder")
    found: list[str] = []
    walked: set[str] = set()  # a link may lead back to a folder above it
    for folder, folders, names in os.walk(uri, followlinks=True, onerror=_unreadable):
        real = os.path.realpath(folder)
        if real in walked:
            folders.clear()
            continue
        walked.add(real)
        inside = Path(folder).relative_to(uri).as_posix()
        found += names if inside == "." else [f"{inside}/{name}" for name in names]
    return sorted(found)


def write_bytes(uri: str, data: bytes) -> None:
    """Writes a whole local file (atomically) or an S3 object."""
    if is_s3(uri):
        bucket, key = _split(uri)
        with _s3_errors(uri):
            s3_client().put_object(Bucket=bucket, Key=key, Body=data)
        return
    with atomic_write(Path(uri)) as temporary:
        temporary.write_bytes(data)


def copy_folder(source: Path, target: str) -> None:
    """Copies a local folder to a new local folder or S3 prefix."""
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
            path.write_bytes(read_bytes(join(source, name)))


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
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yields an empty sibling of `out` that becomes `out` when the block ends well.

    Raises:
        InputError: if `out` exists and is not an empty folder, or its parent cannot be written.
    """
    out = Path(os.path.abspath(out))
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(f"{out}: exists already; name a new folder")
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
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` that replaces it when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def s3_client() -> "BaseClient":
    """One boto3 client per thread and process; retries are boto3's own."""
    import boto3

    if getattr(_clients, "pid", None) != os.getpid():
        _clients.pid = os.getpid()
        _clients.s3 = boto3.session.Session().client("s3")
    return _clients.s3


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error


@contextmanager
def _s3_errors(uri: str) -> Iterator[None]:
    """Turns what boto3 raises into FileNotFoundError (no such object) or InputError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("NoSuchKey", "404"):
            raise FileNotFoundError(uri) from error
        raise InputError(f"{uri}: {'no such bucket' if code == 'NoSuchBucket' else f'S3 answered {code}'}") from error
    except BotoCoreError as error:
        raise InputError(f"{uri}: {error}") from error


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise InputError(f"{uri}: an S3 URI reads s3://bucket/key")
    return bucket, key
