"""Every page that Vitrine makes of a hostile catalog, in a real browser: nothing of the catalog runs."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vitrine import journal
from vitrine.catalog import Catalog
from vitrine.evaluate import evaluate
from vitrine.monitoring.drift import build_reference, compare
from vitrine.predict import apply
from vitrine.quality.clean import clean_catalog
from vitrine.quality.split import split_catalog
from vitrine.quality.validate import validate_catalog
from vitrine.train import train

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CODE = "console.log('r'+'an '+location)"
LABELS = [
    f"<script>{CODE}</script>",
    f'"><img src=x onerror="{CODE}">',
    f"</script><script>{CODE}</script>",
    f"<svg onload={CODE}>",
    f"'-{CODE}-'",
    f"{{{{{CODE}}}}}",
    f"javascript:{CODE}",
    f"</title></style></textarea><iframe srcdoc='<script>{CODE}<\\/script>'>",
]


def said(page: Path) -> list[str]:
    """What the scripts of a page, and of those in its frames, say on the console that tells of ours."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    profile = page.parent / "profile"
    command += [f"--user-data-dir={profile}", "--virtual-time-budget=15000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "<html" in done.stdout, done.stderr[-2000:]
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line and "ran " in line]


def hostile(folder: Path, seed: int, flip: bool) -> Catalog:
    random = np.random.default_rng(seed)
    rows = []
    for i in range(64):
        label, other = LABELS[i % 8], LABELS[(i // 8) % 8]
        name = f"{label.translate(str.maketrans('/:', '||', chr(92)))[:60]}{i}.png"
        shade = random.integers(0, 256, (24, 24, 3)).astype(np.uint8) // (4 if flip else 1)
        folder.mkdir(exist_ok=True)
        Image.fromarray(shade).save(folder / name)
        rows.append(
            {
                "image": name,
                "category": f"{label.replace('/', '-')}/{other.replace('/', '-')}",
                f"attr:{LABELS[0]}": label,
                "attr:colour": LABELS[i % 3] if flip else label,
                "listing": f"{label}{i // 2}", "product": label, "view": label, "expert": label, "user": label,
                "description": label, "domain": label, "bbox": label if i == 1 else "", "split": "",
                LABELS[1]: label,
            }
        )  # fmt: skip
    return Catalog(str(folder), pd.DataFrame(rows), LABELS[0])


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, chromium-browser or google-chrome on the PATH")
def test_no_page_runs_what_a_catalog_says(tmp_path):
    raw = hostile(tmp_path / "photos", 0, False)
    validate_catalog(raw, tmp_path / "validation", as_map=True, workers=1)
    later = hostile(tmp_path / "later", 1, True)
    validate_catalog(later, tmp_path / "again", previous=str(tmp_path / "validation"), earlier=raw, workers=1)
    sound = raw.with_table(raw.table.assign(domain="", bbox=""))
    clean_catalog(sound, tmp_path / "cleaned", 1, False, workers=1)
    split_catalog(sound, tmp_path / "parted", workers=1)
    table = sound.table.assign(split=np.resize(["train", "train", "train", "validation", "test"], len(sound)))
    parted = Catalog(sound.root, table, LABELS[0])
    quick = ["epochs=1", "image_size=32", "batch_size=8", "workers=1", "hidden=32", "weights=none"]
    train("taxonomy", "ssmtl-ca", parted, tmp_path / "model", quick)
    evaluate(tmp_path / "model", parted, tmp_path / "evaluation")
    build_reference(sound, tmp_path / "reference", apply(tmp_path / "model", sound))
    fresh = later.with_table(later.table.assign(domain="", bbox=""))
    compare(tmp_path / "reference", fresh, tmp_path / "drift", apply(tmp_path / "model", fresh), as_map=True)
    run = tmp_path / "run"
    for step, label in enumerate(LABELS):
        note = journal.Note(
            f"promote-{step}", label, [label, label], figures={label: label}, data_version=label,
            photos=[{"thumbnail": None, "caption": [label], "tone": ""}],
        )  # fmt: skip
        journal.write_note(tmp_path / "step", note)
    journal.publish(tmp_path / "step", str(run))
    journal.summarise(str(run), LABELS[0], LABELS[1], LABELS[2])

    pages = sorted(path for path in tmp_path.rglob("*.html"))
    names = {f"{path.parent.name}/{path.name}" for path in pages}
    wanted = ["validation/great_expectations", "again/report", "again/evidently", "cleaned/report", "parted/report"]
    wanted += ["evaluation/report", "drift/report", "drift/evidently", "run/summary", "validation/map", "drift/map"]
    assert {f"{name}.html" for name in wanted} <= names
    frames = "".join(f'<iframe src="{os.path.relpath(path, tmp_path)}"></iframe>' for path in pages)
    (tmp_path / "all.html").write_text(f"<!doctype html><html><body>{frames}</body></html>")
    assert said(tmp_path / "all.html") == []
    # The browser would have said so: in a frame, and whatever of the labels acts.
    (tmp_path / "framed.html").write_text(f"<!doctype html><html><body>{''.join(LABELS)}</body></html>")
    (tmp_path / "control.html").write_text('<!doctype html><html><iframe src="framed.html"></iframe></html>')
    assert len(said(tmp_path / "control.html")) >= 3
