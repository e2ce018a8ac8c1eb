"""What the tests of commands share: how a command ends, what it leaves, and settings that make training quick."""

from pathlib import Path

from vitrine_command import Result

SMALL = [
    f"--set={pair}"
    for pair in ("epochs=1", "batch_size=16", "image_size=32", "precision=32", "workers=1", "weights=none")
]


def says(result: Result, *parts: str) -> None:
    """The command refused its input in one line that holds all `parts`."""
    assert result.code == 2, result
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, result.err
    for part in parts:
        assert part in lines[0]


def in_(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
