"""Small data sets in exactly the layout of their publishers; photos are drawn."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

LABEL_MAP = "iMat_fashion_2018_label_map_228.csv"


def draw(path: Path, size: tuple[int, int] = (72, 96)) -> None:
    """A photo of coloured blocks that no other path has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes(path.as_posix().encode()[-24:], "big")
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def write(root: Path, name: str, *lines: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


ATTRIBUTES = [  # name, type
    ("a-line", 3),
    ("abstract chevron print", 1),
    ("crochet", 2),
    ("floral", 1),
    ("long sleeve", 4),
    ("striped|dotted", 1),
    ("boho", 5),
]
DEEPFASHION = [  # name, category, positive attributes, unknown attributes, box, split
    ("img/Sheer_Pleated-Front_Blouse/img_00000001.jpg", 2, {1, 4, 3}, {0}, "072 079 232 273", "train"),
    ("img/Sheer_Pleated-Front_Blouse/img_00000002.jpg", 2, {2}, set(), "010 012 060 090", "val"),
    ("img/Pencil_Skirt/img_00000003.jpg", 3, {0, 5, 6}, {1, 2}, "001 002 031 042", "test"),
    ("img/Maxi_Dress/img_00000004.jpg", 4, set(), {6}, "000 000 070 090", "train"),
]


def deepfashion(root: Path, folder: str = "Anno_coarse", inside: str = "") -> None:
    for name, *_ in DEEPFASHION:
        draw(root / inside / name)
    count = str(len(DEEPFASHION))
    write(
        root,
        f"{folder}/list_category_cloth.txt",
        "4",
        "category_name  category_type",
        "Anorak         1",
        "Button/Down Tee 1",
        "Skirt          2",
        "Dress          3",
    )
    write(root, f"{folder}/list_attr_cloth.txt", str(len(ATTRIBUTES)), "attribute_name  attribute_type")
    with (root / folder / "list_attr_cloth.txt").open("a") as file:
        file.writelines(f"{name:<30}{kind}\n" for name, kind in ATTRIBUTES)
    rows = {
        f"{folder}/list_category_img.txt": ("category_label", [str(row[1]) for row in DEEPFASHION]),
        f"{folder}/list_bbox.txt": ("x_1  y_1  x_2  y_2", [row[4] for row in DEEPFASHION]),
        "Eval/list_eval_partition.txt": ("evaluation_status", [row[5] for row in DEEPFASHION]),
        f"{folder}/list_attr_img.txt": (
            "attribute_labels",
            [
                " ".join(f"{1 if i in row[2] else 0 if i in row[3] else -1:2d}" for i in range(len(ATTRIBUTES)))
                for row in DEEPFASHION
            ],
        ),
    }
    for file, (header, cells) in rows.items():
        lines = [f"{row[0]:<70} {cell}" for row, cell in zip(DEEPFASHION, cells, strict=True)]
        write(root, file, count, f"image_name  {header}", *lines)


FINE = {
    "train": [("img/Sheer_Blouse/img_00000001.jpg", 3, "1 0 0 1 0", "072 079 232 273")],
    "val": [("img/Sheer_Blouse/img_00000002.jpg", 3, "0 1 0 0 0", "010 012 060 090")],
    "test": [
        ("img/Maxi_Dress/img_00000003.jpg", 4, "0 0 1 0 1", "001 002 031 042"),
        ("img/Maxi_Dress/img_00000004.jpg", 4, "1 0 0 0 1", "001 002 031 052"),
    ],
}


def deepfashion_fine(root: Path) -> None:
    write(
        root,
        "Anno_fine/list_attr_cloth.txt",
        "5",
        "attribute_name       attribute_type",
        "floral               1",
        "solid                1",
        "long_sleeve          2",
        "crew_neckline        4",
        "loose                6",
    )
    write(
        root,
        "Anno_fine/list_category_cloth.txt",
        "4",
        "category_name  category_type",
        "Anorak 1",
        "Blazer 1",
        "Blouse 1",
        "Dress 3",
    )
    for split, rows in FINE.items():
        for name, *_ in rows:
            draw(root / name)
        write(root, f"Anno_fine/{split}.txt", *(row[0] for row in rows))
        write(root, f"Anno_fine/{split}_cate.txt", *(str(row[1]) for row in rows))
        write(root, f"Anno_fine/{split}_attr.txt", *(f"{row[2]} " for row in rows))
        write(root, f"Anno_fine/{split}_bbox.txt", *(row[3] for row in rows))


def imaterialist2018(root: Path) -> None:
    labels = {"train": [["66", "153", "17"], ["17", "78", "62"]], "validation": [["106", "190"]], "test": []}
    counts = {"train": 3, "validation": 1, "test": 2}
    write(
        root,
        LABEL_MAP,
        "labelId,taskId,labelName,taskName",
        "17,2,Black,color",
        "62,1,Dresses,category",
        "66,3,Female,gender",
        "78,2,Gray,color",
        '89,1,"Hosiery, Stockings, Tights",category',
        "106,3,Male,gender",
        "153,5,Round Neck,neckline",
        "190,1,T-Shirts,category",
    )
    for split, count in counts.items():
        ids = [str(i + 1) for i in range(count)]
        content: dict[str, object] = {
            "info": {"year": 2018},
            "images": [{"url": f"https://example.com/{i}", "imageId": i} for i in ids],
            "license": {},
        }
        if split != "test":
            pairs = zip(ids, labels[split], strict=False)
            content["annotations"] = [{"imageId": i, "labelId": found} for i, found in pairs]
        write(root, f"{split}.json", json.dumps(content))
        for i in ids:
            draw(root / split / f"{i}.jpg")


def street2shop(root: Path) -> None:
    box = {"width": 30, "top": 7, "left": 5, "height": 60}
    shoes = {"width": 12, "top": 80, "left": 3, "height": 10}
    content = {
        "train_pairs_dresses": [
            {"photo": 1, "product": 100, "bbox": box},
            {"photo": 2, "product": 101, "bbox": {"top": 1, "left": 2}},
        ],
        "test_pairs_dresses": [{"photo": 3, "product": 102, "bbox": {**box, "left": -4}}],
        "retrieval_dresses": [
            {"photo": 10, "product": 100},
            {"photo": 11, "product": 100},
            {"photo": 12, "product": 102},
            *({"photo": photo, "product": 103 + photo // 2} for photo in range(20, 40)),
        ],
        "train_pairs_footwear": [{"photo": 1, "product": 200, "bbox": shoes}] * 2,
        "test_pairs_footwear": [],
        "retrieval_footwear": [{"photo": 14, "product": 200}, {"photo": 99, "product": 201}],
    }
    for name, entries in content.items():
        write(root, f"meta/json/{name}.json", json.dumps(entries))
    numbers = [1, 2, 3, 10, 11, 12, 14, 15, *range(20, 40)]
    write(root, "photos/photos.txt", *(f"{number:09d},http://example.com/{number}" for number in [*numbers, 99]))
    for number in numbers:
        draw(root / "images" / f"{number:09d}.jpg")


def sop(root: Path) -> None:
    rows = {
        "train": [(1, 1, "bicycle_final/111_0.JPG"), (2, 1, "bicycle_final/111_1.JPG"), (3, 5, "mug_final/222_0.JPG")],
        "test": [(4, 9, "coffee_maker_final/333_0.JPG"), (5, 9, "coffee_maker_final/333_1.JPG")],
    }
    header = "image_id class_id super_class_id path"
    everything = []
    for split, listed in rows.items():
        lines = [f"{image} {product} {number} {path}" for number, (image, product, path) in enumerate(listed, 1)]
        write(root, f"Ebay_{split}.txt", header, *lines)
        everything += lines
        for *_, path in listed:
            draw(root / path)
    write(root, "Ebay_info.txt", header, *everything)


def darn(root: Path) -> None:
    write(
        root,
        "darn.csv",
        "id,url,domain,pair,clothes_category,clothes_button,clothes_color,clothes_length,clothes_pattern,"
        "clothes_shape,collar_shape,sleeve_length,sleeve_shape",
        "1001,http://example.com/1,online,7,T-shirt,pullover,white,regular,dot,slim,round,short,regular",
        "1002,http://example.com/2,offline,7,T-shirt,pullover,white,regular,dot,,,short,",
        "1003,http://example.com/3,online,8,skirt,,red|blue,long,stripe,A-line,,,",
    )
    for number in (1001, 1002, 1003):
        draw(root / f"images/{number}.jpg")


def oxford_iiit_pet(root: Path) -> None:
    rows = {
        "trainval": ["Abyssinian_100 1 1 1", "american_bulldog_10 2 2 1"],
        "test": ["Abyssinian_201 1 1 1", "english_cocker_spaniel_7 13 2 9"],
    }
    write(root, "annotations/list.txt", "#Image CLASS-ID SPECIES BREED ID", "#ID: 1:37 class ids", *rows["test"])
    for name, lines in rows.items():
        write(root, f"annotations/{name}.txt", *lines)
        for line in lines:
            draw(root / f"images/{line.split()[0]}.jpg")


COARSE = ["aquatic_mammals", "fish"]
CLASSES = ["apple", "beaver", "ray"]


def cifar100(root: Path, train: int = 4) -> np.ndarray:
    """Returns the records of train.bin."""
    write(root, "coarse_label_names.txt", *COARSE, "")
    write(root, "fine_label_names.txt", *CLASSES, "")
    generator = np.random.default_rng(0)
    for name, count in (("test", 2), ("train", train)):
        records = generator.integers(0, 256, (count, 3074), dtype=np.uint8)
        records[:, 1] = np.arange(count) % len(CLASSES)
        records[:, 0] = records[:, 1] // 2
        (root / f"{name}.bin").write_bytes(records.tobytes())
    return records


def ysneaker(root: Path) -> None:
    write(
        root,
        "listings.csv",
        "listing,expert,user,description,brand,verdict",
        'L1,E1,u7,"worn twice, ""as new""",Nike,authentic',
        "L2,E2,u7,没有鞋盒,Li Ning,counterfeit",
        "L3,E1,u8,,New Balance,uncertain",
        "L4,E3,u9,photos follow,Puma,authentic",
    )
    views = ["appearance", "tag", "midsole", "insole", "box_logo", "stamp"]
    for listing, names in {
        "L1": [*views, "extra_1", "extra_2"],
        "L2": views[:4],
        "L3": ["appearance", "Box Logo"],
    }.items():
        for name in names:
            draw(root / "images" / listing / f"{name}.jpg")
    draw(root / "images" / "L9" / "appearance.jpg")


def alibaba(root: Path) -> None:
    write(root, "train_label.txt", "t1,10,1001,20:3;21:7", "t2,10,1001,20:3; 20:4", "t3,11,1102,", "t4,11,,22:9")
    write(root, "pairs.txt", "q1,e1", "q1,e2", "q2,e3", "q3,e2")
    write(root, "category_names.csv", "id,name", "10,Clothes", "1001,Shirts / Tops", "11,Shoes")
    write(
        root, "property_names.csv", "pid,vid,property,value", "20,3,Colour,red", "20,4,Colour,blue", "21,7,Sleeve,long"
    )
    for name in ("t1", "t2", "t3", "t4"):
        draw(root / "train_image" / f"{name}.jpg")
    for name in ("q1", "q2", "q3"):
        draw(root / "query_image" / f"{name}.jpg")
    for name in ("e1", "e2", "e3", "e4"):
        draw(root / "eval_image" / f"{name}.jpg")


def coco(root: Path) -> None:
    """Two files of boxes beside one of captions; photos of both splits have one name."""
    for photo in ("train2017/1.jpg", "train2017/2.jpg", "val2017/1.jpg"):
        draw(root / photo)
    categories = [
        {"id": 7, "name": "shirt, blouse", "supercategory": "upperbody"},
        {"id": 3, "name": "shoe/boot", "supercategory": ""},
    ]
    train = {
        "images": [{"id": 10, "file_name": "1.jpg"}, {"id": 11, "file_name": "2.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 7, "bbox": [4, 5.5, 30, 40]},
            {"id": 2, "image_id": 10, "category_id": 3, "bbox": [-2, 0, 12, 9], "iscrowd": 0},
        ],
    }
    val = {
        "images": [{"id": 10, "file_name": "1.jpg"}],
        "annotations": [{"id": 1, "image_id": 10, "category_id": 3, "bbox": [1, 2, 3, 4]}],
    }
    for name, content in (("train2017", train), ("val2017", val)):
        write(root, f"annotations/instances_{name}.json", json.dumps({**content, "categories": categories}))
        write(root, f"annotations/captions_{name}.json", json.dumps({"images": content["images"], "annotations": []}))


ALL = {
    "coco": coco,
    "alibaba": alibaba,
    "cifar100": cifar100,
    "darn": darn,
    "deepfashion": deepfashion,
    "deepfashion-fine": deepfashion_fine,
    "imaterialist2018": imaterialist2018,
    "oxford-iiit-pet": oxford_iiit_pet,
    "sop": sop,
    "street2shop": street2shop,
    "ysneaker": ysneaker,
}
