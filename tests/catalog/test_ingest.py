"""Folders, tables and the three real data sets become catalogs."""

import json
import shutil
import time
import unicodedata
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vitrine import files
from vitrine.catalog import category_depth, category_level, read_catalog
from vitrine.catalog.ingest import ingest
from vitrine.errors import InputError


@pytest.fixture
def source(tmp_path):
    """Makes a folder from {path: text}; photos are empty files, for ingest looks at names only."""

    def make(entries):
        root = tmp_path / "source"
        for name, content in entries.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return make


def photos(*names):
    return dict.fromkeys(names, "")


def ingest_table(tmp_path, root, mapping):
    path = tmp_path / "map.yaml"
    path.write_text(mapping, encoding="utf-8")
    out = tmp_path / "out"
    return ingest(root, out, "table", path), read_catalog(out)


def test_folders_are_categories(source, tmp_path):
    root = source(
        photos("Shoes/Boots/a.jpg", "Shoes/b.JPEG", "c.png", "Shoes/notes.txt", ".hidden/d.jpg", "Shoes/._a.jpg")
    )
    account = ingest(root, tmp_path / "out", "folder")
    catalog = read_catalog(tmp_path / "out")
    assert catalog.table.to_dict("list") == {
        "image": ["Shoes/Boots/a.jpg", "Shoes/b.JPEG", "c.png"],
        "category": ["Shoes/Boots", "Shoes", ""],
    }
    assert catalog.root == str(root)
    assert catalog.uri("c.png") == str(root / "c.png")
    assert account.rows == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["catalog.parquet", "left_out.csv"]


def test_whatever_phones_write_is_read_or_counted(source, tmp_path):
    read = ("shirts/a.jpg", "shirts/b.jfif", "shirts/c.JPE", "shirts/d.heic", "shirts/e.avif", "shirts/f.jp2", "g.mpo")
    root = source(photos(*read, "shirts/1.jxl", "shirts/2.JXL", "3.dng", "list.csv", ".hidden/4.jxl"))
    account = ingest(root, tmp_path / "out", "folder")
    assert sorted(read_catalog(tmp_path / "out").table["image"]) == sorted(read)
    assert account.lines()[2] == "Of a photo's kind and not read: 1 .dng, 2 .jxl (left out; convert or unpack them)."


def test_a_folder_of_unread_kinds_says_so(source, tmp_path):
    root = source(photos("1.jxl", "2.jxl"))
    with pytest.raises(InputError, match=r"no photos there, only 2 \.jxl \(read are \.jpg"):
        ingest(root, tmp_path / "out", "folder")


def test_an_s3_prefix_like_a_folder(bucket, tmp_path):
    for name in ["Shoes/a.jpg", "b.jpg", "readme.md"]:
        files.write_bytes(f"{bucket}/raw/{name}", b"")
    ingest(f"{bucket}/raw/", tmp_path / "out", "folder")
    catalog = read_catalog(tmp_path / "out")
    assert catalog.root == f"{bucket}/raw"
    assert catalog.table["category"].tolist() == ["Shoes", ""]


def test_a_table_on_s3(bucket, tmp_path):
    files.write_bytes(f"{bucket}/raw/a.jpg", b"")
    files.write_bytes(f"{bucket}/raw/t.csv", f"photo\n{bucket}/raw/a.jpg\ns3://other/b.jpg\n".encode())
    _, catalog = ingest_table(tmp_path, f"{bucket}/raw", "tables: [{file: t.csv}]\ncolumns: {image: '{photo}'}")
    assert catalog.table["image"].tolist() == ["a.jpg", "s3://other/b.jpg"]


def test_photos_may_all_be_elsewhere(source, tmp_path):
    root = source({"t.csv": "photo\ns3://other/b.jpg\n"})
    _, catalog = ingest_table(tmp_path, root, "tables: [{file: t.csv}]\ncolumns: {image: '{photo}'}")
    assert catalog.table["image"].tolist() == ["s3://other/b.jpg"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no such folder"),
        (["a.txt"], "no photos there"),
        (["a\\b.jpg"], "rename the file"),
        (["a:b/c.jpg"], "rename the file"),
    ],
)
def test_folders_without_usable_photos(source, tmp_path, names, message):
    source(photos(*names))
    with pytest.raises(InputError, match=message):
        ingest(tmp_path / "source", tmp_path / "out", "folder")
    assert not (tmp_path / "out").exists()


def test_a_file_name_that_is_not_utf8_costs_that_photo(source, tmp_path):
    root = source(photos("a.jpg", "c\\d.jpg"))
    (root / "b\udcff.jpg").write_bytes(b"")
    account = ingest(root, tmp_path / "out", "folder")
    assert read_catalog(tmp_path / "out").table["image"].tolist() == ["a.jpg"]
    assert "Photos with a name that no catalog can hold: 2 (left out; rename them)." in account.lines()
    assert (tmp_path / "out/left_out.csv").read_text().splitlines()[1:] == [
        ",b?.jpg,a catalog cannot hold this name; rename the file",
        ",c\\d.jpg,a catalog cannot hold this name; rename the file",
    ]


def test_names_as_shops_and_browsers_give_them_are_photos(source, tmp_path):
    names = ["a.jpg_large", "b.jpg!w800", "c.jpeg?v=2", "d.WEBP~"]
    root = source(photos(*names, "e.jpg.json", "f.jpgx", "rest.zip", "more.tar.gz", "notes.gz"))
    account = ingest(root, tmp_path / "out", "folder")
    assert read_catalog(tmp_path / "out").table["image"].tolist() == names
    assert account.unread == {".tgz": 1, ".zip": 1}


def test_a_row_may_name_a_photo_that_is_not_named_like_one(source, tmp_path):
    root = source({"t.csv": "photo\n9f86d081\na.jpg\nb.svg\n", **photos("9f86d081", "a.jpg", "b.svg", "LICENSE")})
    account, catalog = ingest_table(tmp_path, root, "tables: [{file: t.csv}]\ncolumns: {image: '{photo}'}")
    assert catalog.table["image"].tolist() == ["9f86d081", "a.jpg"]
    assert (account.missing, account.unlisted, account.unread) == (1, 0, {".svg": 1})


