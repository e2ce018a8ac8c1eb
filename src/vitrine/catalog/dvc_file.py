"""What DVC writes about a folder: the `.dvc` file with its hash, and the list of files that this hash names."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from vitrine import files
from vitrine.errors import InputError
from vitrine.untrusted import parse_json, parse_yaml

DVC_3, DVC_2 = "files/md5/", ""  # where they keep objects, below a cache or a remote


@dataclass(frozen=True)
class Tracked:
    """A folder as a `.dvc` file records it.

    Attributes:
        version: Its hash, with the `.dir`.
        files: How many it holds; None if not recorded.
        bytes: Of all files together; None if not recorded.
    """

    version: str
    files: int | None
    bytes: int | None


def read_dvc_file(dvc_file: str) -> Tracked:
    """Reads a `.dvc` file, a local path or an `s3://` URI.

    Raises:
        InputError: if it cannot be read, or tracks no folder whose objects `dvc push` puts on a remote by their MD5.
    """
    try:
        content = parse_yaml(files.read_bytes(dvc_file))
    except OSError as error:
        raise InputError(f"{dvc_file}: cannot be read ({error.strerror or 'no such file'})") from error
    except ValueError as error:
        raise InputError(f"{dvc_file}: is not YAML ({' '.join(str(error).split())})") from error
    outs = content.get("outs") if isinstance(content, dict) else None
    if not isinstance(outs, list) or len(outs) != 1 or not isinstance(outs[0], dict):
        raise InputError(f"{dvc_file}: does not track one folder (no single entry under outs)")
    out = outs[0]
    if content.get("deps"):
        raise InputError(
            f"{dvc_file}: is an import, whose files stay where they came from; `dvc add` the folder itself"
        )
    if {"files", "cloud", "version_id"} & out.keys():
        raise InputError(f"{dvc_file}: is cloud-versioned; push to a remote without version_aware and worktree")
    value = out.get("md5")
    if not isinstance(value, str) or out.get("hash", "md5") != "md5":
        raise InputError(f"{dvc_file}: has no MD5; add the folder again with `dvc add`")
    if not value.endswith(".dir"):
        raise InputError(f"{dvc_file}: tracks the single file {out.get('path')!r}; track the catalog's folder")
    return Tracked(as_version(value), out.get("nfiles"), out.get("size"))


def as_version(text: str) -> str:
    """A folder's hash with its `.dir`.

    Raises:
        InputError: if it is none.
    """
    if not re.fullmatch(r"[0-9a-f]{32}(\.dir)?", text):
        raise InputError(f"revision {text!r}: not the hash of a folder (32 hexadecimal digits, as in its .dvc file)")
    return f"{text.removesuffix('.dir')}.dir"


def parse_listing(data: bytes, version: str) -> dict[str, str]:
    """Relative path -> MD5 of every file in a folder.

    Raises:
        InputError: if it is no such list, or one of both would lead out of its folder.
    """
    try:
        items = parse_json(data)
        entries = {str(item["relpath"]): str(item["md5"]) for item in items}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{version}: is not a DVC list of files") from error
    for name, md5 in entries.items():
        if "\0" in name or not {"", ".", ".."}.isdisjoint(name.split("/")):  # any other name is a file's on Linux
            raise InputError(f"{version}: {name!r} would be written outside its folder")
        if not re.fullmatch(r"[0-9a-f]{32}", md5):
            raise InputError(f"{version}: {name!r} has no MD5 but {md5!r}")
    return entries


def version_of(entries: Mapping[str, str]) -> str:
    """The hash that DVC gives a folder of these files (relative path -> MD5)."""
    items = [{"md5": entries[name], "relpath": name} for name in sorted(entries)]
    return f"{hashlib.md5(json.dumps(items).encode(), usedforsecurity=False).hexdigest()}.dir"


def object_name(md5: str, layout: str = DVC_3) -> str:
    """Where an object lies, below a cache or a remote."""
    return f"{layout}{md5[:2]}/{md5[2:]}"
