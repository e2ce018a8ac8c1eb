"""KFP step: the catalog of one data revision."""

from kfp.dsl import Dataset, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def fetch(catalog: str, state: str, table: Output[Dataset], revision: str = "", remote: str = "") -> None:
    """Fetches a catalog's table; photos are copied only from a DVC remote, into the node's cache.

    Args:
        catalog: Folder, s3:// prefix or .dvc file of the catalog.
        state: State of the data, from `data_version`.
        table: Catalog table (a folder with catalog.parquet) that says where the photos are.
        revision: DVC hash of the folder; empty = the one in the .dvc file, or whatever is there.
        remote: DVC remote of a .dvc file: a folder or s3://bucket/prefix.
    """
    from pathlib import Path

    from components.outputs import stamp
    from vitrine import steps

    steps.fetch_data(catalog, revision, remote, Path(table.path))
    stamp(Path(table.path), table)
    table.metadata["state"] = state
