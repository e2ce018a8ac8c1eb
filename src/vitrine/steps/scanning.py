"""Looking at every photo, in shards."""

from pathlib import Path

from vitrine.catalog import read_catalog
from vitrine.errors import InputError
from vitrine.journal import SIGN
from vitrine.words import counted


def shard_names(shards: int) -> list[str]:
    """The names of that many shards: 1/4, 2/4 ...

    Raises:
        InputError: if there are none.
    """
    if shards < 1:
        raise InputError(f"shards={shards}: at least 1")
    return [f"{number}/{shards}" for number in range(1, shards + 1)]


def scan(table: Path | str, out: Path, shard: str) -> None:
    """The photo table of one shard; the steps that follow read it instead of the photos."""
    from vitrine.catalog.fetch import pack
    from vitrine.quality.scan import parse_shard, shard_images, write_photo_table

    catalog, part = read_catalog(table, check_rows=False), parse_shard(shard)
    done = write_photo_table(pack(catalog, shard_images(catalog, part), part), out, part)
    print(f"{SIGN} Scan {shard}: {counted(done, 'photo')}.", flush=True)
