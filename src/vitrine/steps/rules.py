"""Rules and an expectation suite of one's own: as text from the settings to the steps that go by them."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from vitrine import files
from vitrine.errors import InputError


def text_at(address: str) -> str:
    """The text of a file that a setting names.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return files.read_bytes(files.absolute(address)).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{address}: cannot be read ({getattr(error, 'strerror', None) or 'no text'})") from error


def check_rules(quality: Mapping[str, str]) -> None:
    """Whether validation can go by the texts of `rules` and a `suite`.

    Raises:
        InputError: if not.
    """
    with as_files(quality) as paths:
        if "rules" in paths:
            from vitrine.quality.settings import load_settings

            load_settings(paths["rules"])
        if "suite" in paths:
            from vitrine.quality.suite import read_suite

            read_suite(paths["suite"])


@contextlib.contextmanager
def as_files(texts: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """Texts as files of these names, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.yaml" for name in texts}
        for name, path in paths.items():
            path.write_text(texts[name], encoding="utf-8")
        yield paths
