"""Packages are pinned by hash and may be shipped; weights are tensors, and nothing unpickles."""

import ast
import importlib.util
import json
from pathlib import Path

import pytest
from json_server import JsonServer

ROOT = Path(__file__).parents[1]
CODE = sorted(path for folder in ("src", "components", "pipelines") for path in (ROOT / folder).rglob("*.py"))


@pytest.fixture(scope="module")
def audit():
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci/audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pins_and_licences(audit):
    assert audit.complaints() == []


@pytest.mark.parametrize(
    ("named", "fine"),
    [
        ("MIT", True), ("Apache-2.0 AND MIT", True), ("EPL-2.0 OR GPL-2.0-or-later", True), ("GPLv2 | EPLv1", True),
        ("Apache-2.0 WITH LLVM-exception", True), ("GPL-3.0-only", False), ("AGPL-3.0-or-later", False),
        ("MIT AND GPL-2.0-only", False), ("LGPL-3.0", False), ("GNU General Public License v3 (GPLv3)", False),
        ("Mozilla Public License 2.0 (MPL 2.0)", True), ("", False), ("SSPL-1.0", False),
    ],
)  # fmt: skip
def test_which_licences_may_be_shipped(audit, named, fine):
    assert audit.may_be_shipped("some-package", named) == fine


@pytest.mark.parametrize("text", ["a\n", "a>=1 --hash=sha256:" + 64 * "0", "a==1\n", "-e .\n", "a==1 --hash=md5:0\n"])
def test_what_is_not_pinned_is_named(audit, tmp_path, text):
    (tmp_path / "requirements.txt").write_text(text)
    with pytest.raises(ValueError, match="is not pinned by version and hash"):
        audit.pins(tmp_path / "requirements.txt")


def test_the_bill_of_materials_has_every_pin(audit):
    bill = json.loads(json.dumps(audit.bill_of_materials()))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    pins = audit.pins(ROOT / "requirements.txt")
    assert {part["name"]: part["version"] for part in bill["components"]} == {
        name: pin[0] for name, pin in pins.items()
    }
    assert all(part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}" for part in bill["components"])
    assert all(part["hashes"] for part in bill["components"])


def test_known_vulnerabilities_are_named(audit):
    class Osv(JsonServer):
        def answer(self, asked):
            queries = json.loads(asked.body)["queries"]
            return {
                "results": [{"vulns": [{"id": "PYSEC-1"}]} if q["package"]["name"] == "pillow" else {} for q in queries]
            }

    server = Osv()
    try:
        (line,) = audit.vulnerabilities(server.address)
    finally:
        server.close()
    assert line.startswith("pillow ")
    assert "PYSEC-1" in line


def called(tree):
    """Every call in a file, by the dotted name that is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_that_is_read_can_run(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.partition(".")[0] for name in names} & {
        "pickle",
        "cloudpickle",
        "dill",
        "joblib",
        "shelve",
        "marshal",
    }
    for name, words in called(tree):
        assert name not in ("eval", "exec", "yaml.load", "yaml.unsafe_load", "pd.read_pickle", "pandas.read_pickle")
        assert name.rpartition(".")[2] not in ("extractall", "unpack_archive", "extract")  # no archive is unpacked
        if name.endswith(".extractfile"):  # read in memory, and known by its MD5
            assert path.name == "packs.py"
        assert "trust_remote_code" not in words
        if name == "torch.load":
            assert words.get("weights_only") == "True"
        if name in ("np.load", "numpy.load"):
            assert words.get("allow_pickle") == "False"
