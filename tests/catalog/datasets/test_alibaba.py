"""The Alibaba challenge: labelled training photos, and pairs of query and shop photos."""

import publishers
import pytest


def test_labels_with_their_names(root, ingested):
    publishers.alibaba(root)
    account, rows = ingested("alibaba")
    columns = ["category", "domain", "product", "attr:colour", "attr:sleeve", "attr:property_22"]
    assert {image: tuple(rows[image][name] for name in columns) for image in rows if image.startswith("train")} == {
        "train_image/t1.jpg": ("Clothes/Shirts - Tops", "shop", "", "red", "long", ""),
        "train_image/t2.jpg": ("Clothes/Shirts - Tops", "shop", "", "red|blue", "", ""),
        "train_image/t3.jpg": ("Shoes/1102", "shop", "", "", "", ""),  # 1102 has no name
        "train_image/t4.jpg": ("Shoes", "shop", "", "", "", "9"),  # nor has property 22
    }
    assert (account.missing, account.unlisted) == (0, 1)


def test_pairs_that_share_a_photo_show_one_product(root, ingested):
    publishers.alibaba(root)
    (root / "train_label.txt").unlink()
    _, rows = ingested("alibaba")
    assert {image: (row["product"], row["domain"]) for image, row in rows.items()} == {
        "query_image/q1.jpg": ("q1", "user"),
        "query_image/q2.jpg": ("q2", "user"),
        "query_image/q3.jpg": ("q1", "user"),  # e2 answers q1 too
        "eval_image/e1.jpg": ("q1", "shop"),
        "eval_image/e2.jpg": ("q1", "shop"),
        "eval_image/e3.jpg": ("q2", "shop"),
    }


def test_numbers_without_names_and_tabs(root, ingested):
    publishers.alibaba(root)
    for name in ("pairs.txt", "category_names.csv", "property_names.csv"):
        (root / name).unlink()
    path = root / "train_label.txt"
    path.write_text(path.read_text().replace(",", "\t"))
    _, rows = ingested("alibaba")
    assert rows["train_image/t2.jpg"]["category"] == "10/1001"
    assert rows["train_image/t2.jpg"]["attr:property_20"] == "3|4"


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    [
        (
            "train_label.txt",
            "t2,10,1001,20:3; 20:4",
            "t2,10",
            ("train_label.txt: line 2: does not read imgid,cid,subcid",),
        ),
        ("train_label.txt", "t2,10", "t2,", ("train_label.txt: line 2: does not read imgid",)),
        ("train_label.txt", "20:4", "20", ("train_label.txt: line 2: '20' does not read pid:vid",)),
        ("pairs.txt", "q2,e3", "q2", ("pairs.txt: line 3: does not read query imgid,shop imgid",)),
        ("category_names.csv", "id,", "cid,", ("category_names.csv: no column 'id'",)),
    ],
)
def test_what_is_wrong_is_named(root, refused, replace, file, old, new, parts):
    publishers.alibaba(root)
    replace(file, old, new)
    refused("alibaba", *parts)


def test_neither_list(root, refused):
    publishers.draw(root / "train_image/t1.jpg")
    refused("alibaba", "no train_label.txt there", "pairs")


def test_text_of_another_encoding(root, refused):
    publishers.alibaba(root)
    (root / "pairs.txt").write_bytes("q1,é".encode("latin-1"))
    refused("alibaba", "pairs.txt: is not UTF-8 (byte 3)")
