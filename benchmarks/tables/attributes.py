"""The tables and curves of the attributes paper (MTSS) on real photos.

    VITRINE_DATASETS=... python benchmarks/tables/attributes.py [--work runs/attributes] [--parts students bce ...]

Each run (a part, a seed) trains and measures in a process of its own and appends a line to WORK/results.jsonl; what is
there is not run again. `--minutes` ends after the run that passes it, for machines that are shared. At the end the
tables so far are printed as Markdown.

students   teachers and student (Table 4), per-class changes (Fig. 8)
bce        the same nets with logistic outputs, one type each (Table 3)
single     S-single, a student of one teacher, beside S-multi, that of all (Table 5)
corrupted  a student that saw corrupted photos, on the 15 corruptions at severity 3 (Table 7)
domains    a student that saw unlabelled clothing photos (Table 6)
size       teachers and student with a share of the training photos (Fig. 6c)
prior      teachers, student and BCE once more, answering labels as often as they come (prior=true)
new        a class that was not taught, from five photos of it
gamma, dim teachers under each gamma and D (Fig. 6a-b)
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TYPES = ("gender", "colour", "season", "usage", "pattern", "sleeve_length", "neck", "fit")
SPARSE = ("pattern", "sleeve_length", "neck", "fit")
PARTS = ("students", "bce", "prior", "corrupted", "domains", "single", "new", "gamma", "dim", "size")
SEEDS = (0, 1, 2)
COMMON = {"image_size": 48, "epochs": 8, "workers": 1}
BRIEF = {"views": 1}  # students that are compared with one another only see each photo once a pass: a third of the time
SEVERITIES = (3,)
UNTAUGHT = (("colour", "Red"), ("pattern", "Checked"), ("sleeve_length", "Sleeveless"), ("usage", "Ethnic"))
SHOTS = 5
# Words of the two data sets for the same garment.
SHARED = {
    "T-Shirt": "Tshirts", "Shirt": "Shirts", "Dress": "Dresses", "Shorts": "Shorts", "Skirt": "Skirts",
    "Shoes": "Shoes", "Hat": "Hats", "Pants": "Pants", "Outwear": "Outerwear",
}  # fmt: skip
ARTICLES = {
    "Tshirts": "Tshirts", "Shirts": "Shirts", "Dresses": "Dresses", "Shorts": "Shorts", "Skirts": "Skirts",
    "Casual Shoes": "Shoes", "Sports Shoes": "Shoes", "Formal Shoes": "Shoes", "Heels": "Shoes", "Flats": "Shoes",
    "Caps": "Hats", "Hat": "Hats", "Jeans": "Pants", "Trousers": "Pants", "Track Pants": "Pants",
    "Leggings": "Pants", "Jackets": "Outerwear", "Sweaters": "Outerwear", "Sweatshirts": "Outerwear",
}  # fmt: skip


def main() -> None:
    """Runs what is missing and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/attributes"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    work = options.work.absolute()
    if options.run:
        part, seed = options.run
        for line in MEASURES[part](work, int(seed)):
            print("RESULT " + json.dumps({"part": part, "seed": int(seed)} | line), flush=True)
        return
    prepare(work)
    results, began = work / "results.jsonl", time.monotonic()
    for part in [name for name in PARTS if name in options.parts]:
        for seed in options.seeds:
            if any(line["part"] == part and line["seed"] == seed for line in read(results)):
                continue
            if time.monotonic() - began > 60 * options.minutes:
                break
            command = [sys.executable, __file__, f"--work={work}", "--run", part, str(seed)]
            started = time.monotonic()
            ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if ended.returncode:
                print(f"{part} {seed}: failed", flush=True)
                continue
            lines = [line.removeprefix("RESULT ") for line in ended.stdout.splitlines() if line.startswith("RESULT ")]
            with results.open("a") as handle:
                handle.writelines(line + "\n" for line in lines)
            print(f"{part} {seed}: {time.monotonic() - started:.0f} s", flush=True)
    print(page(read(results)))


def datasets() -> Path:
    """The folder of public data sets."""
    named = os.environ.get("VITRINE_DATASETS")
    if not named:
        raise SystemExit("VITRINE_DATASETS: name the folder that holds the fashion and clothing data sets")
    return Path(named)