@pytest.mark.parametrize(
    ("format", "mapping", "message"),
    [
        ("fashon", None, "unknown format 'fashon'; did you mean 'fashion'"),
        ("zzz", None, "known: folder, table, clothing, fashion, grocery"),
        ("table", None, "needs --map"),
        ("folder", "map.yaml", "goes with --format table"),
    ],
)
def test_unusable_arguments(source, tmp_path, format, mapping, message):
    root = source(photos("a.jpg"))
    with pytest.raises(InputError, match=message):
        ingest(root, tmp_path / "out", format, mapping and tmp_path / mapping)


def test_skipping_lines_goes_with_tables(source, tmp_path):
    with pytest.raises(InputError, match=r"--skip-bad-lines goes with tables .table, clothing.*, not folder"):
        ingest(source(photos("a.jpg")), tmp_path / "out", "folder", skip_bad_lines=True)


def test_an_existing_folder_is_kept(source, tmp_path):
    root = source(photos("a.jpg"))
    with pytest.raises(InputError, match="exists already"):
        ingest(root, root, "folder")


WHOLE = """
tables:
  - file: items.csv
    delimiter: ";"
    encoding: latin-1
    columns: {domain: shop}
  - {file: found.tsv, names: [photo, id], columns: {split: test, attr:colour: "", category: "", description: "", price: ""}}
lookups: [{file: brands.csv, key: {brand_id: id}}]
attributes: [{file: long.csv, key: {id: item}, type: what, label: word, at_least: 3}]
columns:
  image: "{photo}"
  domain: user
  product: "{id}"
  category: "{group}/{kind}"
  description: "{brand} {kind}"
  attr:colour: "{colours}"
extra: {price: "{price}"}
unlabelled: {category: [Other], attr:colour: [unknown, "?"], attr:neck: ["?"]}
values: {category: {Shoe: Shoes}, attr:colour: {grey: gray}}
separators: {attr:colour: ","}
unlisted: keep
"""
TABLES = {
    "items.csv": (
        "photo;id;brand_id;group;kind;colours;price\n"
        'p/1.jpg;1;b1;Shoe;Boots;" grey, blue,unknown";9,5\n'
        "/p/2.jpg;2;b2;Shoe;Other;?;\n"
        "p\\3.JPG;3;;Hats;Beret é/x;grey;1\n"
        "./p/4.*;4;b1;;Loose;red;1\n"
        "p/gone.jpg;5;b1;Shoe;Boots;red;1\n"
    ).encode("latin-1"),
    "found.tsv": "a\tb\nf/1.jpg\t1\nf/2.jpg\t2\n",
    "brands.csv": "id,brand,photo\nb1,Acme,logo.jpg\nb3,Zed,\n",
    "long.csv": "item,what,word\n1,Neck,round\n1,Neck,wide\n1,Neck,wide\n2,Neck,?\n3,Neck,round\n1,Rare,x\n9,Rare,y\n2,Rare,\n",
}


@pytest.fixture
def whole(source, tmp_path):
    root = source({**TABLES, **photos("p/1.jpg", "p/2.jpg", "p/3.jpg", "p/4.png", "f/1.jpg", "f/2.jpg", "z.jpg")})
    return ingest_table(tmp_path, root, WHOLE)


def test_everything_a_mapping_can_say(whole):
    _, catalog = whole
    rows = catalog.table.set_index("image").to_dict("index")
    assert list(rows) == ["p/1.jpg", "p/2.jpg", "p/3.jpg", "p/4.png", "f/1.jpg", "f/2.jpg", "z.jpg"]
    assert rows["p/1.jpg"] == {
        "product": "1",
        "domain": "shop",
        "category": "Shoes/Boots",
        "description": "Acme Boots",
        "split": "",
        "attr:colour": "gray|blue",
        "attr:neck": "round|wide",
        "price": "9,5",
    }
    assert rows["p/2.jpg"]["category"] == "Shoes"
    assert rows["p/2.jpg"]["attr:colour"] == rows["p/2.jpg"]["attr:neck"] == ""
    assert rows["p/2.jpg"]["description"] == "Other"  # no brand b2; a word is unlabelled only where the mapping says
    assert rows["p/3.jpg"]["category"] == "Hats/Beret é-x"
    assert rows["p/4.png"]["category"] == ""
    assert (rows["f/1.jpg"]["domain"], rows["f/1.jpg"]["split"], rows["f/1.jpg"]["attr:neck"]) == (
        "user",
        "test",
        "round|wide",
    )
    assert set(rows["z.jpg"].items()) == {
        ("domain", "user"),
        *((name, "") for name in rows["z.jpg"] if name != "domain"),
    }


def test_the_account(whole):
    account, _ = whole
    assert (account.rows, account.unlisted, account.unlisted_kept, account.missing) == (7, 1, True, 1)
    # unknown, ? (colours), Other (category), ? (neck, of the shop's and the found photo); not those of dropped rows
    assert account.unlabelled == 5
    assert account.lines() == [
        "Rows: 7.",
        "Photos without a row: 1 (kept without labels). Rows without a photo: 1 (left out).",
        "Rows or lines without a match: 1 brands.csv, 1 long.csv.",
        "Labels that count as unlabelled: 5.",
        "What is left out stands in left_out.csv, with its reason.",
    ]


def test_a_type_with_too_few_labels_is_left_out(whole):
    assert "attr:rare" not in whole[1].table


def test_unlisted_photos_can_be_dropped(source, tmp_path):
    root = source({"t.csv": "photo\na.jpg\n", **photos("a.jpg", "b.jpg")})
    account, catalog = ingest_table(tmp_path, root, "tables: [{file: t.csv}]\ncolumns: {image: '{photo}'}")
    assert catalog.table["image"].tolist() == ["a.jpg"]
    assert (account.unlisted, account.unlisted_kept) == (1, False)


def test_parquet_tables(source, tmp_path):
    root = source(photos("1.jpg", "2.jpg"))
    pd.DataFrame({"id": [1, 2], "verdict": [1, None]}).astype({"verdict": "Int64"}).to_parquet(root / "t.parquet")
    mapping = "tables: [{file: t.parquet}]\ncolumns: {image: '{id}.jpg', verdict: '{verdict}'}\nvalues: {verdict: {'1': authentic}}"
    _, catalog = ingest_table(tmp_path, root, mapping)
    assert catalog.table["verdict"].tolist() == ["authentic", ""]


