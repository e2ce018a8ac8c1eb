"""The fuzz table of docs/security.md: hostile bytes for everything that reads what somebody else wrote.

    python benchmarks/tables/fuzz.py [--seconds 60] [--out build/fuzz] [TARGET ...]

Needs atheris (`pip install atheris`; no dependency of the project): libFuzzer mutates the inputs and keeps those that
reach new lines of `vitrine` and `pipelines`. Each target runs in a process of its own, which a hang of 20 s or 3 GB of
memory ends. Refused means InputError, in one line; anything else that is raised is a crash, kept with its traceback in
OUT/TARGET. Exit code 1: there were crashes. It lies here and not among the tests because it runs as long as one likes.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random

HANG, MEMORY = 20, 3000  # seconds an input may take, megabytes of the process
ODD = (  # what mutations of JSON put in the place of a value
    None, True, 0, -1, 7, 0.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**70, "", "x", "..", "../x",
    "/etc/passwd", "a/b", "A/B", "1", "\x1b[31m", "\0", "\ud800", "x" * 3000, "2024-99-99", "s3://", "s3://a:b/c",
    "http://x/", "=1+1", "$x$", "none", [], {}, [[]], [None], {"": 1}, {"x": {}},
)  # fmt: skip
Target = tuple[list[bytes], Callable[[bytes], object]]


def tables(folder: Path, name: str, seeds: list[bytes]) -> Target:
    """A catalog's table, read with and without a look at its rows."""
    from vitrine.catalog import attribute_types, category_depth, category_level, read_catalog
    from vitrine.errors import InputError

    def run(data: bytes) -> None:
        (folder / name).write_bytes(data)
        with contextlib.suppress(InputError):
            found = read_catalog(folder, check_rows=False).table
            attribute_types(found)
            if "category" in found:
                category_level(found["category"], category_depth(found))
        read_catalog(folder)

    return seeds, run


def csv(folder: Path) -> Target:
    """catalog.csv."""
    seeds = [b'image,domain,category,attr:colour,bbox\na.jpg,shop,A/B,red|blue,"1,2,3,4"\n', b"image\r\na.jpg\r\n"]
    return tables(folder, "catalog.csv", seeds)


