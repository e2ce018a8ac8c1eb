"""What the image is built of reaches the build; `make test-containers` builds it."""

from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_all_that_is_copied_reaches_the_build():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines  # nothing else does
    sent = {line[1:] for line in lines if line.startswith("!")}
    copies = [
        line.split()[1:-1] for line in (ROOT / "Containerfile").read_text().splitlines() if line.startswith("COPY")
    ]
    copied = {source for sources in copies if not sources[0].startswith("--from") for source in sources}
    assert "requirements.txt" in copied
    assert {source.partition("/")[0] for source in copied} <= sent
    assert all((ROOT / source).exists() for source in copied)