def test_whole_numbers_of_a_float_column_are_written_in_full(source, tmp_path):
    root = source(photos("1.jpg", "2.jpg", "3.jpg"))
    codes = pd.DataFrame({"id": [1, 2, 3], "ean": [4006381333931.0, None, 12.5], "small": [0.1, 7.0, float("nan")]})
    codes.astype({"small": "float32"}).to_parquet(root / "t.parquet")
    mapping = "tables: [{file: t.parquet}]\ncolumns: {image: '{id}.jpg', product: '{ean}', listing: '{small}'}"
    _, catalog = ingest_table(tmp_path, root, mapping)
    assert catalog.table["product"].tolist() == ["4006381333931", "", "12.5"]
    assert catalog.table["listing"].tolist() == ["0.1", "7", ""]


PHOTO_TABLE = {
    "file": ["1.jpg", "2.jpg", "3.jpg"],
    "colours": [["red", "blue|green"], [], None],
    "sizes": [[1, 2], None, []],
    "box": [{"x": 1}, None, {"x": 2}],
    "thumbnail": [b"\xff\xd8", b"", None],
}


def test_columns_that_are_no_text_hurt_only_where_they_are_used(source, tmp_path):
    root = source(photos("1.jpg", "2.jpg", "3.jpg"))
    pd.DataFrame(PHOTO_TABLE).to_parquet(root / "t.parquet")
    mapping = "tables: [{file: t.parquet}]\ncolumns: {image: '{file}', attr:colour: '{colours}'}\nextra: {box: '{box}'}"
    _, catalog = ingest_table(tmp_path, root, mapping)
    assert catalog.table["attr:colour"].tolist() == ["red|blue-green", "", ""]
    assert catalog.table["box"].tolist() == ['{"x": 1}', "", '{"x": 2}']
    (tmp_path / "out/catalog.parquet").unlink()
    with pytest.raises(InputError, match=r"column 'thumbnail' holds binary, not text"):
        ingest_table(tmp_path, root, mapping.replace("{box}", "{thumbnail}"))


def test_bytes_that_are_no_text_hurt_only_where_they_are_used(source, tmp_path):
    places, values = pa.py_buffer(bytes([0, 0, 0, 0, 1, 0, 0, 0])), pa.py_buffer(b"\xff")
    table = pa.table({"photo": ["a.jpg"], "note": pa.Array.from_buffers(pa.string(), 1, [None, places, values])})
    root = source(photos("a.jpg"))
    pq.write_table(table, root / "t.parquet")
    mapping = "tables: [{file: t.parquet}]\ncolumns: {image: '{photo}'"
    with pytest.raises(InputError, match=r"column 'note': .*Invalid UTF8"):
        ingest_table(tmp_path, root, f"{mapping}, description: '{{note}}'}}")
    assert ingest_table(tmp_path, root, mapping + "}")[0].rows == 1


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['red', 'blue']", "red|blue"),
        ('["red", "d\\u00e9j\u00e0 vu"]', "red|d\u00e9j\u00e0 vu"),
        ("['red' 'blue']", "red|blue"),  # as pandas writes arrays of numpy
        ("[red, dark blue]", "red|dark blue"),
        ("['a, b', 'it\\'s']", "a, b|it's"),
        ("['x|y', None, nan]", "x-y"),
        ("[]", ""),
        ("[ 'not sure', 'red' ]", "red"),
        ("red|blue", "red|blue"),
        ("[limited] red", "[limited] red"),
    ],
)
def test_cells_that_are_lists(source, tmp_path, cell, expected):
    root = source(photos("a.jpg", "b.jpg"))
    pd.DataFrame({"photo": ["a.jpg", "b.jpg"], "colours": [cell, "plain"]}).to_csv(root / "t.csv", index=False)
    mapping = "tables: [{file: t.csv}]\ncolumns: {image: '{photo}', attr:colour: '{colours}'}\nunlabelled: [not sure]"
    _, catalog = ingest_table(tmp_path, root, mapping)
    assert catalog.table["attr:colour"].tolist() == [expected, "plain"]


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.json"])
def test_json_tables(source, tmp_path, name):
    rows = [
        {"id": 1, "ean": 4006381333931.0, "colours": ["red", "blue"], "on sale": True, "box": {"x": 1}},
        {"id": 2, "colours": None, "note": "é", "ean": float("nan")},
    ]
    text = json.dumps(rows) if name == "t.json" else "\n".join(map(json.dumps, rows)) + "\n\n"
    root = source({name: text, **photos("1.jpg", "2.jpg")})
    mapping = f"""
tables: [{{file: {name}}}]
columns: {{image: '{{id}}.jpg', product: '{{ean}}', attr:colour: '{{colours}}', description: '{{note}}'}}
extra: {{sale: '{{on sale}}', box: '{{box}}'}}
"""
    _, catalog = ingest_table(tmp_path, root, mapping)
    assert catalog.table.to_dict("list") == {
        "image": ["1.jpg", "2.jpg"],
        "product": ["4006381333931", ""],
        "description": ["", "é"],
        "attr:colour": ["red|blue", ""],
        "sale": ["true", ""],
        "box": ['{"x": 1}', ""],
    }