def parquet(folder: Path) -> Target:
    """catalog.parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    seeds = []
    for options in ({}, {"compression": "zstd"}, {"use_dictionary": False, "compression": "gzip"}):
        buffer = io.BytesIO()
        table = pa.table({"image": ["a.jpg", "b.jpg"], "attr:x": ["1", None], "n": [1, 2], "l": [[1], []]})
        pq.write_table(table.replace_schema_metadata({"vitrine.root": "/photos"}), buffer, **options)
        seeds.append(buffer.getvalue())
    return tables(folder, "catalog.parquet", seeds)


def mapping(folder: Path) -> Target:
    """A mapping file, applied to a small data set."""
    from vitrine.catalog.ingest import ingest

    source = folder / "source"
    (source / "p").mkdir(parents=True)
    (source / "p/a.jpg").write_bytes(b"")
    (source / "t.csv").write_text("photo,kind,colour\np/a.jpg,Shoes,red/blue\n")
    (source / "long.tsv").write_text("photo\ttype\tlabel\np/a.jpg\tSole\tflat\n")
    (source / "aligned.txt").write_text("1\nphoto kind\np/a.jpg Shoes\n")
    map_file = folder / "map.yaml"
    seeds = [
        b"tables: [{file: t.csv}]\ncolumns: {image: '{photo}', category: 'A/{kind[0]}', 'attr:c': '{colour}'}\n"
        b"separators: {'attr:c': /}\nunlabelled: [red]\nvalues: {category: {Shoes: S}}\nextra: {n: x}\n",
        b"tables: [{file: aligned.txt, aligned: true, counted: true}]\ncolumns: {image: '{photo}'}\nunlisted: keep\n"
        b"attributes: [{file: long.tsv, key: {photo: photo}, type: type, label: label, take: [Sole], at_least: 1}]\n",
        b"tables: [{file: t.csv, encoding: latin-1, delimiter: ',', quoted: false, columns: {image: '{photo[0:]}'}}]\n"
        b"columns: {image: '{photo}'}\nlookups: [{file: long.tsv, key: {photo: photo}, names: [photo, b, c]}]\n",
    ]

    import yaml

    seeds += [json.dumps(yaml.safe_load(seed)).encode() for seed in seeds]

    def run(data: bytes) -> None:
        map_file.write_bytes(data)
        shutil.rmtree(folder / "out", ignore_errors=True)
        ingest(source, folder / "out", "table", map_file)

    return seeds, run


def dvc(folder: Path) -> Target:
    """A .dvc file."""
    from vitrine.catalog.dvc_file import read_dvc_file

    path = folder / "data.dvc"
    md5 = b"0123456789abcdef0123456789abcdef.dir"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        read_dvc_file(str(path))

    whole = {"outs": [{"md5": md5.decode(), "size": 1, "nfiles": 1, "hash": "md5", "path": "data"}]}
    return [
        json.dumps(whole).encode(),
        b"outs:\n- md5: " + md5 + b"\n  size: 1\n  nfiles: 1\n  hash: md5\n  path: data\n",
    ], run


def listing(folder: Path) -> Target:
    """The list of files that a DVC hash names, fetched with what it lists; nothing may be written elsewhere."""
    from vitrine.catalog.fetch import fetch

    remote, cache = folder / "remote", folder / "cache"
    table = b"image\na.jpg\n"
    own = hashlib.md5(table).hexdigest()

    def put(data: bytes, ending: str = "") -> str:
        md5 = hashlib.md5(data).hexdigest()
        path = remote / "files/md5" / md5[:2] / (md5[2:] + ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return md5

    def run(data: bytes) -> None:
        for used in (remote, cache, folder / "out"):
            shutil.rmtree(used, ignore_errors=True)
        put(table)
        version = put(data, ".dir")
        try:
            fetch(str(folder / "data.dvc"), folder / "out", version, str(remote), cache)
        finally:
            if {path.name for path in folder.iterdir()} - {"remote", "cache", "out"}:
                raise AssertionError("written outside of the cache")

    entries = [{"md5": own, "relpath": "catalog.csv"}, {"md5": own, "relpath": "images/a.jpg"}]
    return [json.dumps(entries).encode(), json.dumps([entries[0], entries[1] | {"relpath": "../a"}]).encode()], run


def photos(folder: Path) -> Target:
    """A photo, decoded whole, at a fraction, and as the scan of a catalog looks at it."""
    from PIL import Image

    from vitrine.catalog.photos import decode_photo
    from vitrine.quality.scan import scan_photo

    small = Image.radial_gradient("L").resize((24, 16)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    seeds = []
    for kind, mode, options in (
        ("JPEG", "RGB", {"exif": exif}), ("JPEG", "RGB", {"progressive": True}), ("JPEG", "CMYK", {}),
        ("PNG", "RGB", {}), ("PNG", "P", {"transparency": 0}), ("PNG", "I;16", {}), ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {"lossless": True}), ("GIF", "P", {"save_all": True, "append_images": [small.convert("P")]}),
        ("BMP", "RGB", {}), ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "F", {}), ("TIFF", "CMYK", {}),
    ):  # fmt: skip
        buffer = io.BytesIO()
        image = small.convert("L").convert(mode) if mode in ("I;16", "F") else small.convert(mode)
        image.save(buffer, kind, **options)
        seeds.append(buffer.getvalue())
    if (real := Path(os.environ.get("VITRINE_DATASETS", ""))).is_dir() and os.environ.get("VITRINE_DATASETS"):
        found = (path for path in sorted(real.rglob("*.jpg")) if path.stat().st_size < 30_000)
        seeds += [path.read_bytes() for path, _ in zip(found, range(12), strict=False)]
    path = folder / "photo.jpg"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        scan_photo(str(path))
        decode_photo(data, 8)
        decode_photo(data)

    return seeds, run


def made_model(folder: Path) -> Path:
    """A small model that never learnt anything."""
    import numpy as np
    from PIL import Image

    from vitrine.catalog import read_catalog
    from vitrine.train import train

    (folder / "toys").mkdir()
    lines = ["image,split,category,attr:colour"]
    for i in range(24):
        split = "validation" if i % 6 == 5 else "train"
        Image.fromarray(np.full((20, 20, 3), 10 * i, np.uint8)).save(folder / f"toys/{i}.png")
        lines.append(f"{i}.png,{split},{'A/B' if i % 2 else 'A/C'},{'red' if i % 3 else 'blue'}")
    (folder / "toys/catalog.csv").write_text("\n".join(lines) + "\n")
    settings = ["epochs=1", "image_size=32", "batch_size=8", "workers=1", "hidden=4"]
    with contextlib.redirect_stdout(io.StringIO()):
        train("taxonomy", "bcnn", read_catalog(folder / "toys"), folder / "model", settings)
    return folder / "model"


def model(folder: Path, name: str, seeds: Callable[[bytes], list[bytes]]) -> Target:
    """A model folder of which one file is hostile, asked about a photo."""
    from vitrine.predict import predict

    made = made_model(folder)

    def run(data: bytes) -> None:
        (made / name).write_bytes(data)
        predict(made, [str(folder / "toys/0.png")])

    return seeds((made / name).read_bytes()), run


def config(folder: Path) -> Target:
    """config.json of a model folder."""
    return model(folder, "config.json", lambda own: [own])


def tensors(folder: Path) -> Target:
    """model.safetensors: its header, which the weights follow."""
    from vitrine import tasks
    from vitrine.model import load_config, load_into, load_tensors

    made = made_model(folder)

    weights = (made / "model.safetensors").read_bytes()
    net = tasks.of_model(made).build(load_config(made))
    length = 8 + int.from_bytes(weights[:8], "little")

    def run(data: bytes) -> None:
        (made / "model.safetensors").write_bytes(data + weights[length:])
        load_tensors(made)
        load_into(net, made)

    small = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    return [weights[:length], len(small).to_bytes(8, "little") + small + bytes(4)], run


def index(folder: Path) -> Target:
    """An index folder of which one file is hostile; the first byte says which."""
    import numpy as np
    import pandas as pd

    from vitrine.retrieval.index import Index

    rows = pd.DataFrame({"image": list("abcdef"), "uri": list("abcdef"), "product": list("xxyyzz"), "category": "A/B"})
    vectors = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    made = folder / "index"
    made.mkdir()
    Index.create(made).add(rows, [vectors])
    Index(made).remove(images=["a"])
    paths = sorted(path for path in made.rglob("*") if path.is_file())
    sound = [path.read_bytes() for path in paths]

    def run(data: bytes) -> None:
        which = data[0] % len(paths) if data else 0
        paths[which].write_bytes(data[1:])
        try:
            opened = Index(made)
            for exact in (True, False):
                opened.search(vectors[:1], 3, exact=exact)
            opened.search(vectors[:1], 3, category="A")
        finally:
            paths[which].write_bytes(sound[which])

    return [bytes([i]) + own for i, own in enumerate(sound)], run


def codes(folder: Path) -> Target:
    """The codes of an index for approximate search, which faiss reads."""
    import numpy as np

    from vitrine.retrieval import approximate

    vectors = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    path = folder / "codes.faiss"
    approximate.build(vectors, path)

    def run(data: bytes) -> None:
        path.write_bytes(data)
        approximate.candidates(approximate.load(path, 64, 4), vectors[:2], 10)

    return [path.read_bytes()], run


def registry(folder: Path) -> Target:
    """champion.json of a model registry; what follows a line of dashes is the history."""
    from vitrine.registry import Registry
    from vitrine.registry.listing import list_decisions, list_versions

    task = folder / "registry/taxonomy"
    stored = task / "versions/v1"
    champion = {
        "task": "taxonomy", "version": "v1", "model": "x", "content": "c", "metrics": {"top1": 0.5}, "reason": "better",
        "promoted_at": "2026-01-01T00:00:00+00:00", "data_version": "d", "previous": "v0", "retired": ["v0"],
    }  # fmt: skip
    line = {"at": "2026", "decision": "promoted", "version": "v1", "reason": "better", "metrics": {"top1": 0.5}}

    def run(data: bytes) -> None:
        first, _, second = data.partition(b"\n---\n")
        stored.mkdir(parents=True, exist_ok=True)  # a champion may have named it as old
        (stored / "model.safetensors").write_bytes(b"weights")
        (task / "champion.json").write_bytes(first)
        (task / "history.jsonl").write_bytes(second)
        (stored / "version.json").write_bytes(first)
        known = Registry(folder / "registry")
        known.champion("taxonomy")
        list(list_versions(str(folder / "registry"), "taxonomy"))
        known.prune("taxonomy", 5)
        list(list_decisions(str(folder / "registry"), "taxonomy"))

    return [json.dumps(champion).encode() + b"\n---\n" + json.dumps(line).encode() + b"\n"], run


def parameters(folder: Path) -> Target:
    """Pipeline parameters: a YAML file, and `--set` strings after a line of dashes."""
    from pipelines.packages import parameters as read

    path = folder / "p.yaml"

    def run(data: bytes) -> None:
        first, _, second = data.partition(b"\n---\n")
        path.write_bytes(first)
        read("retrain", second.decode(errors="surrogateescape").splitlines(), path)

    whole = {"epochs": 3, "min_gain": 0.1, "strict": True, "tasks": ["taxonomy"], "catalog": "x", "training_pool": {}}
    return [
        json.dumps(whole).encode(),
        b"epochs: 3\nmin_gain: 0.1\nstrict: true\ntasks: [taxonomy]\n\n---\nepochs=4\nfloor=0.5\nstrict=false",
    ], run


def settings(folder: Path) -> Target:
    """Training settings, `--set` strings of every task; the first byte says of which."""
    from vitrine.settings import Settings, parse_settings

    def below(kind: type[Settings]) -> list[type[Settings]]:
        return [kind, *(found for child in kind.__subclasses__() for found in below(child))]

    kinds = below(Settings)

    def run(data: bytes) -> None:
        parse_settings(kinds[data[0] % len(kinds) if data else 0], data[1:].decode(errors="replace").splitlines())

    return [b"\0epochs=3\nlearning_rate=1e-3", b"\x09pairs=1:1:4\nmargin=0.5", b"\x01gammas=0,0.5"], run


def rules(folder: Path) -> Target:
    """Rules of the quality report, on top of the shipped ones."""
    from vitrine.quality.settings import load_settings

    path = folder / "rules.yaml"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        load_settings(path)

    whole = {"rules": {"blank": {"fail_above": 0.1, "severity": "error"}}, "settings": {"min_side": 10}}
    return [
        json.dumps(whole).encode(),
        b"rules: {blank: {fail_above: 0.1, severity: error}}\nsettings: {min_side: 10}\n",
    ], run


def reference(folder: Path) -> Target:
    """reference.json of a drift reference."""
    import pandas as pd

    from vitrine.monitoring.drift import REFERENCE, TABLE, read_reference

    pd.DataFrame({"readable": [True]}).to_parquet(folder / TABLE)

    def run(data: bytes) -> None:
        (folder / REFERENCE).write_bytes(data)
        read_reference(folder)

    known = {"labels": {"category": {"A": 1}}, "photos": 1, "data_version": "d", "model": "", "rare_labels": {}}
    return [json.dumps(known | {"rules": {}}).encode()], run


TARGETS: dict[str, Callable[[Path], Target]] = {
    found.__name__: found
    for found in (
        csv, parquet, mapping, dvc, listing, photos, config, tensors, index, codes, registry, parameters, settings,
        rules, reference,
    )
}  # fmt: skip


def mutated(data: bytes, most: int, seed: int) -> bytes:
    """Every other time a value of the JSON in `data` is replaced, doubled or dropped; else libFuzzer's own mutation."""
    import atheris

    random = Random(seed)
    parts = data.split(b"\n---\n")
    which = random.randrange(len(parts))
    start = parts[which][:1] if parts[which][1:2] in (b"{", b"[") else b""
    try:
        whole = [json.loads(parts[which][len(start) :])]
    except (ValueError, RecursionError):
        return atheris.Mutate(data, most)
    if random.random() < 0.3:
        return atheris.Mutate(data, most)
    holder, key = whole, 0
    while isinstance(inner := holder[key], dict | list) and inner and random.random() < 0.8:
        holder, key = inner, random.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
    action = random.random()
    if action < 0.15 and holder is not whole:
        del holder[key]
    elif action < 0.3 and isinstance(holder, dict):
        holder[random.choice(["x", "", "../x", *holder])] = holder[key]
    elif action < 0.4 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = random.choice(ODD)
    try:
        parts[which] = start + json.dumps(whole[0]).encode()
    except (ValueError, RecursionError):
        return atheris.Mutate(data, most)
    return b"\n---\n".join(parts)[:most]


