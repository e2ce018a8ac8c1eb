"""A small file that several writers replace without losing each other's work: compare and swap, local or on S3."""

import fcntl
import hashlib
from pathlib import Path

from vitrine import files
from vitrine.errors import InputError

CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
UNSUPPORTED = ("NotImplemented", "501")  # a server without conditional writes: the last writer wins there
ABSENT = ("NoSuchKey", "404")
ATTEMPTS = 20  # of appending a line while others append theirs
READS = 5  # of an answer that breaks off, which boto3 does not ask for again


class ChangedError(Exception):
    """Somebody else replaced the file since it was read."""


def read(uri: str) -> tuple[bytes | None, str]:
    """The file's bytes and a tag of this state of it; None and "" if there is no such file.

    Raises:
        InputError: if it cannot be read.
    """
    if not files.is_s3(uri):
        path = Path(uri)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None, ""
        except OSError as error:
            raise InputError(f"{uri}: cannot be read ({error.strerror})") from error
        return data, hashlib.sha256(data).hexdigest()
    from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError, ResponseStreamingError

    bucket, key = files.split_s3(uri)
    for left in reversed(range(READS)):
        try:
            response = files.s3_client().get_object(Bucket=bucket, Key=key)
            return response["Body"].read(), response["ETag"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ABSENT:
                return None, ""
            raise InputError(f"{uri}: S3 answered {error.response['Error']['Code']}") from error
        except BotoCoreError as error:
            if not left or not isinstance(error, IncompleteReadError | ResponseStreamingError):
                raise InputError(f"{uri}: {error}") from error
    raise AssertionError


def replace(uri: str, data: bytes, tag: str) -> None:
    """Writes the file in one step, if it is still in the state that `tag` names.

    Raises:
        ChangedError: if it is not.
        InputError: if it cannot be written.
    """
    if files.is_s3(uri):
        _put(uri, data, {"IfMatch": tag} if tag else {"IfNoneMatch": "*"})
        return
    path = Path(uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # held until the lock file is closed
            if read(uri)[1] != tag:
                raise ChangedError(uri)
            files.write_bytes(uri, data)
    except OSError as error:
        raise InputError(f"{uri}: cannot be written ({error.strerror})") from error


def append(uri: str, line: str) -> None:
    """Adds a line to a file to which others may be adding theirs.

    Raises:
        InputError: if it cannot be read or written, or changes all the time.
    """
    for _ in range(ATTEMPTS):
        data, tag = read(uri)
        try:
            replace(uri, (data or b"") + line.encode() + b"\n", tag)
        except ChangedError:
            continue
        return
    raise InputError(f"{uri}: changed {ATTEMPTS} times while a line was being added")


def _put(uri: str, data: bytes, condition: dict[str, str]) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key = files.split_s3(uri)
    try:
        files.s3_client().put_object(Bucket=bucket, Key=key, Body=data, **condition)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in CONFLICTS or (code in ABSENT and "IfMatch" in condition):  # deleted meanwhile
            if read(uri)[0] == data:  # by us: the answer was lost, and boto3 asked again
                return
            raise ChangedError(uri) from error
        if code in UNSUPPORTED and condition:
            _put(uri, data, {})
            return
        raise InputError(f"{uri}: S3 answered {code}") from error
    except BotoCoreError as error:
        raise InputError(f"{uri}: {error}") from error
