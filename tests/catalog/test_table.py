"""Any table is read as a catalog or refused in one line."""

import datetime
import decimal
import io
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vitrine.catalog import Catalog, read_catalog, schema, write_catalog
from vitrine.catalog import table as tables
from vitrine.errors import InputError

ANYWHERE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(folder, data, name="catalog.csv", **options):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_catalog(path, **options)


def parquet(table, metadata=None):
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata) if metadata is not None else table, buffer)
    return buffer.getvalue()


def check_catalog_or_refusal(folder, data, name, *, check_rows):
    message = None
    try:
        catalog = read(folder, data, name, check_rows=check_rows)
    except InputError as error:
        message = str(error)
    if message is not None:
        assert len(message.splitlines()) == 1
        return
    table = catalog.table
    assert len(table) > 0
    assert isinstance(table.index, pd.RangeIndex)
    assert table.index[0] == 0
    assert not table.columns.has_duplicates
    for column in filter(schema.is_contract_column, table.columns):
        assert all(isinstance(value, str) for value in table[column])
    if check_rows:
        assert all(schema.is_safe_path(image) for image in table["image"])
        write_catalog(catalog, folder / "copy")
        assert read_catalog(folder / "copy").table.equals(table)


CELL = st.one_of(
    st.sampled_from(["", "a.jpg", "shop", "1,2", "A/B", '"', "'", "NA", "a\r", "\ufeff", "\0", "-1e9999"]),
    st.text(max_size=5),
)
LINE = st.lists(CELL, max_size=4).map(",".join)
HEADER = st.lists(
    st.sampled_from(["image", "domain", "category", "attr:x", "bbox", "extra", "", " image", '"image"']), max_size=4
).map(",".join)


@ANYWHERE
@given(st.tuples(HEADER, st.lists(LINE, max_size=4), st.sampled_from(["\n", "\r\n", "\r"])), st.booleans())
@example(("image,domain", ["a.jpg,shop,more"], "\n"), True)
def test_any_csv(tmp_path, parts, check_rows):
    header, lines, end = parts
    data = end.join([header, *lines]).encode(errors="surrogatepass")
    check_catalog_or_refusal(tmp_path, data, "catalog.csv", check_rows=check_rows)


@ANYWHERE
@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"image\n", b"image,domain\na.jpg,", b"\xff\xfe", b"\xef\xbb\xbfimage\n"]),
)
def test_any_bytes_as_csv(tmp_path, data, start):
    check_catalog_or_refusal(tmp_path, start + data, "catalog.csv", check_rows=False)


GOOD_PARQUET = parquet(pa.table({"image": ["a.jpg", "b.jpg"], "attr:x": ["1", None]}), {"vitrine.root": b"/photos"})


@ANYWHERE
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD_PARQUET) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 40),
)
def test_any_damage_to_parquet(tmp_path, changes, cut):
    data = bytearray(GOOD_PARQUET)
    for position, value in changes:
        data[position] = value
    check_catalog_or_refusal(tmp_path, bytes(data[: len(data) - cut]), "catalog.parquet", check_rows=False)


COLUMNS = [
    ["a.jpg", None, "b"],
    [b"a.jpg", b"\xff", None],
    [1, None, 3],
    [1.5, float("nan"), None],
    [True, None, False],
    [["a"], [], None],
    [{"x": 1}, None, {"x": 2}],
    [datetime.date(9999, 12, 31), None, datetime.date(1, 1, 1)],
    [datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), None, None],
    [datetime.timedelta(days=1), None, None],
    [decimal.Decimal("1.10"), None, None],
    [None, None, None],
]


