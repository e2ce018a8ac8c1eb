"""What the image is built of reaches the build; `make test-containers` builds it."""

import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_all_that_is_copied_reaches_the_build():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines  # nothing else does
    sent = {line[1:] for line in lines if line.startswith("!")}
    copies = [
        line.split()[1:-1] for line in (ROOT / "Containerfile").read_text().splitlines() if line.startswith("COPY")
    ]
    copied = {source for sources in copies if not sources[0].startswith("--from") for source in sources}
    assert "requirements.txt" in copied
    assert {source.partition("/")[0] for source in copied} <= sent
    assert all((ROOT / source).exists() for source in copied)


LOADED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
files = {module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)}
with open("/proc/self/maps") as maps:
    files |= {line.split(maxsplit=5)[5].strip() for line in maps if "/site-packages/" in line}
print(json.dumps(sorted(files)))
"""
USED = [
    "boto3", "components.train", "cv2", "dvc.repo", "evidently", "faiss", "great_expectations", "kfp.kubernetes", "kubernetes",
    "matplotlib.pyplot", "onnxruntime", "onnxscript", "pandas", "pi_heif", "pipelines.local", "plotly.graph_objects",
    "pyarrow.dataset", "scipy.stats", "sklearn.manifold", "torch.distributed.run", "torch.onnx", "torchvision",
    "vitrine.cli", "vitrine.evaluate", "vitrine.quality.validate", "vitrine.serving.run", "vitrine.train",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the image's find, and /proc")
def test_nothing_is_left_out_that_steps_load():
    command = re.search(r"RUN (find .*?) -exec rm -rf", (ROOT / "Containerfile").read_text(), re.DOTALL)[1]
    packages = Path(sysconfig.get_path("purelib"))
    listed = subprocess.run(
        ["sh", "-c", command.replace("/opt/venv/lib", str(packages))], capture_output=True, check=True, text=True
    )
    gone = listed.stdout.splitlines()
    assert {str(packages / name) for name in ("torch/include", "scipy/stats/tests")} <= set(gone)
    assert not [path for path in gone if "evidently" in path]  # whose `tests` are no tests
    done = subprocess.run([sys.executable, "-c", LOADED, *USED], capture_output=True, check=True, text=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert any("libtorch" in path for path in loaded)
    assert [path for path in loaded if path.startswith(tuple(gone))] == []
