"""An index that grows and shrinks gives what one made anew would."""

import errno
import fcntl
import json
import threading

import numpy as np
import pandas as pd
import pytest

from vitrine.errors import InputError
from vitrine.retrieval import approximate
from vitrine.retrieval import index as retrieval_index
from vitrine.retrieval.index import LOCK, Index
from vitrine.retrieval.segment import in_order

CATEGORIES = ("A/B", "A/B/C", "A/Bc", "A", "D/E", "")


def rows(random, count, first=0):
    names = [f"{i:05}" for i in range(first, first + count)]
    return pd.DataFrame(
        {
            "image": [f"{name}.jpg" for name in names],
            "uri": [f"/photos/{name}.jpg" for name in names],
            "product": [f"P{int(name) // 3}" for name in names],
            "category": random.choice(CATEGORIES, count),
        }
    )


@pytest.fixture
def grown(tmp_path):
    """Two segments; the second replaces some photos of the first, and some products are gone."""
    random = np.random.default_rng(0)
    index = Index.create(tmp_path)
    known = {}
    for count, first in ((300, 0), (200, 280)):
        table = in_order(rows(random, count, first))
        features = random.standard_normal((count, 16)).astype(np.float32)
        index.add(table, np.array_split(features, 3))
        known |= {
            uri: (row, own) for uri, row, own in zip(table["uri"], table.to_dict("records"), features, strict=True)
        }
    gone = {f"P{i}" for i in range(0, 60, 2)}
    assert index.remove(products=sorted(gone)) == sum(row["product"] in gone for row, _ in known.values())
    return tmp_path, {uri: (row, own) for uri, (row, own) in known.items() if row["product"] not in gone}


def expected(known, query, k, inside=lambda category: True):
    left = [
        (row["uri"], own @ query / np.linalg.norm(own) / np.linalg.norm(query))
        for row, own in known.values()
        if inside(row["category"])
    ]
    return [uri for uri, _ in sorted(left, key=lambda pair: -pair[1])[:k]]


def test_answers_are_those_of_a_plain_sort(grown):
    folder, known = grown
    index = Index(folder)
    assert len(index) == len(known)
    queries = np.random.default_rng(1).standard_normal((7, 16)).astype(np.float32)
    for query, hits in zip(queries, index.search(queries, 12), strict=True):
        assert [hit.uri for hit in hits] == expected(known, query, 12)
        assert hits[0].product == known[hits[0].uri][0]["product"]


@pytest.mark.parametrize("category", ["A", "A/B", "A/B/C", "D"])
def test_a_category_is_the_node_and_what_is_below_it(grown, category):
    folder, known = grown
    query = np.random.default_rng(2).standard_normal((1, 16)).astype(np.float32)
    (hits,) = Index(folder).search(query, 1000, category)
    inside = lambda path: path == category or path.startswith(f"{category}/")  # noqa: E731
    assert [hit.uri for hit in hits] == expected(known, query[0], 1000, inside)


def test_compacting_changes_no_answer(grown):
    folder, known = grown
    index = Index(folder)
    query = np.random.default_rng(3).standard_normal((1, 16)).astype(np.float32)
    before = index.search(query, 50)
    index.compact()
    assert [hit.uri for hit in Index(folder).search(query, 50)[0]] == [hit.uri for hit in before[0]]
    assert len(list(folder.glob("segment-*"))) == 1
    assert not list(folder.glob("removed-*"))
    assert len(Index(folder)) == len(known)


@pytest.mark.slow
def test_quick_and_exact_answers_agree_under_filters(tmp_path, monkeypatch):
    monkeypatch.setattr(approximate, "SMALLEST", 2000)
    random = np.random.default_rng(4)
    table = in_order(rows(random, 6000))
    index = Index.create(tmp_path)
    index.add(table, [random.standard_normal((6000, 32)).astype(np.float32)])
    index.remove(products=[f"P{i}" for i in range(500)])
    queries = random.standard_normal((10, 32)).astype(np.float32)
    for category in ("", "A", "A/Bc"):
        quick, exact = index.search(queries, 20, category), index.search(queries, 20, category, exact=True)
        shared = [len({h.uri for h in a} & {h.uri for h in b}) / len(b) for a, b in zip(quick, exact, strict=True)]
        assert np.mean(shared) > 0.99
    assert index.segments[0].product_codes is not None