@pytest.mark.slow
@ANYWHERE
@given(
    st.dictionaries(
        st.sampled_from(["image", "domain", "split", "attr:x", "bbox", "category", "extra", "", "__index_level_0__"]),
        st.sampled_from(COLUMNS),
        max_size=4,
    ),
    st.booleans(),
)
def test_any_types_in_parquet(tmp_path, columns, encoded):
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    if encoded:
        table = pa.table(
            {
                name: column.dictionary_encode() if pa.types.is_string(column.type) else column
                for name, column in zip(table.column_names, table.columns, strict=True)
            }
        )
    check_catalog_or_refusal(tmp_path, parquet(table), "catalog.parquet", check_rows=False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "no column 'image' .columns: none"),
        ("photo\na.jpg\n", "no column 'image' .columns: 'photo'"),
        ("image;domain\na.jpg;shop\n", "its lines look parted by ';', a catalog.csv has commas"),
        ("image,category\na.jpg,Hüte\n".encode("cp1252"), "it looks like cp1252"),
        ("image\n", "no rows"),
        ("image,image\na,b\n", "'image' appears twice"),
        ("image,domain\na.jpg,shop,x\nb,user\nc,d,e,f\n", "Expected 2 fields in line 2, saw 3; in line 4, saw 4"),
        ("image\n../a.jpg\n", "row 1: image '../a.jpg' is not a relative"),
        ("image,split\na,test\nb,val\nc,val\n", r"row 2: split 'val' is not one of train, validation, test .1 more"),
        ("image\na.jpg\n".encode("utf-16"), "cannot be read as a table"),
        (b"image\n\xff.jpg\n", "cannot be read as a table"),
    ],
)
def test_what_is_wrong_with_a_csv(tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"image": [["a"]]}), "column 'image' holds list"),
        (pa.Table.from_arrays([pa.array(["a"])] * 2, names=["image", "image"]), "'image' appears twice"),
        (pa.table({"x": [1]}), "no column 'image'"),
    ],
)
def test_what_is_wrong_with_a_parquet(tmp_path, table, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, parquet(table), "catalog.parquet")


def test_a_longer_line_does_not_shift_the_columns(tmp_path):
    with pytest.raises(InputError):
        read(tmp_path, "image,domain\na.jpg,shop,x\nb.jpg,user,y\n", check_rows=False)


def test_a_shorter_line_ends_in_unknown(tmp_path):
    assert read(tmp_path, "image,domain,note\na.jpg\n").table.iloc[0].tolist() == ["a.jpg", "", ""]


def test_words_stay_as_they_are(tmp_path):
    table = read(tmp_path, 'image,product,attr:x,note\n"a, b.jpg",007,NA,null\n').table
    assert table.iloc[0].tolist() == ["a, b.jpg", "007", "NA", "null"]


def test_whole_numbers_stay_whole(tmp_path):
    table = pa.table({"image": ["a", "b"], "product": [7, None]})
    assert read(tmp_path, parquet(table), "catalog.parquet").table["product"].tolist() == ["7", ""]


def test_numbers_of_the_formats_own_columns_are_written_in_full(tmp_path):
    table = pa.table({"image": ["a", "b", "c"], "product": [4006381333931.0, None, float("nan")]})
    assert read(tmp_path, parquet(table), "catalog.parquet").table["product"].tolist() == ["4006381333931", "", ""]


def test_lists_of_labels_are_labels(tmp_path):
    table = pa.table({"image": ["a", "b", "c"], "attr:x": [["red", "blue"], [], None]})
    assert read(tmp_path, parquet(table), "catalog.parquet").table["attr:x"].tolist() == ["red|blue", "", ""]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.string()),
        pa.large_list(pa.string()),
        pa.list_(pa.string(), 2),
        pa.list_view(pa.string()),
        pa.large_list_view(pa.string()),
        pa.list_(pa.dictionary(pa.int8(), pa.string())),
    ],
    ids=str,
)
def test_lists_of_any_kind_may_hold_nulls(tmp_path, kind):
    labels = pa.array([["red", None], [None, "blue"], None, ["red", "blue"], [None, None]], kind)
    table = pa.table({"image": list("abcde"), "attr:x": labels})
    assert read(tmp_path, parquet(table), "catalog.parquet").table["attr:x"].tolist() == [
        "red",
        "blue",
        "",
        "red|blue",
        "",
    ]


@pytest.mark.parametrize("change", [lambda t: t.iloc[1:], lambda t: t[t["x"] > 1], lambda t: t.set_index("image")])
def test_what_pandas_notes_about_an_index_is_left_aside(tmp_path, change):
    change(pd.DataFrame({"image": ["a", "b"], "x": [1, 2]})).to_parquet(tmp_path / "catalog.parquet")
    table = read_catalog(tmp_path).table
    assert isinstance(table.index, pd.RangeIndex)
    assert set(table.columns) == {"image", "x"}
    assert table["image"].iloc[-1] == "b"


