"""The DVC objects on this node, and the folders laid out from them.

    HOME/files/md5/XX/REST   an object: verified, read-only, shared by all revisions
    HOME/VERSION/            a revision's folder: hard links to its objects (copies on a volume that has none)

A verified object is marked by its own time of change: `VERIFIED` and a millisecond for each byte. Whatever is written
to it or cut off it later breaks the mark, and it is hashed again before it is used. So the photos of a revision are
looked at before each use without being read.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vitrine.catalog.dvc_file import DVC_2, DVC_3, object_name
from vitrine.errors import InputError

VERIFIED = 946_684_800_000_000_000  # 2000-01-01 UTC in nanoseconds
DVC_PART = 2**20  # bytes, in which DVC 2 looks for line ends

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeCache:
    """Objects and folders of revisions in `home`, which processes on this node may share."""

    home: Path

    def path(self, md5: str, layout: str = DVC_3) -> Path:
        """Where an object is or would be."""
        return self.home / object_name(md5, layout)

    def holds(self, md5: str, layout: str = DVC_3) -> bool:
        """Whether a sound object is there; reads it if its mark is broken."""
        path = self.path(md5, layout)
        return is_marked(path) or self.verify(md5, layout)

    def verify(self, md5: str, layout: str = DVC_3) -> bool:
        """Whether a sound object is there, by reading it."""
        path = self.path(md5, layout)
        try:
            if not has_md5(path, md5, layout):
                return False
        except (FileNotFoundError, IsADirectoryError):
            return False
        with suppress(PermissionError):  # another user's: it is read each time
            _mark(path, path.stat().st_size)
        return True

    def keep(self, sealed: Path, md5: str, layout: str = DVC_3) -> None:
        """Moves a verified file, which `seal` closed, to where its object belongs, in one step."""
        target = self.path(md5, layout)
        try:
            sealed.replace(target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            sealed.replace(target)

    def unsound(self, version: str, entries: Mapping[str, str]) -> dict[str, str]:
        """The files of a revision's folder that are missing or whose mark is broken."""
        tree = self.home / version
        if not tree.is_dir():
            return dict(entries)
        return {name: md5 for name, md5 in entries.items() if not is_marked(tree / name)}

    def lay_out(self, version: str, entries: Mapping[str, str], layout: str, work: Path) -> None:
        """Puts files into a revision's folder: the new folder appears whole, one that stands is mended file by file."""
        tree = self.home / version
        mended = tree.is_dir()
        folder = tree if mended else work / "folder"
        for parent in {(folder / name).parent for name in entries} | {folder}:
            parent.mkdir(parents=True, exist_ok=True)
        for name, md5 in entries.items():
            if mended:
                _link(self.path(md5, layout), work / "file")
                (work / "file").replace(folder / name)
                (work / "file").unlink(missing_ok=True)  # renaming does nothing where both are links to one file
            else:
                _link(self.path(md5, layout), folder / name)
        if not mended:
            try:
                folder.rename(tree)
            except OSError:
                if not tree.is_dir():  # else another process was first, on a volume without locks
                    raise

    @contextmanager
    def one_at_a_time(self, version: str) -> Iterator[Path]:
        """Waits until no other process works on this revision; yields a folder to work in, on the cache's volume.

        What a killed process left there is removed.

        Raises:
            InputError: if the cache cannot be written.
        """
        work = None
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with (self.home / f".{version}.lock").open("w") as lock:
                if _locked(lock.fileno(), version):
                    for left in self.home.glob(f".{version}.*.tmp"):
                        shutil.rmtree(left, ignore_errors=True)
                work = Path(tempfile.mkdtemp(prefix=f".{version}.", suffix=".tmp", dir=self.home))
                yield work
        except OSError as error:
            raise InputError(f"{self.home}: cannot be written ({error.strerror})") from error
        finally:
            if work is not None:
                shutil.rmtree(work, ignore_errors=True)


def is_marked(path: Path) -> bool:
    """Whether a file has not been touched since it was verified."""
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_mtime_ns == VERIFIED + status.st_size * 1_000_000


def has_md5(path: Path, md5: str, layout: str) -> bool:
    """Whether a file has the hash of an object. DVC 2 hashed text as if its lines ended in a line feed alone."""
    as_is, unix = hashlib.md5(usedforsecurity=False), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(DVC_PART):
            as_is.update(part)
            if layout == DVC_2:
                unix.update(part.replace(b"\r\n", b"\n"))
    digests = (as_is, unix) if layout == DVC_2 else (as_is,)
    return md5.removesuffix(".dir") in [digest.hexdigest() for digest in digests]


def seal(file: BinaryIO, size: int) -> None:
    """Makes an open file of so many bytes, which was verified, read-only and marks it."""
    file.flush()
    os.fchmod(file.fileno(), 0o444)
    _mark(file.fileno(), size)


def _mark(file: Path | int, size: int) -> None:
    time = VERIFIED + size * 1_000_000
    os.utime(file, ns=(time, time))


def _link(target: Path, path: Path) -> None:
    try:
        os.link(target, path)
    except FileExistsError:  # it may be a link to another object, which copying would overwrite
        raise
    except OSError:  # no hard links on this volume, or too many to one file
        shutil.copyfile(target, path)
        shutil.copystat(target, path)  # read-only, and marked


def _locked(lock: int, version: str) -> bool:
    """Takes the lock, after whoever holds it; False on a volume that has none."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _log.info("%s: another process is fetching it; waiting", version)
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
