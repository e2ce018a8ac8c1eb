"""KFP step: name the state of the data, so that later steps know whether they were done before."""

from kfp.dsl import component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def data_version(catalog: str, revision: str = "") -> str:
    """Names the state of the data. Never cached: it is what the other steps' caching hangs on.

    Args:
        catalog: Folder, s3:// prefix or .dvc file of the catalog.
        revision: DVC hash of the folder; empty = the one in the .dvc file, or whatever is there.

    Returns:
        The DVC hash of tracked data, else a hash of what is there.
    """
    from vitrine import steps

    return steps.data_state(catalog, revision)