def test_extra_columns_pass_untouched(tmp_path):
    table = pd.DataFrame(
        {"image": ["a", "b"], "price": [1.5, None], "sizes": [[1, 2], []], "when": pd.to_datetime(["2020-01-01", None])}
    )
    write_catalog(Catalog("/photos", table), tmp_path)
    back = read_catalog(tmp_path).table
    assert back["price"].iloc[0] == 1.5
    assert back["price"].isna().iloc[1]
    assert list(back["sizes"].iloc[0]) == [1, 2]
    assert back["when"].iloc[0] == pd.Timestamp("2020-01-01")


def test_a_derived_table_knows_its_photos_and_its_data(tmp_path):
    write_catalog(Catalog("s3://bucket/photos", pd.DataFrame({"image": ["a.jpg"]}), "abc.dir"), tmp_path / "clean")
    catalog = read_catalog(tmp_path / "clean")
    assert catalog.uri("a.jpg") == "s3://bucket/photos/a.jpg"
    assert catalog.data_version == "abc.dir"


def test_without_a_version_the_table_is_its_own(tmp_path):
    one = read(tmp_path, "image\na\n")
    two = read(tmp_path, "image\nb\n")
    assert one.data_version.startswith("table-")
    assert one.data_version != two.data_version
    assert one.root == str(tmp_path)


def test_a_catalog_on_s3(bucket):
    write_catalog(Catalog(f"{bucket}/data", pd.DataFrame({"image": ["a.jpg", "s3://other/b.jpg"]})), f"{bucket}/data")
    catalog = read_catalog(f"{bucket}/data/")
    assert [catalog.uri(image) for image in catalog.table["image"]] == [f"{bucket}/data/a.jpg", "s3://other/b.jpg"]
    with pytest.raises(InputError, match="holds neither"):
        read_catalog(f"{bucket}/other")


def test_parquet_comes_before_csv(tmp_path):
    (tmp_path / "catalog.csv").write_text("image\ncsv\n")
    write_catalog(Catalog(str(tmp_path), pd.DataFrame({"image": ["parquet"]})), tmp_path)
    assert read_catalog(tmp_path).table["image"].tolist() == ["parquet"]


@pytest.mark.parametrize(
    ("name", "message"), [("none", "no such folder"), ("none/catalog.csv", "cannot be read"), ("", "holds neither")]
)
def test_no_table(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        read_catalog(tmp_path / name)


def test_a_uri_cannot_leave_the_catalog():
    with pytest.raises(InputError, match="not a relative"):
        Catalog("/photos", pd.DataFrame()).uri("../secret")


def test_of_split_renumbers():
    catalog = Catalog("/", pd.DataFrame({"image": ["a", "b"], "split": ["train", "test"]}))
    assert catalog.of_split("test").table.to_dict("index") == {0: {"image": "b", "split": "test"}}
    assert len(Catalog("/", pd.DataFrame({"image": ["a"]})).of_split("test")) == 0


@pytest.mark.slow
def test_a_few_bytes_of_parquet_cannot_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_DECODED", 100 << 20)
    cells = pa.array(["x" * 1_000_000]).dictionary_encode().take(pa.array([0] * 1000))
    bomb = parquet(pa.table({"image": cells}).cast(pa.schema([("image", pa.string())])))
    assert len(bomb) < 100_000
    with pytest.raises(InputError, match=r"cannot be read as a table .decodes to more than"):
        read(tmp_path, bomb, "catalog.parquet")


def test_large_tables_come_in_pieces_and_stay_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 3)
    names = [f"{i}.jpg" for i in range(10)]
    data = parquet(pa.table({"image": names, "n": range(10)}), {"vitrine.root": b"/photos"})
    found = read(tmp_path, data, "catalog.parquet")
    assert found.table["image"].tolist() == names
    assert found.table["n"].tolist() == list(range(10))
    assert found.root == "/photos"


