"""A listing that is no row of a catalog: a folder of its photos."""

from pathlib import Path

from vitrine import files
from vitrine.catalog.photos import is_photo_name
from vitrine.errors import InputError


def photos_in(folder: str) -> list[str]:
    """The photos that lie directly in a folder, by name.

    Raises:
        InputError: if there is none.
    """
    if is_photo_name(folder) and not Path(folder).is_dir():
        raise InputError(f"{folder}: the model judges listings, not single photos; name folders of one listing each")
    root = files.absolute(folder)
    photos = [name for name in files.list_folder(root) if "/" not in name and not name.startswith(".")]
    photos = [name for name in photos if is_photo_name(name)]
    if not photos:
        raise InputError(f"{folder}: holds no photo; name the folder of one listing")
    return [files.join(root, name) for name in photos]