BAD_LINES = {
    "t.csv": "photo,kind\na.jpg,x\nb.jpg,y,z\n\nc.jpg\nd.jpg,x,y,z\n",
    "t.jsonl": '{"photo": "a.jpg"}\n{"photo": \n{"photo": "c.jpg"}\n\n[1]\n',
    "t.txt": "photo kind\na.jpg x\nb.jpg\nc.jpg y\nd.jpg\n",
}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "t.csv",
            r"Expected 2 fields in line 3, saw 3; in line 6, saw 4\); --skip-bad-lines leaves these 2 lines out$",
        ),
        ("t.jsonl", r"no JSON object in line 2, 5\); --skip-bad-lines leaves these 2 lines out$"),
        ("t.txt", r"line 3 has 1 columns, not 2; line 5 has 1 columns, not 2\); --skip-bad-lines leaves these 2"),
    ],
)
def test_all_bad_lines_are_named_or_left_out_and_counted(source, tmp_path, name, message):
    root = source({name: BAD_LINES[name], **photos("a.jpg", "b.jpg", "c.jpg", "d.jpg")})
    mapping = tmp_path / "map.yaml"
    aligned = ", aligned: true" if name == "t.txt" else ""
    mapping.write_text(f"tables: [{{file: {name}{aligned}}}]\ncolumns: {{image: '{{photo}}'}}")
    with pytest.raises(InputError, match=message):
        ingest(root, tmp_path / "out", "table", mapping)
    account = ingest(root, tmp_path / "out", "table", mapping, skip_bad_lines=True)
    assert read_catalog(tmp_path / "out").table["image"].tolist() == ["a.jpg", "c.jpg"]
    assert account.lines()[2] == "Lines that cannot be read: 2 (left out)."


def test_a_line_in_another_encoding_is_a_bad_line(source, tmp_path):
    lines = ["photo,text", "a.jpg,Größe", "b.jpg,caf\xe9", "c.jpg,x,y", "d.jpg,été"]
    data = b"\n".join(line.encode("latin-1" if line.startswith("b") else "utf-8") for line in lines)
    root = source({"t.csv": data, **photos("a.jpg", "b.jpg", "c.jpg", "d.jpg")})
    mapping = "tables: [{file: t.csv}]\ncolumns: {image: '{photo}', description: '{text}'}"
    with pytest.raises(InputError, match=r"bytes that are not utf-8 in line 3.; --skip-bad-lines leaves this line out"):
        ingest_table(tmp_path, root, mapping)
    account = ingest(root, tmp_path / "out", "table", tmp_path / "map.yaml", skip_bad_lines=True)
    assert read_catalog(tmp_path / "out").table["description"].tolist() == ["Größe", "été"]
    assert [row.row for row in account.left_out] == [3, 4]


def test_an_entry_of_a_json_list_that_is_no_object_is_a_bad_line(source, tmp_path):
    root = source({"t.json": '[{"photo": "a.jpg"}, null, {"photo": "b.jpg"}]', **photos("a.jpg", "b.jpg")})
    with pytest.raises(InputError, match=r"no JSON object in entry 2.; --skip-bad-lines"):
        ingest_table(tmp_path, root, "tables: [{file: t.json}]\ncolumns: {image: '{photo}'}")
    account = ingest(root, tmp_path / "out", "table", tmp_path / "map.yaml", skip_bad_lines=True)
    assert (account.rows, [row.row for row in account.left_out]) == (2, [2])


def test_a_cell_longer_than_the_standard_parser_takes_hides_no_bad_line(source, tmp_path):
    root = source({"t.csv": f"photo,text\na.jpg,{'x' * 140_000}\nb.jpg,1,2\n", **photos("a.jpg", "b.jpg")})
    with pytest.raises(InputError, match=r"Expected 2 fields in line 3, saw 3"):
        ingest_table(tmp_path, root, "tables: [{file: t.csv}]\ncolumns: {image: '{photo}'}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('photo,text,user\na.jpg,x,y\nb.jpg,"5 inch,y\nc.jpg,x,y\nd.jpg,"new",y\n', 3),
        ('photo,text,user\na.jpg,"one\ntwo",y\nb.jpg,"5 inch,y\nc.jpg,x,y\nd.jpg,"new",y\n', 4),
        ('photo,text,user\na.jpg,"one, two,\nthree, four\nfive",y\n', None),  # a text of several lines
    ],
)
def test_rows_that_a_quote_swallows_are_not_lost_unseen(source, tmp_path, caplog, text, line):
    root = source({"t.csv": text, **photos("a.jpg")})
    ingest_table(tmp_path, root, "tables: [{file: t.csv}]\ncolumns: {image: '{photo}'}")
    told = [message for message in caplog.messages if "look like rows" in message]
    assert len(told) == (line is not None)
    assert line is None or f"begins in line {line} " in told[0]


def test_bad_lines_are_those_of_the_file_not_of_quoted_cells(source, tmp_path):
    root = source({"t.csv": 'photo,text\na.jpg,"one\ntwo, three"\nb.jpg,"x",y\n', **photos("a.jpg")})
    with pytest.raises(InputError, match=r"in line 4, saw 3.; --skip-bad-lines leaves this line out"):
        ingest_table(tmp_path, root, "tables: [{file: t.csv}]\ncolumns: {image: '{photo}'}")


def test_two_unicode_forms_of_a_word_are_one_class(source, tmp_path):
    nfc, nfd = (unicodedata.normalize(form, "Röcke") for form in ("NFC", "NFD"))
    root = source(photos(f"{nfc}/a.jpg", f"{nfd}/b.jpg"))
    ingest(root, tmp_path / "folders", "folder")
    table = read_catalog(tmp_path / "folders").table
    assert sorted(table["image"]) == sorted([f"{nfc}/a.jpg", f"{nfd}/b.jpg"])  # as the files are named
    assert set(table["category"]) == {nfc}
    (root / "t.csv").write_text(f"photo,kind,tag\n{nfc}/a.jpg,{nfd},{nfd}\n{nfd}/b.jpg,{nfc},Größe\n", "utf-8")
    mapping = f"""
tables: [{{file: t.csv}}]
columns: {{image: "{{photo}}", category: "{{kind}}", attr:tag: "{{tag}}"}}
values: {{category: {{{nfc}: Skirts}}}}
unlabelled: {{attr:tag: [{unicodedata.normalize("NFD", "Größe")}]}}
"""
    account, catalog = ingest_table(tmp_path, root, mapping)
    assert catalog.table["category"].tolist() == ["Skirts", "Skirts"]
    assert catalog.table["attr:tag"].tolist() == [nfc, ""]
    assert account.unlabelled == 1


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_in_the_other_unicode_form(source, tmp_path, form):
    other = "NFD" if form == "NFC" else "NFC"
    name, key = unicodedata.normalize(form, "Kleid_grün.jpg"), unicodedata.normalize(form, "Größe")
    root = source(
        {
            "t.csv": f"file,brand\n{name},{key}\n0.jpg,x\n",
            "brands.csv": f"id,title\n{unicodedata.normalize(other, key)},Acme\n",
            **photos(unicodedata.normalize(other, name), "0.jpg"),
        }
    )
    mapping = """
tables: [{file: t.csv}]
lookups: [{file: brands.csv, key: {brand: id}}]
columns: {image: "{file}", description: "{title}"}
"""
    account, catalog = ingest_table(tmp_path, root, mapping)
    assert catalog.table["image"].tolist() == [unicodedata.normalize(other, name), "0.jpg"]
    assert catalog.table["description"].tolist() == ["Acme", ""]
    assert (account.missing, account.unlisted) == (0, 0)


