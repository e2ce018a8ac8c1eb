"""Copies and damaged photos found by `vitrine validate`, cleanvision and imagededup among the same photos, in one run.

    python -m venv peers && peers/bin/pip install -r benchmarks/peers.txt
    python benchmarks/peers.py --peers peers/bin/python [--sets clothing grocery fashion] [--seed 0] [--more]

Of each set of real photos 540 are made: 307 as they are, 140 copies of ten of them each in 14 ways, and 93 damaged, all
drawn by the seed. Each tool runs in a process of its own, from the start of Python to the end; wall time and processor
time are of that process and its children. A copy is found when it is in one set with its original; a false pair is one
of photos that stem from different ones. A damaged photo is found when the tool names it under its rule. `--more` plants
ten further kinds of copies as well. Looked for are near and turned copies, with each tool's own settings.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ORIGINALS, EACH = 307, 10
SPOILT = {"dark_photos": 20, "blurred_photos": 20, "odd_aspect": 10, "bright_photos": 10, "low_information": 10}
SPOILT |= {"mostly_background": 10, "watermarks": 13}
CLEANVISION = {
    "dark_photos": "is_dark_issue",
    "blurred_photos": "is_blurry_issue",
    "odd_aspect": "is_odd_aspect_ratio_issue",
    "bright_photos": "is_light_issue",
    "low_information": "is_low_information_issue",
}
Truth = dict[str, dict[str, str]]  # by file: what was done (`kind`), to which photo (`of`), the rule that names it


def plant(source: Path, out: Path, seed: int, more: bool) -> Truth:
    """Writes the photos of one set and what is true of each."""
    import numpy as np
    from peer_plants import COPIES, DAMAGE, MORE_COPIES

    from vitrine.catalog import read_catalog
    from vitrine.catalog.ingest import ingest
    from vitrine.catalog.photos import open_photo, read_photo

    ingest(source, out / "whole", source.name)
    catalog = read_catalog(out / "whole")
    uris = [catalog.uri(image) for image in catalog.table["image"].unique()]
    kinds = COPIES | (MORE_COPIES if more else {})
    count = ORIGINALS + sum(SPOILT.values())
    random = np.random.default_rng(seed)
    chosen = [uris[place] for place in random.choice(len(uris), count, replace=False)]
    photos, truth = out / "photos", Truth()
    photos.mkdir()

    def add(name: str, data: bytes, **true: str) -> None:
        (photos / name).write_bytes(data)
        truth[name] = {"kind": "", "of": "", "rule": ""} | true

    for number in range(ORIGINALS):
        add(f"{number:04}.jpg", read_photo(chosen[number]), of=str(number))
    for place, (kind, change) in enumerate(kinds.items()):
        for number in random.choice(ORIGINALS, EACH, replace=False).tolist():
            data = change(open_photo(chosen[number])) or read_photo(chosen[number])
            suffix = ".png" if data.startswith(b"\x89PNG") else ".jpg"
            add(f"{number:04}-{place}{suffix}", data, kind=kind, of=str(number))
    spoilt = iter(chosen[ORIGINALS:])
    for rule, wanted in SPOILT.items():
        for number, change in zip(range(wanted), itertools.cycle(DAMAGE[rule].values()), strict=False):
            add(
                f"{rule}-{number}.jpg",
                change(open_photo(next(spoilt))),
                of=rule if rule == "low_information" else f"{rule}-{number}",
                rule=rule,
            )
    return truth


def run_vitrine(folder: Path, out: Path) -> None:
    """The command line, and then what its page and its copies say, which costs no more than reading them."""
    from vitrine.catalog import read_catalog
    from vitrine.quality.defects import defects
    from vitrine.quality.duplicates import linked
    from vitrine.quality.links import copy_links
    from vitrine.quality.overlays import watermarks
    from vitrine.quality.scan import scan_photos
    from vitrine.quality.settings import load_settings

    catalog, settings = read_catalog(folder), load_settings()
    photos = scan_photos(catalog)
    links = copy_links(catalog, photos, settings.near_duplicate_distance)
    names = [Path(image).name for image in catalog.table["image"]]
    pairs = [
        (names[one], names[other])
        for link in (*links.exact, links.near, links.turned)
        for one, other in zip(link[0].tolist(), link[1].tolist(), strict=True)
    ]
    named = {
        rule: [name for name, bad in zip(names, mask, strict=True) if bad]
        for rule, mask in defects(photos, settings).items()
    }
    groups = linked(len(photos), [*links.exact, links.near])
    marked = watermarks(catalog, photos, groups, settings.label_noise_rows)
    named["watermarks"] = [name for name, bad in zip(names, marked, strict=True) if bad]
    out.write_text(json.dumps({"pairs": pairs, "named": named}))


def run_cleanvision(folder: Path, out: Path) -> None:
    """All of its checks."""
    from cleanvision import Imagelab

    lab = Imagelab(data_path=str(folder))
    lab.find_issues(verbose=False)
    sets = [*lab.info["exact_duplicates"]["sets"], *lab.info["near_duplicates"]["sets"]]
    pairs = [tuple(Path(name).name for name in pair) for each in sets for pair in itertools.combinations(each, 2)]
    named = {
        rule: [Path(name).name for name in lab.issues.index[lab.issues[column]]] for rule, column in CLEANVISION.items()
    }
    out.write_text(json.dumps({"pairs": pairs, "named": named}))


def run_imagededup(folder: Path, out: Path) -> None:
    """PHash at its default distance."""
    from imagededup.methods import PHash

    found = PHash(verbose=False).find_duplicates(image_dir=str(folder))
    pairs = [(one, other) for one, others in found.items() for other in others if one < other]
    out.write_text(json.dumps({"pairs": pairs, "named": {}}))


RUNS = {"vitrine": run_vitrine, "cleanvision": run_cleanvision, "imagededup": run_imagededup}


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall and processor time of a command and its children, seconds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def judged(truth: Truth, found: dict[str, Any]) -> dict[str, Any]:
    """How many of each kind were found, and false pairs and false alarms."""
    groups = {name: name for name in truth}

    def leader(name: str) -> str:
        while groups[name] != name:
            name = groups[name]
        return name

    false = set()
    for one, other in found["pairs"]:
        if truth[one]["of"] != truth[other]["of"]:
            false.add(tuple(sorted((one, other))))
        groups[leader(one)] = leader(other)
    kinds: dict[str, int] = {}
    for name, true in truth.items():
        if true["kind"]:
            kinds[true["kind"]] = kinds.get(true["kind"], 0) + (leader(name) == leader(f"{int(true['of']):04}.jpg"))
    named = {rule: sum(truth[name]["rule"] == rule for name in names) for rule, names in found["named"].items()}
    untouched = {name for names in found["named"].values() for name in names if not truth[name]["rule"]}
    untouched = {name for name in untouched if not truth[name]["kind"]}
    return {"kinds": kinds, "false": len(false), "pairs": sorted(false), "named": named, "alarms": len(untouched)}


def main() -> None:
    """Prints both tables for each set, and the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="Python of the peers' environment")
    parser.add_argument("--sets", nargs="+", default=["clothing", "grocery", "fashion"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each tool, of which the fastest counts")
    parser.add_argument("--more", action="store_true")
    options = parser.parse_args()
    for name in options.sets:
        with tempfile.TemporaryDirectory() as home:
            work = Path(home)
            truth = plant(Path(os.environ["VITRINE_DATASETS"]) / name, work, options.seed, options.more)
            own = [sys.executable, "-m", "vitrine.cli"]
            subprocess.run([*own, "ingest", work / "photos", work / "catalog", "--format", "folder"], check=True)
            results, times = {}, {}
            for tool, place in itertools.product(RUNS, range(options.rounds)):
                environment = os.environ | {"VITRINE_CACHE": str(work / f"cache{place}")}
                answer = work / f"{tool}.json"
                interpreter = sys.executable if tool == "vitrine" else str(options.peers)
                command = [interpreter, __file__, "--run", tool, str(work / "photos"), str(answer)]
                if tool == "vitrine":
                    command = [*own, "validate", str(work / "catalog"), "--report", str(work / f"report{place}")]
                times[tool] = min(times.get(tool, (1e9, 0.0)), timed(command, environment))
                if tool == "vitrine":
                    timed([interpreter, __file__, "--run", tool, str(work / "catalog"), str(answer)], environment)
                results[tool] = judged(truth, json.loads(answer.read_text()))
            report(name, len(truth), results, times)


def report(name: str, photos: int, results: dict[str, Any], times: dict[str, tuple[float, float]]) -> None:
    """Prints what was found in one set."""
    print(f"\n{name}, {photos} photos\n\n| found | {' | '.join(RUNS)} |\n| --- |{' ---: |' * len(RUNS)}")
    for kind in results["vitrine"]["kinds"]:
        print(f"| {kind}, of {EACH} | {' | '.join(str(results[tool]['kinds'][kind]) for tool in RUNS)} |")
    print(f"| false pairs | {' | '.join(str(results[tool]['false']) for tool in RUNS)} |")
    for rule, wanted in SPOILT.items():
        cells = [str(results[tool]["named"].get(rule, "–")) for tool in RUNS]
        print(f"| {rule.replace('_', ' ')}, of {wanted} | {' | '.join(cells)} |")
    for one, other in results["vitrine"]["pairs"]:
        print(f"false pair: {one} {other}", file=sys.stderr)
    alarms = [str(results[tool]["alarms"]) if results[tool]["named"] else "–" for tool in RUNS]
    print(f"| false alarms of {ORIGINALS} | {' | '.join(alarms)} |")
    print(f"| wall time, s | {' | '.join(f'{times[tool][0]:.1f}' for tool in RUNS)} |")
    print(f"| processor time, s | {' | '.join(f'{times[tool][1]:.1f}' for tool in RUNS)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        RUNS[sys.argv[2]](Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