def child(name: str, out: Path, seconds: int) -> None:
    """Fuzzes one target in this process, which libFuzzer ends."""
    import atheris

    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=out))
    os.environ["VITRINE_CACHE"] = str(folder / "cache-of-vitrine")
    with atheris.instrument_imports(include=["vitrine", "pipelines"], enable_loader_override=False):
        from vitrine.errors import InputError

        seeds, run = TARGETS[name](folder)
        for seed in seeds:  # what is imported late is imported now
            with contextlib.suppress(InputError):
                run(seed)
    (out / "corpus").mkdir(exist_ok=True)
    for i, seed in enumerate(seeds):
        (out / f"corpus/seed-{i}").write_bytes(seed)
    counts = json.loads((out / "counts.json").read_text())
    written = time.monotonic()

    def test(data: bytes) -> None:
        nonlocal written
        counts["tried"] += 1
        started = time.monotonic()
        try:
            run(data)
            counts["accepted"] += 1
        except InputError as error:
            counts["refused"] += 1
            if len(str(error).splitlines()) > 1:
                keep(counts, out, data, "message of several lines", str(error))
        except Exception as error:
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "atheris" not in frame.filename]
            own = [frame for frame in frames if "/vitrine/" in frame.filename and "fuzz.py" not in frame.filename]
            last = (own or frames)[-1]
            place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            keep(counts, out, data, place, traceback.format_exc())
        ended = time.monotonic()
        counts["slowest"] = max(counts["slowest"], round(ended - started, 2))
        if ended - written > 1:
            written = ended
            (out / "counts.json").write_text(json.dumps(counts))

    options = [f"-max_total_time={seconds}", f"-timeout={HANG}", f"-rss_limit_mb={MEMORY}", "-max_len=65536", "-seed=1"]
    atheris.Setup(
        [sys.argv[0], str(out / "corpus"), f"-artifact_prefix={out}/", *options], test, custom_mutator=mutated
    )
    atheris.Fuzz()


