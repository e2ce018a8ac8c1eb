import subprocess
import sys
from pathlib import Path

from components import outputs

LOOK = "import logging; logging.basicConfig(level='INFO'); import matplotlib.font_manager"


def test_a_pod_takes_the_list_of_fonts_from_its_image(tmp_path, monkeypatch):
    made = tmp_path / "venv" / outputs.FONTS

    def look(folder: Path) -> str:
        environment = {"MPLCONFIGDIR": str(folder), "PATH": ""}
        done = subprocess.run([sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=True)
        return done.stderr

    made.mkdir(parents=True)
    assert "generated new fontManager" in look(made)  # as Containerfile does
    monkeypatch.setattr(outputs.sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "pod"))
    outputs.bring_fonts()
    assert "generated" not in look(tmp_path / "pod")
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "own"))
    outputs.bring_fonts()
    assert list((tmp_path / "own").iterdir()) == []  # what is there already is its owner's


def test_without_an_image_nothing_is_brought(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs.sys, "prefix", str(tmp_path))
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    outputs.bring_fonts()
    assert not (tmp_path / "cache").exists()