def prepare(work: Path) -> None:
    """Ingested, cleaned and split catalogs, with the columns that are used here."""
    from vitrine.catalog import read_catalog
    from vitrine.catalog.ingest import ingest
    from vitrine.catalog.table import write_catalog
    from vitrine.quality.clean import clean_catalog
    from vitrine.quality.split import split_catalog

    work.mkdir(parents=True, exist_ok=True)
    for name in ("fashion", "clothing"):
        if (work / name).exists():
            continue
        for folder, make in (
            ("raw", lambda out, name=name: ingest(str(datasets() / name), out, name)),
            ("cleaned", lambda out, name=name: clean_catalog(read_catalog(work / f"{name}-raw"), out)),
            ("parted", lambda out, name=name: split_catalog(read_catalog(work / f"{name}-cleaned"), out)),
        ):
            if not (work / f"{name}-{folder}").exists():
                make(work / f"{name}-{folder}")
        catalog = read_catalog(work / f"{name}-parted")
        table = catalog.table.copy()
        if name == "fashion":
            article = table["category"].str.rpartition("/")[2].map(ARTICLES).fillna("")
            kept = [column for column in table if not column.startswith("attr:") or column[5:] in TYPES]
            table = table[kept].assign(**{"attr:article": article})
        else:
            table["attr:article"] = table["attr:garment"].map(SHARED).fillna("")
        write_catalog(catalog.with_table(table), work / name)


def teacher(work: Path, kind: str, seed: int, **settings: Any) -> Path:
    """The model folder of a teacher on fashion, trained if it is not there."""
    changed = "".join(f"-{key}-{value}" for key, value in settings.items())
    return trained(
        work / "models" / f"teacher-{kind}-{seed}{changed}", work / "fashion", "teacher", seed, type=kind, **settings
    )


def student(work: Path, name: str, seed: int, teachers: Sequence[Path], **settings: Any) -> Path:
    """The model folder of a student on fashion."""
    named = ",".join(map(str, teachers))
    return trained(work / "models" / f"{name}-{seed}", work / "fashion", "student", seed, teachers=named, **settings)


def trained(out: Path, catalog: Path, variant: str, seed: int, share: float = 1.0, **settings: Any) -> Path:
    """A model folder, trained if it is not there, on a share of the training photos."""
    from vitrine.catalog import read_catalog
    from vitrine.train import train

    if not out.exists():
        source = read_catalog(catalog)
        table = source.table
        if share < 1:
            kept = np.random.default_rng(0).random(len(table)) < share
            table = table[kept | (table["split"] != "train")]
        overrides = [f"{key}={value}" for key, value in (COMMON | {"seed": seed} | settings).items()]
        train("attributes", variant, source.with_table(table), out, overrides, resume=True)
    return out


def measured(work: Path, model: Path, catalog: str = "fashion", corrupt: bool = False) -> dict[str, float]:
    """The figures of a model on the test photos of a catalog, or on corrupted copies of them; measured once."""
    from vitrine.catalog import read_catalog
    from vitrine.evaluate import compute_metrics, corrupted
    from vitrine.files import write_json
    from vitrine.predict import Model

    kept = work / "figures" / f"{model.name}-{catalog}{'-corrupted' * corrupt}.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    rows = read_catalog(work / catalog).of_split("test")
    loaded = Model.load(model)
    figures = corrupted(loaded, rows, SEVERITIES) if corrupt else compute_metrics(loaded.predict(rows))
    kept.parent.mkdir(exist_ok=True)
    write_json(kept, figures)
    return figures


def mean_of(work: Path, models: Sequence[Path]) -> dict[str, float]:
    """The figures of models of one type each, and their means over types."""
    found: dict[str, float] = {}
    for model in models:
        found |= {key: value for key, value in measured(work, model).items() if key.startswith("attr:")}
    for key in ("recall@1", "recall@3", "recall@5", "f1@1", "f1@3", "f1@5"):
        found[key] = float(np.mean([value for name, value in found.items() if name.endswith(f"/{key}")]))
    return found