def keep(counts: dict, out: Path, data: bytes, place: str, told: str) -> None:
    """Notes a crash; the first input at each place is kept."""
    if place not in counts["crashes"]:
        name = f"crash-{len(counts['crashes'])}"
        (out / name).write_bytes(data)
        (out / f"{name}.txt").write_text(told)
    counts["crashes"][place] = counts["crashes"].get(place, 0) + 1


def fuzz(name: str, out: Path, seconds: int) -> dict:
    """Fuzzes one target in processes of its own until the time is up."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    empty = {"tried": 0, "refused": 0, "accepted": 0, "slowest": 0.0, "crashes": {}}
    (out / "counts.json").write_text(json.dumps(empty))
    command = [sys.executable, __file__, "--out", str(out), "--child", name]
    end = time.monotonic() + seconds
    ended: dict[str, int] = {}
    with (out / "log").open("w") as log:
        while (left := int(end - time.monotonic())) > 0:
            done = subprocess.run(
                [*command, "--seconds", str(left)], stdout=log, stderr=log, check=False, timeout=seconds + 300
            )
            if done.returncode:  # a hang, too much memory, or a crash of native code
                ended[f"process ended ({done.returncode}; see log)"] = 1 + len(ended)
                if len(ended) > 20:
                    break
    for folder in out.glob("fuzz-*"):
        shutil.rmtree(folder)
    counts = json.loads((out / "counts.json").read_text())
    counts["crashes"].update(ended)
    return counts


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.out.absolute(), given.seconds)
        return 0
    print("| target | tried | refused | accepted | crashes | slowest, s |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    crashed = False
    for name in given.targets or TARGETS:
        counts = fuzz(name, given.out.absolute() / name, given.seconds)
        numbers = [f"{counts[key]:,}" for key in ("tried", "refused", "accepted")]
        print("|", " | ".join([name, *numbers, str(len(counts["crashes"])), str(counts["slowest"])]), "|", flush=True)
        for place, count in counts["crashes"].items():
            print(f"  {name}: {place}, {count} times", file=sys.stderr, flush=True)
        crashed = crashed or bool(counts["crashes"])
    return int(crashed)


if __name__ == "__main__":
    sys.exit(main())
