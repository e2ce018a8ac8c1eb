"""Catalogs under DVC: the command itself, and many small photos to push with it."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image, ImageDraw

from vitrine import files
from vitrine.catalog import Catalog, write_catalog
from vitrine.catalog.dvc_file import object_name

COMMANDS = (
    "import json, sys; from dvc.cli import main; sys.exit(any(main(['-q', *own]) for own in json.loads(sys.argv[1])))"
)


def dvc(folder: Path, *commands: Sequence[str], env: dict[str, str] | None = None) -> None:
    """Runs DVC's commands in a folder, one after another up to the first that fails, in a process that loads it once."""
    environment = {**(env or os.environ), "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder / "site")}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def push(folder: Path, remote: str) -> str:
    """Tracks FOLDER/data with DVC and pushes it to its `remote`; returns the hash that FOLDER/data.dvc then holds."""
    new = [("init", "--no-scm"), ("remote", "add", "--default", "remote", remote)]
    dvc(folder, *([] if (folder / ".dvc").exists() else new), ("add", "data"), ("push",))
    return tracked_hash(folder / "data.dvc")


def store(folder: Path, remote: Path) -> str:
    """Writes to `remote` what pushing a folder would, without the seconds that DVC takes; returns the folder's hash."""
    entries = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        entries.append({"md5": _add(path.read_bytes(), "", remote), "relpath": path.relative_to(folder).as_posix()})
    return _add(json.dumps(entries).encode(), ".dir", remote)


def _add(data: bytes, ending: str, remote: Path) -> str:
    md5 = hashlib.md5(data).hexdigest() + ending
    files.write_bytes(str(remote / object_name(md5)), data)
    return md5


def tracked_hash(path: Path) -> str:
    """The hash in a .dvc file."""
    return yaml.safe_load(path.read_text())["outs"][0]["md5"]


def photo_catalog(folder: Path, photos: int) -> None:
    """JPEGs of one product each, 128 x 96 pixels and 2 to 4 kB, no two alike."""
    (folder / "images").mkdir(parents=True)
    names = [f"images/{i:05}.jpg" for i in range(photos)]
    for i, name in enumerate(names):
        random = np.random.default_rng(i)
        light = np.linspace(200, 250, 96)[:, None, None] + random.normal(0, 4, (96, 128, 3))
        image = Image.fromarray(light.clip(0, 255).astype(np.uint8))
        left, top = random.integers(5, 40, 2).tolist()
        colour = tuple(random.integers(0, 256, 3).tolist())
        ImageDraw.Draw(image).rounded_rectangle((left, top, left + 70, top + 45), 12, fill=colour, outline="black")
        image.save(folder / name, quality=85)
    write_catalog(Catalog(str(folder), pd.DataFrame({"image": names})), folder)
