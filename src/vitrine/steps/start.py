"""How a run begins: the address of its period, and a note of what was asked for."""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from vitrine import __version__
from vitrine.errors import InputError
from vitrine.journal import Note, publish_note
from vitrine.words import counted


def name_period(catalog: str, period: str) -> str:
    """An address with `%Y`, `%m`, `%d` and `%H` filled in: of a day or hour (ISO 8601, UTC), "" for yesterday.

    Raises:
        InputError: if `period` is neither.
    """
    try:
        when = datetime.fromisoformat(period) if period else datetime.now(UTC) - timedelta(days=1)
    except ValueError as error:
        raise InputError(f"period={period}: a day such as 2026-11-25, or an hour such as 2026-11-25T13") from error
    for code in ("%Y", "%m", "%d", "%H"):
        catalog = catalog.replace(code, when.strftime(code))
    return catalog


def note_start(run: str, settings: Mapping[str, object], usual: Mapping[str, object]) -> None:
    """Publishes what a run was asked for and where it began, for the head of its page.

    Args:
        run: Folder or `s3://` prefix of the run's pages.
        settings: All of them.
        usual: Their defaults.
    """
    asked = [f"{key}={value}" for key, value in sorted(settings.items()) if usual.get(key) != value]
    cores, system = os.cpu_count() or 1, f"{platform.system()} {platform.machine()}"
    decided = [
        f"Settings other than the defaults: {', '.join(asked) or 'none'}.",
        f"Begun on {platform.node()} ({system}, {counted(cores, 'processor')}), Python {platform.python_version()}, "
        f"Vitrine {__version__}.",
    ]
    publish_note(Note("start", "What was asked for", decided), run)
