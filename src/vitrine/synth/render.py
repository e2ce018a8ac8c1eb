"""The rendered marketplace: a whole demo catalog from a seed."""

from pathlib import Path

import pandas

from vitrine.errors import InputError
from vitrine.files import new_folder
from vitrine.synth.defects import plant
from vitrine.synth.listings import COLUMNS, Row, render_listing


def render_catalog(out: Path, listings: int = 300, seed: int = 0, defects: bool = False) -> None:
    """Renders a marketplace of garments, shoes, bags and caps as a catalog folder.

    Every fourth listing shows a pair of shoes in six views and mostly has a verdict; the others mix shop and
    customers' photos. The same arguments give the same bytes on every machine, and listing k looks the same in a
    catalog of any size.

    Args:
        out: the folder to make: `catalog.parquet` and `images/`.
        listings: how many listings; about 4.6 photos each, 96 to 128 pixels.
        seed: what marketplace this is.
        defects: adds rows with known faults, and `defects.csv` (`image`, `defect`, `detail`) that names each of them.
            The other rows and photos stay as they are without.

    Raises:
        InputError: if `listings` is below one, or `out` exists or cannot be written.
    """
    if listings < 1:
        raise InputError(f"--listings {listings}: a catalog needs at least one listing")
    out = Path(out)
    if out.exists():
        raise InputError(f"{out}: exists already; name a new folder")
    with new_folder(out) as folder:
        (folder / "images").mkdir()
        rows: list[Row] = []
        for number in range(listings):
            for photo in render_listing(seed, number):
                (folder / photo.row["image"]).write_bytes(photo.data)
                rows.append(photo.row)
        if defects:
            added, faults = plant(folder, rows, seed)
            rows += added
            pandas.DataFrame(faults).to_csv(folder / "defects.csv", index=False, lineterminator="\n")
        table = pandas.DataFrame(rows, columns=list(COLUMNS), dtype="object")
        # Uncompressed: a compressor may pick other matches on another processor, and the table is small.
        table.to_parquet(folder / "catalog.parquet", engine="pyarrow", index=False, compression=None)
