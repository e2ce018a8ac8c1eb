"""`match` runs whole on this machine, and `vitrine search` answers from the index it leaves."""

from pathlib import Path

import pytest
from toy_pairs import toy_pairs
from vitrine_command import vitrine

from vitrine.catalog import read_catalog, write_catalog
from vitrine.registry import Registry
from vitrine.visual_search import search_photos

SMALL = (
    *("train_epochs=1", "pretraining=1", "image_size=16", "weights=none", "batch_size=32", "ratios=0.6,0.2,0.2"),
    "allow_below_baseline=true",  # one pass from nothing is hardly better than chance
)


@pytest.mark.slow
def test_a_run_ends_with_a_champion_and_an_index_of_the_shop(tmp_path):
    write_catalog(toy_pairs(tmp_path / "data", products=30), tmp_path / "data")
    given = [f"--set={pair}" for pair in (f"data_catalog={tmp_path / 'data'}", *SMALL)]
    done = vitrine(tmp_path, "pipeline", "run", "match", "--runs", tmp_path / "runs", *given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Promoted: the first model" in done.stdout
    champion = Registry(tmp_path / "runs/registry").champion("matching")
    assert champion is not None
    assert (Path(champion.model) / "drift" / "reference.json").is_file()
    (index,) = (path.parent for path in (tmp_path / "runs/artifacts").rglob("index.json"))
    (line,) = search_photos(index, [str(tmp_path / "data/images/000-2.png")], k=200)
    (parted,) = (tmp_path / "runs/artifacts").glob("*/clean-and-split/parted")
    kept = read_catalog(parted).table
    assert {hit["image"] for hit in line["results"]} == set(kept.loc[kept["domain"] == "shop", "image"])
    (summary,) = (tmp_path / "runs/summaries").rglob("summary.html")
    assert "photos in the index" in summary.read_text()