def students(work: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Table 4, Fig. 8."""
    from vitrine.catalog import read_catalog
    from vitrine.evaluation.per_class import changes
    from vitrine.predict import apply

    teachers = [teacher(work, kind, seed) for kind in TYPES]
    yield {"what": "teachers", "figures": mean_of(work, teachers)}
    own = student(work, "student", seed, teachers)
    yield {"what": "student", "figures": measured(work, own)}
    rows = read_catalog(work / "fashion").of_split("test")
    after = {question.name: question for question in apply(own, rows).targets}
    per_class = {}
    for path in teachers:
        (question,) = apply(path, rows).targets
        per_class[question.name] = changes(question, after[question.name])
    yield {"what": "classes", "classes": per_class, "figures": {}}


def bce(work: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Table 3."""
    nets = [trained(work / "models" / f"bce-{kind}-{seed}", work / "fashion", "bce", seed, type=kind) for kind in TYPES]
    yield {"what": "bce", "figures": mean_of(work, nets)}


def prior(work: Path, seed: int) -> Iterator[dict[str, Any]]:
    """The nets of `students` and `bce` with another calibration: what `--set prior=true` comes to."""
    nets = {"teachers": [teacher(work, kind, seed) for kind in TYPES]}
    nets["student"] = [student(work, "student", seed, nets["teachers"])]
    nets["bce"] = [
        trained(work / "models" / f"bce-{kind}-{seed}", work / "fashion", "bce", seed, type=kind) for kind in TYPES
    ]
    for name, models in nets.items():
        types: dict[str, dict[str, float]] = {}
        for model in models:
            types |= with_prior(work, model)
        keys = dict.fromkeys(key for own in types.values() for key in own)
        figures = {key: float(np.mean([own[key] for own in types.values()])) for key in keys}
        yield {
            "what": name,
            "figures": figures | {f"attr:{kind}/recall@1": own["recall@1"] for kind, own in types.items()},
        }


def with_prior(work: Path, model: Path) -> dict[str, dict[str, float]]:
    """Per type recall@1, recall@3 and their mean over classes, of a net calibrated as `prior=true` does."""
    from vitrine.blocks.calibration import fit_prior
    from vitrine.catalog import read_catalog
    from vitrine.data.photo_store import PhotoStore
    from vitrine.data.truth import attribute_truth, label_matrix
    from vitrine.evaluation.metrics import recall_at_k
    from vitrine.evaluation.per_class import class_recall
    from vitrine.inference import run_net
    from vitrine.predict import load_model
    from vitrine.tasks.attributes.predictions import label_predictions, label_targets

    catalog = read_catalog(work / "fashion")
    store = PhotoStore.of_catalog(catalog, COMMON["image_size"], COMMON["workers"])
    splits = {split: np.flatnonzero(catalog.table["split"] == split) for split in ("train", "validation", "test")}
    net, config = load_model(model)
    scores = {split: run_net(net, store, splits[split])[1] for split in ("validation", "test")}
    temperatures, priors = {}, {}
    for kind, truth, labels in label_targets(config, catalog.table.iloc[splits["validation"]]):
        counts = label_matrix(attribute_truth(catalog.table.iloc[splits["train"]], kind), labels).sum(axis=0)
        targets = label_matrix(truth, labels)
        temperatures[kind], priors[kind] = fit_prior(scores["validation"][kind], targets, counts)
    known = {**config, "priors": priors}
    found = {}
    for question in label_predictions(known, scores["test"], catalog.table.iloc[splits["test"]], temperatures):
        classes = float(np.mean([recall for _, recall in class_recall(question).values()]))
        own = {f"recall@{k}": recall_at_k(question, k) for k in (1, 3)}
        found[question.name.removeprefix("attr:")] = own | {"classes": classes}
    return found


def single(work: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Table 5, on the sparse types."""
    teachers = {kind: teacher(work, kind, seed) for kind in TYPES}
    wanted = [f"attr:{kind}/" for kind in SPARSE]
    multi = student(work, "brief clean photos", seed, list(teachers.values()), **BRIEF)
    own = [student(work, f"brief single {kind}", seed, [teachers[kind]], **BRIEF) for kind in SPARSE]
    for name, nets in (("S-multi", [multi]), ("S-single", own)):
        found = {}
        for net in nets:
            found |= {key: value for key, value in measured(work, net).items() if key.startswith(tuple(wanted))}
        for key in ("recall@1", "f1@1", "recall@3"):
            found[key] = float(np.mean([found[f"{prefix}{key}"] for prefix in wanted]))
        yield {"what": name, "figures": found}


def corrupted(work: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Table 7."""
    teachers = [teacher(work, kind, seed) for kind in TYPES]
    for name, settings in (("clean photos", {}), ("and corrupted", {"corrupted": 0.25})):
        model = student(work, f"brief {name}", seed, teachers, **BRIEF, **settings)
        yield {"what": name, "figures": measured(work, model) | measured(work, model, corrupt=True)}


def domains(work: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Table 6: the article, taught on fashion and asked on clothing, beside the types of fashion."""
    teachers = [teacher(work, kind, seed) for kind in (*TYPES, "article")]
    yield {"what": "teachers", "figures": mean_of(work, teachers), "clothing": measured(work, teachers[-1], "clothing")}
    for name, settings in (("fashion", {}), ("fashion and clothing", {"unlabelled": work / "clothing"})):
        model = student(work, f"brief 9 {name}", seed, teachers, **BRIEF, **settings)
        yield {"what": name, "figures": measured(work, model), "clothing": measured(work, model, "clothing")}


def new(work: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Section 2: "prediction classes can be readily expanded"."""
    from vitrine.catalog import labels_of, read_catalog, write_catalog
    from vitrine.evaluation.per_class import class_recall
    from vitrine.predict import apply
    from vitrine.tasks.attributes.new_label import add_label

    catalog = read_catalog(work / "fashion")
    rows = catalog.of_split("test")
    for kind, label in UNTAUGHT:
        column = catalog.table[f"attr:{kind}"]
        carries = np.array([label in labels_of(cell) for cell in column])
        without = work / f"fashion without {label}"
        if not without.exists():
            write_catalog(catalog.with_table(catalog.table.assign(**{column.name: column.mask(carries, "")})), without)
        model = trained(work / "models" / f"without {label}-{seed}", without, "teacher", seed, type=kind)
        more = work / "models" / f"without {label}-{seed}-added"
        if not more.exists():
            known = catalog.table["image"][carries & (catalog.table["split"] == "train")]
            drawn = np.random.default_rng(seed).choice(known, SHOTS, replace=False)
            print(add_label(model, more, kind, label, [catalog.uri(image) for image in drawn]), file=sys.stderr)
        figures = {}
        for name, path in (("before", model), ("after", more)):
            recalls = class_recall(apply(path, rows).targets[0])
            figures["new"] = recalls.pop(label)[1]
            count = sum(photos for photos, _ in recalls.values())
            figures[f"old, {name}"] = sum(photos * recall for photos, recall in recalls.values()) / count
        yield {"what": f"{kind}: {label}", "figures": figures}


def size(work: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Fig. 6c. Fewer photos, as many steps."""
    for share in (0.1, 0.25, 0.5):
        epochs = round(COMMON["epochs"] / share)
        teachers = [teacher(work, kind, seed, share=share, epochs=epochs) for kind in TYPES]
        model = student(work, f"student-{share}", seed, teachers, share=share, epochs=epochs)
        yield {"what": f"teachers {share}", "figures": mean_of(work, teachers)}
        yield {"what": f"student {share}", "figures": measured(work, model)}


def gamma(work: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Fig. 6a."""
    for value in (0.0, 0.5, 2.0, 3.0):
        yield {
            "what": f"gamma {value:g}",
            "figures": mean_of(work, [teacher(work, k, seed, gamma=value) for k in SPARSE]),
        }


def dim(work: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Fig. 6b."""
    for value in (16, 64, 512):
        nets = [teacher(work, kind, seed, embedding_dim=value) for kind in SPARSE]
        yield {"what": f"D {value}", "figures": mean_of(work, nets)}


MEASURES = {
    "students": students, "bce": bce, "prior": prior, "single": single, "corrupted": corrupted, "domains": domains,
    "new": new, "gamma": gamma, "dim": dim, "size": size,
}  # fmt: skip


CLAIMS = (
    (("students", "student"), ("students", "teachers"), ("recall@1", "f1@1", "recall@3")),
    (("students", "teachers"), ("bce", "bce"), ("recall@1", "f1@1", "recall@3")),
    (("prior", "student"), ("prior", "teachers"), ("recall@1", "classes")),
    (("prior", "teachers"), ("prior", "bce"), ("recall@1", "classes")),
    (("single", "S-multi"), ("single", "S-single"), ("recall@1", "recall@3")),
    (("domains", "fashion"), ("domains", "teachers"), ("clothing", "recall@1")),
    (("domains", "fashion and clothing"), ("domains", "fashion"), ("clothing", "recall@1")),
    (("corrupted", "and corrupted"), ("corrupted", "clean photos"), ("corrupted/recall@3", "recall@3", "recall@1")),
)


def read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """All tables so far, in percent: mean over seeds ± standard deviation (of one seed, none)."""
    parts = []
    for part in PARTS:
        own = [line for line in lines if line["part"] == part and line["figures"]]
        if not own:
            continue
        names = list(dict.fromkeys(line["what"] for line in own))
        keys = ["recall@1", "f1@1", "recall@3", *(f"attr:{kind}/recall@1" for kind in TYPES)]
        extra = {"corrupted": ["corrupted/recall@1", "corrupted/recall@3"], "prior": ["classes"]}.get(part, [])
        if part == "domains":
            extra = ["clothing"]
        if part == "new":
            keys, extra = ["new", "old, before", "old, after"], []
        header = ["", *(key.removeprefix("attr:").removesuffix("/recall@1") for key in [*keys, *extra]), "seeds"]
        rows = []
        for name in names:
            runs = [line for line in own if line["what"] == name]
            cells = [_spread([line["figures"].get(key) for line in runs]) for key in keys]
            cells += [
                _spread(
                    [
                        line["clothing"]["attr:article/recall@1"] if key == "clothing" else line["figures"][key]
                        for line in runs
                    ]
                )
                for key in extra
            ]
            rows.append([name, *cells, str(len({line["seed"] for line in runs}))])
        table = [header, ["---"] * len(header), *rows]
        parts.append(f"## {part}\n\n" + _markdown(table))
    return "\n".join(parts + differences(lines) + per_class([line for line in lines if "classes" in line]))


def differences(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is claimed, as points of difference seed by seed: the seeds share teachers, and so much of their luck."""
    figures: dict[tuple[str, str], dict[int, Mapping[str, float]]] = {}
    for line in lines:
        if "clothing" in line:
            line = line | {"figures": line["figures"] | {"clothing": line["clothing"]["attr:article/recall@1"]}}
        figures.setdefault((line["part"], line["what"]), {})[line["seed"]] = line["figures"]
    table = [["", "figure", "mean", "seeds"], ["---"] * 4]
    for (part, after), (other, before), keys in CLAIMS:
        new, old = figures.get((part, after), {}), figures.get((other, before), {})
        for key in keys:
            change = [100 * (new[seed][key] - old[seed][key]) for seed in sorted(new.keys() & old.keys())]
            if change:
                each = ", ".join(f"{value:+.1f}" for value in change)
                table.append([f"{part}: {after} against {before}", key, f"{np.mean(change):+.1f}", each])
    return ["## Differences\n\n" + _markdown(table)] if len(table) > 2 else []


def per_class(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the student does to single classes (Fig. 8): recall@1, means over seeds."""
    found: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    for line in lines:
        for kind, rows in line["classes"].items():
            for name, count, before, after in rows:
                found.setdefault((kind.removeprefix("attr:"), name), []).append((count, before, after))
    if not found:
        return []
    changes = {key: float(np.mean([after - before for _, before, after in own])) for key, own in found.items()}
    table = [["type", "classes", "gain", "lose", "most gained", "most lost", "mean over classes"], ["---"] * 7]
    for kind in TYPES:
        own = {name: change for (of, name), change in changes.items() if of == kind}
        most, least = max(own, key=own.__getitem__), min(own, key=own.__getitem__)
        gain, lose = sum(change > 0 for change in own.values()), sum(change < 0 for change in own.values())
        ends = [f"{name} {100 * own[name]:+.1f}" for name in (most, least)]
        means = [np.mean([pair[i] for (of, _), pairs in found.items() if of == kind for pair in pairs]) for i in (1, 2)]
        both = f"{100 * means[0]:.1f} to {100 * means[1]:.1f}"
        table.append([kind, str(len(own)), str(gain), str(lose), *ends, both])
    return ["## classes, teachers to student\n\n" + _markdown(table)]


def _markdown(table: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in table) + "\n"


def _spread(values: Sequence[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    if not known:
        return ""
    return f"{np.mean(known):.1f}" + (f" ± {np.std(known, ddof=1):.1f}" if len(known) > 1 else "")


if __name__ == "__main__":
    main()
