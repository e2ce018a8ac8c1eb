"""A mapping file says what is wrong with it; templates make cells and paths."""

import pytest

from vitrine import configs
from vitrine.catalog.mapping import Template, attribute_column, cut_path, nearest, read_mapping
from vitrine.errors import InputError

MINIMAL = "tables: [{file: a.csv}]\ncolumns: {image: '{image}'}\n"


def read(tmp_path, text):
    path = tmp_path / "map.yaml"
    path.write_text(text, encoding="utf-8")
    return read_mapping(path)


def test_a_minimal_mapping(tmp_path):
    mapping = read(tmp_path, MINIMAL)
    assert mapping.tables[0].file == "a.csv"
    assert mapping.unlisted == "drop"


@pytest.mark.parametrize("name", sorted(path.stem for path in (configs.folder() / "ingest").glob("*.yaml")))
def test_the_shipped_mappings_are_sound(name):
    read_mapping(configs.path(f"ingest/{name}.yaml"))


def test_the_readme_describes_every_key():
    from vitrine.catalog.mapping import CatalogMapping, LongTable, Lookup, RowTable

    readme = configs.folder().joinpath("ingest/README.md").read_text(encoding="utf-8")
    for model in (CatalogMapping, RowTable, Lookup, LongTable):
        for key in model.model_fields:
            assert f"`{key}`" in readme, f"{model.__name__}.{key}"


def test_the_readmes_example_is_sound(tmp_path):
    readme = configs.folder().joinpath("ingest/README.md").read_text(encoding="utf-8")
    read(tmp_path, readme.split("```yaml\n")[1].split("```")[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file"),
        ("a: [", "is not YAML"),
        ("columns: {image: x}", "lacks 'tables'"),
        ("tables: [{file: a.csv}]\ncolumn: {image: x}", "unknown key 'column'; did you mean 'columns'"),
        ("tables: []\ncolumns: {image: x}", "tables: "),
        ("tables: [{file: a.csv}]\ncolumns: {domain: user}", "needs a template for image"),
        (MINIMAL + "colums: {}", "unknown key 'colums'; did you mean 'columns'"),
        (
            MINIMAL.replace("{file: a.csv}", "{file: a.csv, delimeter: ';'}"),
            r"unknown key 'tables.0.delimeter'; did you mean 'delimiter'",
        ),
        (MINIMAL + "lookups: [{file: b.csv, keys: {a: b}}]", r"lacks 'lookups.0.key'|unknown key 'lookups.0.keys'"),
        (MINIMAL + "unlisted: kept", "unlisted: input should be 'keep' or 'drop', not 'kept'"),
        (MINIMAL + "unlabelled: [No]", "put it in quotes"),
        (MINIMAL + "values: {image: {a: 1}}", "put it in quotes"),
        (
            MINIMAL.replace("{image: '{image}'}", "{image: '{image}', catagory: '{c}'}"),
            "no catalog column 'catagory'; did you mean 'category'",
        ),
        (
            MINIMAL.replace("{image: '{image}'}", "{image: '{image}', price: '{c}'}"),
            r"no catalog column 'price'; .*own columns go in extra",
        ),
        (MINIMAL + "extra: {domain: shop}", "'domain' is a catalog column"),
        (MINIMAL + "values: {attr:nek: {a: b}}", "values: no column 'attr:nek'"),
        (MINIMAL.replace("a.csv", "a.txt, counted: true"), "tables.0: counted goes with aligned"),
        (
            MINIMAL + "lookups: [{file: b, key: {a: b}, aligned: true, delimiter: ;}]",
            "lookups.0: an aligned table has no",
        ),
        (MINIMAL.replace("'{image}'", "'{image'"), "a brace is not closed"),
        (MINIMAL.replace("'{image}'", "'{image[x]}'"), "parts of a path read"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(str(tmp_path / "map.yaml"))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_mapping(tmp_path / "none.yaml")


def test_no_object_is_made_from_yaml(tmp_path):
    with pytest.raises(InputError, match="is not YAML"):
        read(tmp_path, "tables: !!python/object/apply:os.system ['true']")


@pytest.mark.parametrize(
    ("template", "cell", "filled"),
    [
        ("{a}", "x", "x"),
        ("images/{a}.jpg", "7", "images/7.jpg"),
        ("images/{a}.jpg", "", ""),
        ("constant", "", "constant"),
        ("{a[0]}", "x/y/z", "x"),
        ("{a[-1]}", "x/y/z", "z"),
        ("{a[3]}", "x/y/z", ""),
        ("{a[1]}", "/x/./y/", "y"),
        ("{a[1:]}", "x/y/z", "y/z"),
        ("{a[:-1]}", "x\\y\\z", "x/y"),
        ("{a[1:2]}", "x/y/z", "y"),
        ("{a}", "3/4 pants", "3/4 pants"),
    ],
)
def test_templates(template, cell, filled):
    assert Template(template).fill({"a": [cell]}, 1) == [filled]


def test_a_template_of_several_fields_may_lack_some():
    template = Template("{brand} {name}")
    assert template.fill({"brand": ["Acme", "", ""], "name": ["hat", "hat", ""]}, 3) == ["Acme hat", "hat", ""]


def test_column_names_may_be_any_text():
    assert Template("{Class Name (str)}/{a.b!r:>9}").fill({"Class Name (str)": ["x"], "a.b!r:>9": ["y"]}, 1) == ["x/y"]


@pytest.mark.parametrize(
    ("template", "cells", "path"),
    [
        ("{a}/{b}", ("x", "y"), "x/y"),
        ("{a}/{b}", ("x", ""), "x"),
        ("{a}/{b}", ("", "y"), ""),
        ("{a}/{b}", ("3/4 Pants", "y"), "3-4 Pants/y"),
        ("{a[1:-1]}/{b}", ("train/Fruit/Apple/1.jpg", "Granny"), "Fruit/Apple/Granny"),
        ("Shoes/{a}", ("", ""), "Shoes"),
        ("{a[:]}", ("/x//y/", ""), "x/y"),
        ("{a}", ("/", ""), "-"),
    ],
)
def test_category_paths_never_have_an_empty_part(template, cells, path):
    a, b = cells
    assert Template(template).fill_path({"a": [a], "b": [b]}, 1) == [path]


def test_a_path_is_cut_at_what_is_unknown():
    assert cut_path(["A", "NA", "C"], {"NA"}) == "A"


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("Sleeve Length", "attr:sleeve_length"),
        (" Fit ", "attr:fit"),
        ("Size (EU)", "attr:size_eu"),
        ("Ärmel", "attr:ärmel"),
    ],
)
def test_attribute_columns(name, column):
    assert attribute_column(name) == column


def test_nearest():
    assert nearest("Fashon", ["fashion", "grocery"]) == "; did you mean 'fashion'?"
    assert nearest("zzz", ["fashion", "grocery"]) == "; known: fashion, grocery"