def test_corners_become_boxes(source, tmp_path):
    root = source({"t.csv": "photo;x1;y1;x2;y2\na.jpg;10;20;40;60.5\nb.jpg;;;;\nc.jpg;-3;0;7;9\nd.jpg;5;5;5;9\n"})
    for name in "abcd":
        (root / f"{name}.jpg").write_bytes(b"")
    mapping = """
tables: [{file: t.csv, delimiter: ";"}]
columns: {image: "{photo}", bbox: "{x1},{y1},{x2},{y2}"}
boxes: corners
"""
    _, catalog = ingest_table(tmp_path, root, mapping)
    assert catalog.table["bbox"].tolist() == ["10,20,30,40.5", "", "0,0,7,9", ""]
    (root / "t.csv").write_text("photo;x1;y1;x2;y2\na.jpg;10;20;40;wide\n")
    (tmp_path / "out/catalog.parquet").unlink()
    with pytest.raises(InputError, match=r"'a.jpg': bbox '10,20,40,wide' does not read"):
        ingest_table(tmp_path, root, mapping)


def test_two_links_to_one_folder_are_two_classes(source, tmp_path):
    root = source(photos("shared/a.jpg"))
    for name in ("boots", "shoes"):
        (root / name).symlink_to(root / "shared")
    account = ingest(root, tmp_path / "out", "folder")
    assert set(read_catalog(tmp_path / "out").table["category"]) == {"shared", "boots", "shoes"}
    assert account.rows == 3


def test_aligned_tables(source, tmp_path):
    lists = {"boxes.txt": "2\nimage  x y\na b.jpg    1   2\nc.jpg     33 444\n", "kinds.txt": "c.jpg long sleeve 4\n"}
    root = source({**lists, **photos("a b.jpg", "c.jpg")})
    mapping = """
tables: [{file: boxes.txt, aligned: true, counted: true}]
lookups: [{file: kinds.txt, aligned: true, header: false, names: [name, kind, word, number], key: {image: name}}]
columns: {image: "{image}", bbox: "{x},{y},1,1", attr:sleeve: "{kind}"}
"""
    _, catalog = ingest_table(tmp_path, root, mapping)
    assert catalog.table.to_dict("list") == {
        "image": ["a b.jpg", "c.jpg"],
        "bbox": ["1,2,1,1", "33,444,1,1"],
        "attr:sleeve": ["", "long"],
    }


def test_a_line_of_an_aligned_table_that_lacks_a_column_is_named(source, tmp_path):
    root = source({"t.txt": "image x\na.jpg 1\nb.jpg\n", **photos("a.jpg")})
    with pytest.raises(InputError, match=r"t\.txt: cannot be read as a table .line 3 has 1 columns, not 2.; --skip"):
        ingest_table(tmp_path, root, "tables: [{file: t.txt, aligned: true}]\ncolumns: {image: '{image}'}")


def test_an_ambiguous_name_is_no_match(source, tmp_path):
    root = source({"t.csv": "photo\nA.jpg\nb.jpg\n", **photos("a.JPG", "a.jpg", "b.jpg")})
    account, catalog = ingest_table(tmp_path, root, "tables: [{file: t.csv}]\ncolumns: {image: '{photo}'}")
    assert (catalog.table["image"].tolist(), account.missing) == (["b.jpg"], 1)


