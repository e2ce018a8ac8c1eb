"""Addresses where a path is asked for are asked nothing, what is printed does nothing, and tables are no formulas."""

import ast
import csv
from pathlib import Path

import pandas as pd
import pytest
from toys import toy_catalog

from vitrine.catalog import Catalog, read_catalog
from vitrine.errors import InputError
from vitrine.monitoring.labelling import write_sheet
from vitrine.synth import render_catalog
from vitrine.train import train

ROOT = Path(__file__).parents[1]
ADDRESSES = [
    "http://127.0.0.1:9/x",
    "https://host/x",
    "ftp://host/x",
    "file:///etc/passwd",
    "file://host/share",
    "//host/x",
]


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    return toy_catalog(tmp_path_factory.mktemp("toys") / "toys", photos=48)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    ("task", "variant", "key"),
    [
        ("taxonomy", "ssmtl-ca", "start"), ("taxonomy", "bcnn-mcr", "nets"), ("attributes", "student", "teachers"),
        ("attributes", "student", "unlabelled"), ("taxonomy", "bcnn", "weights"),
    ],
)  # fmt: skip
def test_no_setting_asks_an_address(toys, tmp_path, monkeypatch, task, variant, key, address):
    if key == "weights" and address.startswith("https://"):
        pytest.skip("weights may be fetched from there: tests/blocks/test_pretrained.py")
    monkeypatch.setattr("socket.socket.connect", None)
    monkeypatch.setattr("socket.getaddrinfo", None)
    with pytest.raises(InputError) as refused:
        train(task, variant, toys, tmp_path / "model", [f"{key}={address}", "epochs=1", "workers=1"])
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.slow
def test_types_and_labels_name_no_files(toys, tmp_path):
    table = toys.table.drop(columns=[name for name in toys.table if name.startswith("attr:")])
    table["attr:../../up"] = ["../../red" if i % 2 else "/etc/blue" for i in range(len(table))]
    settings = [
        "epochs=1",
        "image_size=32",
        "workers=1",
        "batch_size=16",
        f"teacher_store={tmp_path / 'in/side/store'}",
    ]
    train("attributes", "student", toys.with_table(table), tmp_path / "in/side/model", settings)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["side"]
    assert {path.name for path in (tmp_path / "in/side").iterdir()} == {"model", "store"}


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_catalog_is_asked_of_an_address(address, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", None)
    for source in (address, f"{address}.csv", f"{address}.parquet"):
        with pytest.raises(InputError):
            read_catalog(source)


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate", "\x1b]0;title\x07none", "--report", "r"],
        ["train", "taxo\x1b[2Jnomy", "none", "out"],
        ["models", "list", "\x9b31m"],
        ["scan", "none", "out", "--shard", "\x1b[31m"],
        ["split", "none", "out", "--ratios", "\x1b[31m"],
        ["predict", "model\u202e", "photo"],
    ],
)
def test_a_refusal_does_nothing_to_a_terminal(arguments, vitrine):
    refused = vitrine(*arguments)
    assert refused.code == 2
    assert len(refused.err.splitlines()) == 1
    assert refused.err.rstrip("\n").isprintable()


def test_a_history_does_nothing_to_a_terminal(tmp_path, vitrine):
    (tmp_path / "taxonomy").mkdir()
    line = '{"at": "2026", "decision": "refused", "reason": "\\u001b[2Jno\\u202e\\n", "metrics": {}}\n'
    (tmp_path / "taxonomy/history.jsonl").write_text(line)
    assert vitrine("models", "list", "--history", "--registry", tmp_path).out.rstrip("\n").isprintable()


@pytest.mark.slow
def test_no_table_for_spreadsheets_holds_what_somebody_else_wrote(tmp_path):
    writing = set()
    for path in (path for folder in ("src", "components", "pipelines") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                made = (node.func.attr == "to_csv" and node.args) or node.func.attr in (
                    "to_excel",
                    "DictWriter",
                    "writer",
                )
                if made:
                    writing.add(path.relative_to(ROOT).as_posix())
    assert writing == {
        "src/vitrine/synth/render.py",  # defects.csv, of faults that are drawn
        "src/vitrine/catalog/left_out.py",  # left_out.csv, its cells made harmless
        "src/vitrine/monitoring/labelling.py",  # label.csv, see below
    }
    words = ["=1+1", "@x", "Shoes", "-2", "\t=1"]
    table = pd.DataFrame({"image": ["=a.jpg", *(f"{i}.jpg" for i in range(4))], "category": words, "attr:=x": words})
    write_sheet(Catalog(str(tmp_path), table), tmp_path / "label.csv")
    with (tmp_path / "label.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert [row[:2] for row in rows] == [["0.jpg", ""], ["1.jpg", "Shoes"], ["2.jpg", ""], ["3.jpg", ""]]
    assert not [cell for row in (header, *rows) for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    render_catalog(tmp_path / "demo", listings=10, defects=True)
    with (tmp_path / "demo/defects.csv").open(newline="", encoding="utf-8") as file:
        assert not [
            cell for row in csv.reader(file) for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        ]
