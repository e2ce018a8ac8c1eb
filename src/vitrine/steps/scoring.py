"""What the models in use say about every photo of a catalog."""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from vitrine import files
from vitrine.catalog import Catalog
from vitrine.errors import InputError
from vitrine.journal import SIGN, Note, publish_note
from vitrine.registry import Registry, pointer
from vitrine.steps.data import open_table
from vitrine.untrusted import parse_json
from vitrine.words import counted


def score_shard(names: Sequence[str], table: str, state: str, out: str, registry: str, shard: str) -> int:
    """Asks the models in use about one shard's photos; `score` with the same arguments makes tables of all shards'.

    Args:
        names: See `score`.
        table: See `score`.
        state: See `score`.
        out: See `score`.
        registry: See `score`.
        shard: 2/8 is the second of eight.

    Returns:
        How many answers there are.

    Raises:
        InputError: as `score`.
    """
    from vitrine.quality.scan import parse_shard
    from vitrine.scoring import CatalogPhotos, score_photos

    part, catalog, asked = parse_shard(shard), open_table(table, check_rows=False), 0
    photos = CatalogPhotos(catalog)
    for name, version in _scoring_versions(names, catalog, out, registry).items():
        target = files.join(out, f"{name}.parquet")
        if version and not files.exists(target):
            with _version_of(name, version, registry) as model:
                done = score_photos(photos, table, model, target, state=state, version=version, shard=part)
            asked += done.photos
    print(f"{SIGN} Score {shard}: {counted(asked, 'answer')}.", flush=True)
    return asked


def score(names: Sequence[str], table: str, state: str, out: str, registry: str, run: str) -> dict[str, float]:
    """What the models in use say about every photo of a catalog: `<task>.parquet` in `out`, and what it was made with.

    A table that is there stays as it is, and one that was begun is finished, by the version that began it, with what
    `score_shard` found: see `scoring.score_photos`.

    Args:
        names: Whose models; tasks without a model in use are noted and left out.
        table: Address of the catalog's table.
        state: Name of the state of the data.
        out: Folder or `s3://` prefix.
        registry: Folder or `s3://` prefix of the model registry.
        run: Folder or `s3://` prefix of the run's pages.

    Returns:
        Photos, and answers that are lacking.

    Raises:
        InputError: if no task has a model in use, or one of them answers nothing about single photos.
    """
    from vitrine.scoring import CatalogPhotos, score_photos

    catalog = open_table(table, check_rows=False)
    photos, decided, lacking = CatalogPhotos(catalog), [], 0
    for name, version in _scoring_versions(names, catalog, out, registry).items():
        target = files.join(out, f"{name}.parquet")
        if not version:
            decided.append(f"{name}: no model is in use, so there is no table.")
        elif files.exists(target):
            decided.append(f"{target} is there already, and stays.")
        else:
            with _version_of(name, version, registry) as model:
                done = score_photos(photos, table, model, target, state=state, version=version)
            lacking += done.unreadable
            resumed = f", {done.resumed:,} of them before this step" if done.resumed else ""
            decided.append(
                f"{target}: {counted(done.photos, 'photo')}{resumed} by version {done.version}; "
                f"{done.unreadable:,} cannot be read."
            )
    figures = {"photos scored": f"{len(photos):,}"} | ({"answers lacking": f"{lacking:,}"} if lacking else {})
    publish_note(Note("score", "Scores", decided, "warn" if lacking else "good", figures=figures), run)
    return {"photos": float(len(photos)), "answers lacking": float(lacking)}


def _scoring_versions(names: Sequence[str], catalog: Catalog, out: str, registry: str) -> dict[str, str]:
    """Which version answers for each task, "" where none is in use: as the account beside the table says, which whoever
    comes first writes, so that a promotion meanwhile changes nothing.
    """
    found = {}
    for name in names:
        account = files.join(out, f"{name}.json")
        said, _ = pointer.read(account)
        if said is None and (champion := Registry(registry).champion(name)):
            about = {"task": name, "model": champion.version, "data_version": catalog.data_version}
            said = json.dumps(about | {"photos": len(catalog)}).encode()
            try:
                pointer.replace(account, said, "")
            except pointer.ChangedError:  # another shard's was quicker
                said = files.read_bytes(account)
        found[name] = str(parse_json(said)["model"]) if said else ""
    if not any(found.values()):
        raise InputError(f"{registry}: no model is in use for {' or '.join(names) or 'any task'}")
    return found


@contextlib.contextmanager
def _version_of(task: str, version: str, registry: str) -> Iterator[str]:
    """A folder with a version's model, for as long as the block goes on."""
    with tempfile.TemporaryDirectory(prefix="vitrine-model-") as folder:
        store = Registry(registry)
        yield str(store.fetch(store.version(task, version), Path(folder) / "model"))