def test_a_huge_cell_is_a_cell(tmp_path):
    found = read(tmp_path, "image,description\na.jpg," + "x" * 5_000_000 + "\n").table
    assert len(found["description"][0]) == 5_000_000
    assert len(read(tmp_path, "image\n" + "a" * 100_000 + "\n").table) == 1


PASSED_ON = {
    "whole": pa.array([1, None, 2**53 + 1], pa.int64()),
    "small": pa.array([1, None, 3], pa.uint8()),
    "full": pa.array([1, 2, 3], pa.int16()),
    "flag": pa.array([True, None, False]),
    "number": pa.array([1.5, float("nan"), None]),
    "half": pa.array([1.5, None, 2.0], pa.float16()),
    "text": pa.array(["a", None, ""]),
    "long text": pa.array(["a", None, ""], pa.large_string()),
    "bytes": pa.array([b"a", None, b"\xff"]),
    "long bytes": pa.array([b"a", None, b"c"], pa.large_binary()),
    "two bytes": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    "list": pa.array([[1], None, [2, None]]),
    "long list": pa.array([["x"], None, []], pa.large_list(pa.string())),
    "pair": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)),
    "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}]),
    "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "nested": pa.array([[{"k": [("a", [1])]}], None, []], pa.list_(pa.struct([("k", pa.map_(pa.string(), pa.list_(pa.int64())))]))),
    "price": pa.array([decimal.Decimal("1.20"), None, decimal.Decimal("3.40")], pa.decimal128(9, 2)),
    "sum": pa.array([decimal.Decimal("1.20"), None, decimal.Decimal("3.40")], pa.decimal256(50, 2)),
    "when": pa.array([1, None, 3], pa.timestamp("us")),
    "there": pa.array([1, None, 3], pa.timestamp("us", "Europe/Zurich")),
    "exact": pa.array([1, None, 3], pa.timestamp("ns", "UTC")),
    "day": pa.array([1, None, 3], pa.date32()),
    "time": pa.array([1, None, 3], pa.time64("us")),
    "long": pa.array([1, None, 3], pa.duration("us")),
    "word": pa.array(["a", None, "a"]).dictionary_encode(),
    "none": pa.nulls(3),
}  # fmt: skip


@pytest.mark.parametrize("name", PASSED_ON)
def test_extra_columns_of_every_type_are_passed_on_bit_for_bit(tmp_path, name):
    given = pa.table({"image": ["a", "b", "c"], name: PASSED_ON[name]})
    (tmp_path / "given").mkdir()
    pq.write_table(given, tmp_path / "given/catalog.parquet")
    catalog = read_catalog(tmp_path / "given")
    kept = catalog.with_table(catalog.table[[True, False, True]])  # as cleaning and splitting do
    kept = kept.with_table(kept.table.assign(split="train"))
    kept.table.to_csv()  # a state of the data is named by it
    write_catalog(kept, tmp_path / "made")
    back = pq.read_table(tmp_path / "made/catalog.parquet")
    assert back.schema.field(name).type == given.schema.field(name).type
    wanted = given[name].to_pylist()
    assert repr(back[name].to_pylist()) == repr([wanted[0], wanted[2]])  # NaN equals nothing


def test_what_cannot_be_passed_on_is_named(tmp_path):
    table = pa.table({"image": ["a"], "odd": pa.array(["x"], pa.string_view())})
    with pytest.raises(InputError, match="column 'odd' holds string_view, which cannot be passed on; leave it out"):
        read(tmp_path, parquet(table), "catalog.parquet")


def test_a_person_is_told_where_the_table_is_and_not_where_its_photos_are(tmp_path):
    table = pd.DataFrame({"image": ["a.jpg"], "category": ["A"]})
    write_catalog(Catalog(str(tmp_path / "photos"), table), tmp_path / "mine")
    catalog = read_catalog(tmp_path / "mine")
    assert (catalog.root, catalog.address) == (str(tmp_path / "photos"), str(tmp_path / "mine"))
    assert catalog.with_table(table).of_split("train").address == str(tmp_path / "mine")
    assert replace(catalog, source="s3://bucket/data").address == "s3://bucket/data"
