"""What `make audit` checks of the packages Vitrine stands on, and the bill of materials of the image.

    python .ci/audit.py [SBOM.json]

Every line of requirements*.txt is pinned and has hashes; every installed package has a licence that may be shipped with
an Apache-2.0 product; both without a network. What is pinned is looked up in the OSV database of vulnerabilities, in
one request, where it can be reached; where not, that is said. Exit code 1: something is not as it should be.
"""

import importlib.metadata
import json
import re
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
OSV = "https://api.osv.dev/v1/querybatch"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(\[[^\]]*\])?==([^\s;\\]+)")

# Permissive licences. MPL-2.0, EPL-2.0 and ZPL bind changes of their own files only, and none of them is changed here;
# so does LGPL for a library that is imported; each package that has it is argued below.
ALLOWED = re.compile(
    r"MIT(-0|-CMU| License)?|Apache.*|(BSD|0BSD|\d-Clause BSD|New BSD|\d-clause BSD|BSD[ -]\d-Clause)( License)?|ISC.*"
    r"|PSF.*|Python Software Foundation License|MPL-2\.0|Mozilla Public License 2\.0 \(MPL 2\.0\)|EPL-2\.0|EPLv1"
    r"|ZPL-2\.1|Zope Public License|BSL-1\.0|Zlib|CC0-1\.0|CNRI-Python|TCL|HPND|Unlicense|The Unlicense.*|Dual License",
    re.IGNORECASE,
)
ARGUED = {  # packages with another licence, or none in their metadata, and why they may be used
    "pygit2": "GPLv2 with an exception for linking, which lifts it for what imports it",
    "pi-heif": "a wrapper (BSD) of libheif and libde265 (LGPLv3), linked dynamically; it decodes only",
    "cuda-toolkit": "a name for the nvidia packages below",
}
PROPRIETARY = re.compile(r"nvidia-")  # CUDA, redistributable under NVIDIA's terms; torch's wheels need it


def pins(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Package -> version and SHA-256 hashes, of a requirements file.

    Raises:
        ValueError: if a line is not pinned or has no hash.
    """
    found = {}
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    for line in (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")):
        pinned, hashes = PINNED.match(line), re.findall(r"--hash=sha256:([0-9a-f]{64})", line)
        if not pinned or not hashes:
            raise ValueError(f"{path.name}: {line.split()[0]} is not pinned by version and hash")
        found[canonical(pinned[1])] = (pinned[3], hashes)
    return found


def canonical(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(package: importlib.metadata.Distribution) -> str:
    """What a package says its licence is, as an expression or the names of several that all hold."""
    about = package.metadata
    if expression := about.get("License-Expression"):
        return expression
    named = (about.get("License") or "").strip().splitlines()
    known = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier", []) if line.startswith("License ::")]
    known = [name for name in known if name not in ("OSI Approved", "Other/Proprietary License")]
    short = named[0] if named and len(named[0]) < 60 else ""
    return short if " OR " in short or "|" in short or not known else " AND ".join(known)


def may_be_shipped(package: str, named: str) -> bool:
    """Whether a licence expression allows what an Apache-2.0 product does with it."""
    if package in ARGUED or PROPRIETARY.match(package):
        return True
    either = re.split(r"\s+OR\s+|\s*\|\s*|;", named.replace("(", " ").replace(")", " ")) if named else [""]
    if "MPL 2.0" in named:
        either = [named]
    return any(
        all(ALLOWED.fullmatch(part.partition(" WITH ")[0].strip()) for part in re.split(r"\s+AND\s+", one))
        for one in either
    )


def complaints() -> list[str]:
    """What is wrong with pins and licences."""
    wrong = []
    for name in ("requirements.txt", "requirements-dev.txt"):
        try:
            pins(ROOT / name)
        except ValueError as error:
            wrong.append(str(error))
        text = (ROOT / name).read_text(encoding="utf-8")
        if re.search(r"^\s*(--(extra-)?index-url|--find-links|-e )|^\S+ @ ", text, re.MULTILINE):
            wrong.append(f"{name}: names an address to download from")
    for package in importlib.metadata.distributions():
        name, named = canonical(package.name), licence(package)
        if not may_be_shipped(name, named):
            wrong.append(f"{name} {package.version}: licence {named or 'unknown'!r}; allow it here or do without")
    return sorted(set(wrong))


def vulnerabilities(address: str = OSV) -> list[str]:
    """What OSV knows against the pinned versions, a line each.

    Raises:
        OSError: if it cannot be reached.
        ValueError: if something else answers.
    """
    asked = sorted({(name, pin[0]) for file in ROOT.glob("requirements*.txt") for name, pin in pins(file).items()})
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in asked]
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps({"queries": queries}).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        results = json.loads(answer.read())["results"]
    return [
        f"{name} {version}: {known['id']}, see https://osv.dev/{known['id']}"
        for (name, version), result in zip(asked, results, strict=True)
        for known in result.get("vulns", ())
    ]


def bill_of_materials() -> dict[str, object]:
    """CycloneDX 1.5 of the image's Python packages: name, version, address, licence, hashes of every pinned file."""
    installed = {canonical(package.name): licence(package) for package in importlib.metadata.distributions()}
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "hashes": [{"alg": "SHA-256", "content": value} for value in hashes],
            **({"licenses": [{"license": {"name": installed[name]}}]} if installed.get(name) else {}),
        }
        for name, (version, hashes) in sorted(pins(ROOT / "requirements.txt").items())
    ]
    version = importlib.metadata.version("vitrine")
    about = {"type": "container", "bom-ref": "vitrine", "name": "vitrine", "version": version}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": about},
        "components": components,
        "dependencies": [{"ref": "vitrine", "dependsOn": [component["bom-ref"] for component in components]}],
    }


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(bill_of_materials(), indent=1) + "\n", encoding="utf-8")
    found = complaints()
    print("\n".join(found) or "pins and licences: as they should be")
    try:
        known = vulnerabilities()
        print("\n".join(known) or "vulnerabilities: none known of the pinned versions")
    except OSError as error:
        known = []
        print(f"vulnerabilities: not checked, {OSV} cannot be reached ({error})")
    sys.exit(bool(found or known))
