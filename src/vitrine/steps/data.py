"""The data of a run: its state, its table, kept once and opened by each step, and what was made with which."""

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

from vitrine import files
from vitrine.catalog import Catalog, is_safe_path, read_catalog, read_version, write_catalog
from vitrine.catalog.table import TABLE_NAMES
from vitrine.journal import FOLDER, Note, tell, write_note
from vitrine.untrusted import parse_json
from vitrine.words import counted


def data_state(catalog: str, revision: str) -> str:
    """A short name for the state of the data, which decides whether later steps can be reused.

    The hash of the folder where a `.dvc` file tracks the data; otherwise a hash of the table and of what can be seen of
    its photos without reading them (`files.states`), whatever revision is asked for: a folder can change.

    Raises:
        InputError: if there is no readable catalog, or `revision` is no DVC hash.
    """
    if catalog.endswith(".dvc"):
        from vitrine.catalog.fetch import asked_version

        return asked_version(catalog, revision)
    source = read_catalog(catalog, check_rows=False)
    # The rows, not only the version: a derived table keeps the version of the data it was made from.
    digest = hashlib.sha256(f"{source.root} {source.data_version}\n".encode())
    digest.update(source.table.to_csv(index=False).encode())
    photos = {image: source.uri(image) for image in source.table["image"].unique() if is_safe_path(image)}
    seen = files.states(photos.values())
    for image, uri in photos.items():
        digest.update(f"{image} {seen[uri]}\n".encode())
    return digest.hexdigest()[:16]


def keep_table(
    catalog: str, revision: str, remote: str, address: str, run: str, packed: int = 0, anew: bool = False
) -> None:
    """The catalog of one revision, as a table that says where its photos are: steps fetch those they look at.

    It is kept at an address of its state of the data. So steps that are told this address, a plain parameter, are
    reused for as long as the data are the same, and a catalog that changes meanwhile changes nothing for the run.

    Args:
        catalog: Folder, `s3://` prefix or `.dvc` file of the catalog.
        revision: See `fetch`.
        remote: See `fetch`.
        address: Folder or `s3://` prefix to keep the table in, beside what was said of it the first time.
        run: Folder or `s3://` prefix of the run's pages.
        packed: Of how many states of the data photos that are on S3 may be packed beside their tables; 0 = none are.
        anew: Read the photos of a folder to name its version, even where an earlier run kept the table of this state.
    """
    from vitrine.catalog import packs
    from vitrine.catalog.fetch import fetch

    kept = files.join(address, "fetch.json")
    packed = packed if files.is_s3(address) else 0
    if not packed and not anew and _is_kept(catalog, revision, address, kept):
        note = parse_json(files.read_bytes(kept))
        tell(note["title"], note["decided"])
        files.write_bytes(files.join(run, "fetch.json"), files.read_bytes(kept))
        return
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "table"
        table = fetch(catalog, out, revision, remote, photos=False)
        if packed and (files.is_s3(table.root) or files.is_s3(table.remote)):
            states, _, state = address.rpartition("/")
            packs.prune(states, state, packed)
            write_catalog(replace(table, packs=files.join(address, "photos")), out)
        decided = [f"{counted(len(table), 'row')} of {catalog}, data version {table.data_version}."]
        figures = {"photos in the catalog": f"{len(table):,}"}
        write_note(out, Note("fetch", "Fetch", decided, figures=figures, data_version=table.data_version))
        files.write_bytes(files.join(address, TABLE_NAMES[0]), (out / TABLE_NAMES[0]).read_bytes())
        if not files.exists(kept):  # its time is the first one's: steps that are reused come after it
            files.write_bytes(kept, (out / FOLDER / "fetch.json").read_bytes())
    files.write_bytes(files.join(run, "fetch.json"), files.read_bytes(kept))


def _is_kept(catalog: str, revision: str, address: str, kept: str) -> bool:
    """Whether an earlier run kept the table of this state of a folder, and its version is still what it is called.

    Its photos have the sizes and times they had, as the address says, and need not be read to be hashed.
    """
    if catalog.endswith(".dvc") or not (files.exists(kept) and files.exists(files.join(address, TABLE_NAMES[0]))):
        return False
    from vitrine.catalog.dvc_file import read_dvc_file

    beside = f"{files.absolute(catalog)}.dvc"
    version = read_version(address)
    called = read_dvc_file(beside).version if files.exists(beside) else version
    return version == called and (not revision or revision.removesuffix(".dir") == version.removesuffix(".dir"))


def open_table(table: Path | str, *, check_rows: bool = True) -> Catalog:
    """A step's table, with its photos on this node; see `read_catalog` and `at_hand`.

    Raises:
        InputError: if there is no readable table, or its photos cannot be fetched.
    """
    from vitrine.catalog.fetch import at_hand

    return at_hand(read_catalog(table, check_rows=check_rows))


def lineage(made: Path | str) -> dict[str, str]:
    """Which data a table or a model folder (or folders of models) was made with, and a model with which code."""
    for model in (Path(made) / "config.json", *Path(made).glob("*/config.json")):
        if model.is_file():
            config = files.read_json(model)
            return {key: config[key] for key in ("data_version", "code_version")}
    return {"data_version": read_version(made)}