@pytest.mark.parametrize(
    ("table", "mapping", "message"),
    [
        (
            "photo\na.jpg\n",
            "columns: {image: '{phto}'}",
            "t.csv: no column 'phto', which image needs; did you mean 'photo'",
        ),
        (
            "photo\nz.jpg\n",
            "columns: {image: '{photo}'}",
            "no row names a photo that is there .the first row names 'z.jpg'",
        ),
        ("photo\n../a.jpg\n", "columns: {image: '{photo}'}", "no row names a photo"),
        (
            "photo,d\na.jpg,web\n",
            "columns: {image: '{photo}', domain: '{d}'}",
            "'a.jpg': domain 'web' is not one of shop, user .`values`",
        ),
        ("photo\na.jpg,x\n", "columns: {image: '{photo}'}", "Expected 1 fields in line 2"),
        ("photo\n", "columns: {image: '{photo}'}", "the table has no rows"),
        (
            "photo\na.jpg\n",
            "columns: {image: '{photo}'}\nlookups: [{file: l.csv, key: {phot: id}}]",
            "no table of rows has the column 'phot'; did you mean 'photo'",
        ),
        (
            "photo\na.jpg\n",
            "columns: {image: '{photo}'}\nlookups: [{file: l.csv, key: {photo: idd}}]",
            "l.csv: no column 'idd'; did you mean 'id'",
        ),
        (
            "photo\na.jpg\n",
            "columns: {image: '{photo}'}\nlookups: [{file: l.csv, key: {photo: id}}]",
            "'x' stands twice in id",
        ),
        (
            "photo\na.jpg\n",
            "columns: {image: '{photo}'}\nlookups: [{file: none.csv, key: {photo: id}}]",
            "none.csv: cannot be read",
        ),
        (
            "photo\na.jpg\n",
            "columns: {image: '{photo}'}\nattributes: [{file: l.csv, key: {photo: id}, type: t, label: id, take: [Neks]}]",
            "no attribute type 'Neks'; did you mean 'Neck'",
        ),
        (
            "photo\na.jpg\n",
            "columns: {image: '{photo}', attr:neck: x}\nattributes: [{file: l.csv, key: {photo: id}, type: t, label: id}]",
            "attr:neck is given twice",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(source, tmp_path, table, mapping, message):
    root = source({"t.csv": table, "l.csv": "id,t\nx,Neck\nx,Fit\n", **photos("a.jpg")})
    with pytest.raises(InputError, match=message) as caught:
        ingest_table(tmp_path, root, f"tables: [{{file: t.csv}}]\n{mapping}")
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_encoding_nobody_knows(source, tmp_path):
    root = source({"t.csv": "photo\na.jpg\n", **photos("a.jpg")})
    with pytest.raises(InputError, match="cannot be read as a table"):
        ingest_table(tmp_path, root, "tables: [{file: t.csv, encoding: klingon}]\ncolumns: {image: '{photo}'}")


def ingest_real(datasets, tmp_path, name):
    start = time.perf_counter()
    account = ingest(datasets / name, tmp_path / name, name)
    assert time.perf_counter() - start < 3
    catalog = read_catalog(tmp_path / name)
    assert catalog.root == str(datasets / name)
    assert all((datasets / name / image).is_file() for image in catalog.table["image"].sample(50, random_state=0))
    assert catalog.table["image"].is_unique
    return account, catalog.table


def labelled(table, name):
    return int((table[name] != "").sum())


def test_clothing(datasets, tmp_path):
    account, table = ingest_real(datasets, tmp_path, "clothing")
    assert (account.rows, account.unlisted, account.missing, account.unlabelled) == (5756, 358, 5, 302)
    assert labelled(table, "attr:garment") == 5756 - 358 - 302
    assert table["attr:garment"].nunique() == 17 + 1
    assert table["user"].nunique() == 348 + 1
    assert "category" not in table
    assert set(table["domain"]) == {"user"}
    assert table["kids"].value_counts().to_dict() == {"False": 4922, "True": 476, "": 358}


def test_grocery(datasets, tmp_path):
    account, table = ingest_real(datasets, tmp_path, "grocery")
    assert (account.rows, account.unlisted, account.missing, account.unlabelled) == (5502, 0, 0, 0)
    assert table["split"].value_counts().to_dict() == {"train": 2640, "test": 2485, "validation": 296, "": 81}
    assert table["domain"].value_counts().to_dict() == {"user": 5421, "shop": 81}
    assert [category_level(table["category"], level).nunique() for level in (1, 2, 3)] == [3, 43, 81]
    assert (table["category"].str.count("/") == 2).all()
    assert "Fruit/Apple/Granny-Smith" in set(table["category"])
    shop = table[table["domain"] == "shop"]
    assert set(shop["item"]) == set(table["item"])
    assert "product" not in table  # its own splits share classes, and a product never stands in two
    assert shop["image"].str.contains("Iconic").all()
    # One folder of photos lacks the middle level; the table of classes has it.
    odd = table["image"].str.contains("/Vegetables/Brown-Cap-Mushroom/")
    assert set(table.loc[odd, "category"]) == {"Vegetables/Mushroom/Brown-Cap-Mushroom"}


def test_fashion(datasets, tmp_path):
    account, table = ingest_real(datasets, tmp_path, "fashion")
    assert (account.rows, account.unlisted, account.missing, account.unlabelled) == (6137, 0, 50, 0)
    assert category_depth(table) == 3
    assert [category_level(table["category"], level).nunique() for level in (1, 2, 3)] == [7, 42, 131]
    assert {"Accessories/Socks", "Apparel/Socks"} <= set(category_level(table["category"], 2))
    assert {name: labelled(table, name) for name in table if name.startswith("attr:")} == {
        "attr:gender": 6137,
        "attr:colour": 6137,
        "attr:season": 6137,
        "attr:usage": 6137,
        "attr:pattern": 2279,
        "attr:print_or_pattern_type": 597,
        "attr:fabric": 2154,
        "attr:material": 766,
        "attr:sleeve_length": 1810,
        "attr:sleeve_styling": 368,
        "attr:neck": 1326,
        "attr:collar": 423,
        "attr:fit": 1399,
        "attr:length": 502,
        "attr:waist_rise": 272,
        "attr:ankle_height": 316,
        "attr:display": 307,
        "attr:transparency": 252,
    }
    assert "No Sleeves" not in set(table["attr:sleeve_length"])
    assert table["product"].is_unique
    assert set(table["domain"]) == {"shop"}
    grouped = table[table["listing"] != ""]
    assert (len(grouped), grouped["listing"].nunique()) == (2189, 1945)


def test_rows_without_their_photo_are_named_and_refused_where_they_are_many(tmp_path):
    """The photos of another folder: one row in eight happens to find its own."""
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos/0.jpg")
    Image.new("RGB", (8, 8)).save(tmp_path / "photos/other.jpg")
    (tmp_path / "photos/items.csv").write_text("photo\n" + "".join(f"{n}.jpg\n" for n in range(8)))
    mapping = tmp_path / "mine.yaml"
    mapping.write_text('tables: [{file: items.csv}]\ncolumns: {image: "{photo}"}\n')
    with pytest.raises(InputError, match=r"7 of 8 rows cannot be used, more than 5 %: row 2 \(1.jpg\): no such photo"):
        ingest(tmp_path / "photos", tmp_path / "out", "table", mapping, max_left_out=0.05)
    assert not (tmp_path / "out").exists()
    assert len((tmp_path / "out.left_out.csv").read_text().splitlines()) == 8
    account = ingest(tmp_path / "photos", tmp_path / "out", "table", mapping, max_left_out=1.0)
    assert [row.row for row in account.left_out] == list(range(2, 9))
    assert (tmp_path / "out/left_out.csv").read_text().splitlines()[-2:] == [
        "8,7.jpg,no such photo in the source (row of items.csv)",
        ",other.jpg,no row names this photo",
    ]


def sheet(cells):
    """A worksheet of strings and numbers, as small as Excel reads it."""

    def cell(place, value):
        if isinstance(value, str):
            return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'
        return f'<c r="{place}"><v>{value}</v></c>'

    rows = [
        "".join(cell(f"{'ABCDEF'[column]}{row}", value) for column, value in enumerate(values))
        for row, values in enumerate(cells, 1)
    ]
    data = "".join(f'<row r="{row}">{inside}</row>' for row, inside in enumerate(rows, 1))
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{main}"><sheetData>{data}</sheetData></worksheet>'


def workbook(path, **sheets):
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    listed = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets, 1))
    known = "".join(
        f'<Relationship Id="r{n}" Type="{office}/worksheet" Target="worksheets/s{n}.xml"/>'
        for n in range(1, len(sheets) + 1)
    )
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = "".join(
        f'<Override PartName="/xl/worksheets/s{n}.xml" ContentType="{kind}.worksheet+xml"/>'
        for n in range(1, len(sheets) + 1)
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
            f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>{parts}</Types>',
        )
        file.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r" Type="{office}/officeDocument" '
            f'Target="xl/workbook.xml"/></Relationships>',
        )
        main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        file.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{listed}</sheets></workbook>'
        )
        file.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}/relationships">{known}</Relationships>'
        )
        for number, cells in enumerate(sheets.values(), 1):
            file.writestr(f"xl/worksheets/s{number}.xml", sheet(cells))