def test_refusals_are_one_line(grown):
    folder, _ = grown
    index = Index(folder)
    query = np.ones((1, 16), np.float32)
    for arguments, what in [
        ((query, 0), "k must"),
        ((query, 5, "Z"), "no photo in category"),
        ((query[:, :4], 5), "length"),
        ((query * np.nan, 5), "finite"),
    ]:
        with pytest.raises(InputError, match=what):
            index.search(*arguments)
    index.remove(products=[f"P{i}" for i in range(400)])
    assert len(index) == 0
    with pytest.raises(InputError, match="holds no photos"):
        index.search(query, 5)
    index.compact()
    assert len(Index(folder)) == 0
    with pytest.raises(InputError, match="not an index"):
        Index(folder / "nothing")


def test_a_broken_addition_leaves_the_index_as_it_was(grown):
    folder, known = grown
    random = np.random.default_rng(5)
    table = in_order(rows(random, 10, 9000))
    before = json.loads((folder / "index.json").read_text()), sorted(path.name for path in folder.iterdir())
    for features in (np.full((10, 16), np.nan), np.ones((10, 9)), np.ones((4, 16))):
        with pytest.raises(InputError):
            Index(folder).add(table, [features])
    assert (json.loads((folder / "index.json").read_text()), sorted(path.name for path in folder.iterdir())) == before
    assert len(Index(folder)) == len(known)


def features_of(table):
    return np.random.default_rng(len(table)).standard_normal((len(table), 16)).astype(np.float32)


def test_what_others_write_meanwhile_is_kept(tmp_path):
    random = np.random.default_rng(6)
    first, second, third = (in_order(rows(random, 30, start)) for start in (0, 20, 60))
    early, late = Index.create(tmp_path), Index(tmp_path)

    def embedding():
        early.add(second, [features_of(second)])  # of which 10 photos are in the first addition too
        yield features_of(first)

    late.add(first, embedding())
    assert len(late) == len(Index(tmp_path)) == 50
    early.add(third, [features_of(third)])
    assert late.remove(products=["P20", "P21"]) == 6
    early.compact()
    assert len(late.segments) == 3
    assert late.remove(products=["P0"]) == 3
    assert len(late) == len(Index(tmp_path)) == 71
    other = in_order(rows(random, 5, 900))
    with pytest.raises(InputError, match="another length"):
        late.add(other, [np.ones((5, 9), np.float32)])
    assert len(list(tmp_path.glob("segment-*"))) == 1


def test_an_index_that_changes_while_it_is_opened_is_opened_anew(grown, monkeypatch):
    folder, known = grown
    before = json.loads((folder / "index.json").read_text())
    Index(folder).compact()
    contents = [before, json.loads((folder / "index.json").read_text())]
    monkeypatch.setattr("vitrine.files.read_json", lambda _: contents.pop(0))
    assert len(Index(folder)) == len(known)


