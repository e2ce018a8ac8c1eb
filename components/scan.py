"""KFP step: look at every photo of one shard."""

from kfp.dsl import Dataset, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def scan(table: str, photos: Output[Dataset], shard: str = "1/1") -> None:
    """Decodes the photos of one shard and writes down what they are.

    Args:
        table: Address of the catalog table.
        photos: Folder with photos.parquet: format, size, hashes, brightness, sharpness ... of each photo.
        shard: Which part of the photos: 2/8 is the second of eight.
    """
    from pathlib import Path

    from components.outputs import stamp
    from vitrine.steps import scanning

    scanning.scan(table, Path(photos.path), shard)
    stamp(table, photos)