@pytest.fixture
def listed(tmp_path):
    """Photos of two listings; ingests what tables say of them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a1.jpg", "a2.jpg", "b1.jpg"):
        Image.new("RGB", (8, 8)).save(folder / name)

    def run(mapping, limit=1.0):
        (tmp_path / "mine.yaml").write_text(mapping)
        account = ingest(folder, tmp_path / "out", "table", tmp_path / "mine.yaml", max_left_out=limit)
        return account, read_catalog(tmp_path / "out").table

    run.folder = folder
    return run


def test_a_workbook_is_a_table(listed):
    items = [["photo", "ean", "price"], ["a1.jpg", 4006381333931, 1.5], ["b1.jpg", 7, 2]]
    workbook(listed.folder / "items.xlsx", notes=[["nothing here"]], items=items)
    mapping = 'tables: [{file: items.xlsx, sheet: items}]\ncolumns: {image: "{photo}", product: "{ean}"}\nextra: {price: "{price}"}\n'
    _, table = listed(mapping)
    assert table[["image", "product", "price"]].values.tolist() == [
        ["a1.jpg", "4006381333931", "1.5"],
        ["b1.jpg", "7", "2"],
    ]
    with pytest.raises(InputError, match=r"no sheet 'itms' \(sheets: notes, items\)"):
        listed(mapping.replace("sheet: items", "sheet: itms"))
    (listed.folder / "items.xlsx").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"items.xlsx: cannot be read as a table"):
        listed(mapping)


def test_what_else_a_workbook_holds_is_said(listed, caplog):
    rows = [["photo"], ["a1.jpg"]]
    workbook(listed.folder / "items.xlsx", summer=rows, notes=[["one line"]], winter=[["photo"], ["b1.jpg"]])
    mapping = 'tables: [{file: items.xlsx}]\ncolumns: {image: "{photo}"}\n'
    assert listed(mapping)[1]["image"].tolist() == ["a1.jpg"]
    assert [message for message in caplog.messages if "only the sheet 'summer' is read, not 'winter';" in message]


def test_a_merged_cell_stands_in_all_of_its_rows(listed):
    cells = [["kind", "photo"], ["shoe", "a1.jpg"], ["", "a2.jpg"], ["", ""], ["shirt", "b1.jpg"]]
    workbook(listed.folder / "items.xlsx", items=cells)
    mapping = 'tables: [{file: items.xlsx}]\ncolumns: {image: "{photo}", category: "{kind}"}\n'
    assert listed(mapping)[1]["category"].tolist() == ["shoe", "", "shirt"]
    with zipfile.ZipFile(listed.folder / "items.xlsx") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    parts["xl/worksheets/s1.xml"] = parts["xl/worksheets/s1.xml"].replace(
        b"</sheetData>", b'</sheetData><mergeCells count="1"><mergeCell ref="A2:A4"/></mergeCells>'
    )
    with zipfile.ZipFile(listed.folder / "items.xlsx", "w") as file:
        for name, data in parts.items():
            file.writestr(name, data)
    shutil.rmtree(listed.folder.parent / "out")
    account, table = listed(mapping)
    assert table["category"].tolist() == ["shoe", "shoe", "shirt"]
    assert (account.rows, account.missing) == (3, 0)


def test_labels_that_find_no_row_are_counted(listed):
    (listed.folder / "items.csv").write_text("id,photo\n017,a1.jpg\n018,a2.jpg\n,b1.jpg\n")
    (listed.folder / "kinds.csv").write_text("id,kind\n17,shoe\n018,shirt\n018,shirt\n")
    (listed.folder / "long.csv").write_text("id,type,label\n017,colour,red\n17,colour,blue\n18,fit,slim\n")
    account, table = listed(
        "tables: [{file: items.csv}]\nlookups: [{file: kinds.csv, key: {id: id}}]\n"
        "attributes: [{file: long.csv, key: {id: id}, type: type, label: label}]\n"
        'columns: {image: "{photo}", category: "{kind}"}\n'
    )
    assert table["category"].tolist() == ["", "shirt", ""]
    assert dict(account.unmatched) == {"kinds.csv": 1, "long.csv": 2}
    assert "Rows or lines without a match: 1 kinds.csv, 2 long.csv." in account.lines()


def test_a_value_the_format_does_not_know_costs_its_row(listed):
    (listed.folder / "items.csv").write_text("photo,verdict\na1.jpg,Authentic\na2.jpg,maybe\nb1.jpg,\n")
    mapping = 'tables: [{file: items.csv}]\ncolumns: {image: "{photo}", verdict: "{verdict}"}\n'
    account, table = listed(mapping)
    assert table[["image", "verdict"]].values.tolist() == [["a1.jpg", "authentic"], ["b1.jpg", ""]]
    assert [(row.row, row.image) for row in account.left_out] == [(2, "a2.jpg")]
    assert "verdict 'maybe' is not one of authentic, counterfeit (row of items.csv)" in account.left_out[0].reason
    assert (account.unusable, account.unlisted) == (1, 0)
    shutil.rmtree(listed.folder.parent / "out")
    with pytest.raises(
        InputError, match=r"1 of 3 rows cannot be used, more than 5 %: row 2 \(a2.jpg\): verdict 'maybe'"
    ):
        listed(mapping, 0.05)


def test_a_row_may_be_a_listing_of_several_photos(listed):
    (listed.folder / "items.csv").write_text("photos,kind\na1.jpg| a2.jpg,A\nb1.jpg|gone.jpg,B\n")
    account, table = listed(
        'tables: [{file: items.csv}]\ncolumns: {image: "{photos}", category: "{kind}"}\nseparators: {image: "|"}\n'
    )
    assert table[["image", "listing", "category"]].values.tolist() == [
        ["a1.jpg", "items.csv:1", "A"],
        ["a2.jpg", "items.csv:1", "A"],
        ["b1.jpg", "items.csv:2", "B"],
    ]
    assert [(row.row, row.image) for row in account.left_out] == [(2, "gone.jpg")]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (
            "photos,kind\na1.jpg;a2.jpg,A\n,B\n ; ,C\nb1.jpg,D\n",
            'columns: {image: "{photos}"}\nseparators: {image: ";"}',
        ),
        ("front,back\na1.jpg,a2.jpg\n,\n , \nb1.jpg,\n", 'columns: {}\nviews: {appearance: "{front}", tag: "{back}"}'),
    ],
)
def test_a_row_that_shows_no_photo_is_counted_and_named(listed, text, columns):
    (listed.folder / "items.csv").write_text(text)
    account, table = listed(f"tables: [{{file: items.csv}}]\n{columns}\n")
    assert table["image"].tolist() == ["a1.jpg", "a2.jpg", "b1.jpg"]
    assert account.missing == 2
    assert [(row.row, row.image, row.reason) for row in account.left_out] == [
        (2, "", "names no photo (row of items.csv)"),
        (3, "", "names no photo (row of items.csv)"),
    ]


def test_each_photo_of_a_listing_is_put_into_the_template(source, tmp_path):
    root = source(
        {"items.csv": b"id,photos\n7,a.jpg|b.jpg\n8,c.jpg\n", **photos("p/7/a.jpg", "p/7/b.jpg", "p/8/c.jpg")}
    )
    mapping = 'tables: [{file: items.csv}]\ncolumns: {image: "p/{id}/{photos}"}\nseparators: {image: "|"}\n'
    _, catalog = ingest_table(tmp_path, root, mapping)
    assert catalog.table["image"].tolist() == ["p/7/a.jpg", "p/7/b.jpg", "p/8/c.jpg"]
    shutil.rmtree(tmp_path / "out")
    (root / "items.csv").write_text("id,photos\n7|8,a.jpg|b.jpg|c.jpg\n")
    with pytest.raises(
        InputError, match=r"items.csv: row 1: '\|' parts cells into unlike numbers \(2 in 'id' and 3 in"
    ):
        ingest_table(tmp_path, root, mapping)


def test_a_word_for_no_label_may_have_a_slash(source, tmp_path):
    table = b"photo,kind,colour\na.jpg,n/a,n/a\nb.jpg,Shoe,red\nc.jpg,3/4 Pants,\n"
    root = source({"items.csv": table, **photos("a.jpg", "b.jpg", "c.jpg")})
    mapping = 'columns: {image: "{photo}", category: "All/{kind}", attr:colour: "{colour}"}\nunlabelled: [n/a]\n'
    account, catalog = ingest_table(tmp_path, root, f"tables: [{{file: items.csv}}]\n{mapping}")
    assert catalog.table["category"].tolist() == ["All", "All/Shoe", "All/3-4 Pants"]
    assert catalog.table["attr:colour"].tolist() == ["", "red", ""]
    assert account.unlabelled == 2


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("a.jpg", "there is 'p/7/A.jpg'"),
        ("C:\\fotos\\a.jpg", "there is 'p/7/A.jpg'"),
        ("p/7/a.jpg;p/7/b.jpg", "for several photos in a cell, separators: {image: ';'}"),
    ],
)
def test_where_no_photo_is_found_what_was_meant_is_said(source, tmp_path, cell, meant):
    root = source({"items.csv": f"photos\n{cell}\n".encode(), **photos("p/7/A.jpg", "p/7/b.jpg")})
    with pytest.raises(InputError) as refused:
        ingest_table(tmp_path, root, 'tables: [{file: items.csv}]\ncolumns: {image: "{photos}"}\n')
    assert str(refused.value).endswith(f"(the first row names {cell!r}; {meant})")


def test_each_photo_of_a_listing_may_be_a_column(listed):
    (listed.folder / "items.csv").write_text("id,front,back\nx,a1.jpg,a2.jpg\ny,b1.jpg,\n")
    _, table = listed(
        'tables: [{file: items.csv}]\ncolumns: {listing: "{id}"}\nviews: {appearance: "{front}", tag: "{back}"}\n'
    )
    assert table[["image", "listing", "view"]].values.tolist() == [
        ["a1.jpg", "x", "appearance"],
        ["a2.jpg", "x", "tag"],
        ["b1.jpg", "y", "appearance"],
    ]
    with pytest.raises(InputError, match="views one for each view, and not both"):
        listed('tables: [{file: items.csv}]\ncolumns: {image: "{front}"}\nviews: {tag: "{back}"}\n')


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"photo;kind\na1.jpg;A\nb1.jpg;B\n", "its lines look parted by ';': delimiter: ';' in the mapping"),
        (b"photo;kind\na1.jpg;A, or B\nb1.jpg;B\n", "its lines look parted by ';'"),
        (b"photo\tkind\na1.jpg\tA\n", r"its lines look parted by '\\t'"),
        ("photo,kind\na1.jpg,Müll\n".encode("cp1252"), "it looks like cp1252"),
        ("photo,kind\na1.jpg,A\n".encode("utf-16"), "it looks like utf-16"),
    ],
)
def test_a_wrong_delimiter_or_encoding_is_told_the_likely_one(listed, data, message):
    (listed.folder / "items.csv").write_bytes(data)
    with pytest.raises(InputError, match=message):
        listed('tables: [{file: items.csv}]\ncolumns: {image: "{photo}"}\n')