def test_a_change_waits_for_another(tmp_path):
    table = rows(np.random.default_rng(7), 5)
    Index.create(tmp_path)
    adding = threading.Thread(target=lambda: Index(tmp_path).add(table, [features_of(table)]))
    with (tmp_path / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        adding.start()
        adding.join(0.5)
        assert adding.is_alive()
        assert len(Index(tmp_path)) == 0  # who only reads does not wait
    adding.join(60)
    assert len(Index(tmp_path)) == 5


def test_a_volume_without_locks_is_said_and_changed(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(retrieval_index.fcntl, "flock", refuse)
    table = rows(np.random.default_rng(7), 5)
    Index.create(tmp_path).add(table, [features_of(table)])
    assert len(Index(tmp_path)) == 5
    assert "cannot be locked (No locks available)" in caplog.text


def test_what_could_not_be_added_leaves_nothing(tmp_path, monkeypatch):
    table = rows(np.random.default_rng(7), 5)
    index = Index.create(tmp_path)
    monkeypatch.setattr(Index, "_without", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        index.add(table, [features_of(table)])
    assert list(tmp_path.glob("segment-*")) == []


@pytest.mark.parametrize(
    "contents",
    [
        [],
        {"format": 1},
        {"format": 1, "segments": "segment-a", "removed": {}},
        {"format": 1, "segments": ["../other/segment-a"], "removed": {}},
        {"format": 1, "segments": ["/etc"], "removed": {}},
        {"format": 1, "segments": [5], "removed": {}},
        {"format": 1, "segments": [], "removed": {"segment-a": "../../secret.npy"}},
        {"format": 1, "segments": ["segment-gone"], "removed": {}},
    ],
)
def test_a_list_of_segments_that_is_none(tmp_path, contents):
    (tmp_path / "index.json").write_text(json.dumps(contents))
    with pytest.raises(InputError):
        Index(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"PK\x05\x06" + bytes(18), b"\x80\x04N.", b"x"])
@pytest.mark.parametrize("name", ["rows.parquet", "vectors.npy", "code.npy", "scale.npy", "slack.npy"])
def test_a_damaged_file_is_named(tmp_path, monkeypatch, name, data):
    monkeypatch.setattr("vitrine.retrieval.index.fast_codes", lambda: True)
    Index.create(tmp_path).add(rows(np.random.default_rng(0), 5), [np.eye(5, dtype=np.float32)])
    (path,) = tmp_path.glob(f"segment-*/{name}")
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"{name}: damaged"):
        Index(tmp_path).search(np.ones((1, 5)), 1, exact=True)


def test_arrays_that_do_not_belong_together(tmp_path):
    Index.create(tmp_path).add(rows(np.random.default_rng(0), 5), [np.eye(5, dtype=np.float32)])
    (path,) = tmp_path.glob("segment-*/vectors.npy")
    for wrong in (np.eye(4, dtype=np.float32), np.eye(5), np.ones(5, np.float32), np.array([None] * 5)):
        np.save(path, wrong, allow_pickle=True)
        with pytest.raises(InputError, match="damaged"):
            Index(tmp_path)


def test_codes_that_are_not_those_of_the_vectors(tmp_path):
    path = tmp_path / "codes"
    for count, dim in ((300, 5), (320, 8)):
        vectors = np.random.default_rng(0).standard_normal((count, dim)).astype(np.float32)
        approximate.build(vectors, path)
        assert approximate.candidates(approximate.load(path, count, dim), vectors[:3], 9).shape == (3, 9)
    whole = path.read_bytes()
    first, between, codes = approximate._layout(320, 8)
    numbers = {*range(len(first), len(first) + 16 * 8 * 4), *range(len(whole) - codes, len(whole))}
    lengths = [place for place in range(len(whole)) if place not in numbers]
    assert len(lengths) == len(first) + len(between)
    for place in lengths:  # faiss would believe them
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1 :])
        with pytest.raises(InputError, match="not the codes of 320 vectors"):
            approximate.load(path, 320, 8)
    for wrong in (whole[:-1], whole + b"x", b""):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match="not the codes of 320 vectors"):
            approximate.load(path, 320, 8)


def test_an_answer_says_where_its_photo_stands(grown):
    folder, _ = grown
    index = Index(folder)
    (hits,) = index.search(np.ones((1, 16), np.float32), 30)
    assert [index.uri_at(hit.place) for hit in hits] == [hit.uri for hit in hits]
    index.remove(images=[hits[0].uri])
    name = index.segments[0].folder.name
    for place in (
        hits[0].place,
        "",
        name,
        f"{name}/300",
        f"{name}/-1",
        f"{name}/²",
        f"{name}/0000000000001",
        "../0",
        f"{name}/0/0",
    ):
        with pytest.raises(InputError, match="holds no photo at"):
            index.uri_at(place)


def test_a_product_is_asked_with_its_own_photos(grown):
    folder, known = grown
    own = [own / np.linalg.norm(own) for row, own in known.values() if row["product"] == "P95"]
    found = Index(folder).embeddings_of("P95")
    assert len(found) == len(own) == 3
    assert np.allclose(found[np.lexsort(found.T)], np.stack(own)[np.lexsort(np.stack(own).T)], atol=1e-6)
    assert Index(folder).embeddings_of("P0").shape == (0, 16)
