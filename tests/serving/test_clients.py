"""KServe's and Triton's own clients speak to the server unchanged.

They are no dependencies (gevent, gRPC, pandas' pins): `make test-clients` gives them an environment of their own, whose
interpreter $VITRINE_CLIENTS names.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

PYTHON = os.environ.get("VITRINE_CLIENTS", "")


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="VITRINE_CLIENTS names no interpreter with kserve and tritonclient[http]"),
]
MODELS = """
import json, sys
import yaml
import kserve.models, kubernetes.client

def kind_of(name):
    return getattr(kserve.models, name, None) or getattr(kubernetes.client, name, None)

def unknown(value, kind, place):
    if kind.startswith("list["):
        return [one for i, own in enumerate(value) for one in unknown(own, kind[5:-1], f"{place}[{i}]")]
    model = kind_of(kind)
    if model is None or not isinstance(value, dict):
        return []
    keys = {json_name: name for name, json_name in model.attribute_map.items()}
    found = [f"{place}.{key}" for key in value if key not in keys]
    for key in value.keys() & keys.keys():
        found += unknown(value[key], model.openapi_types[keys[key]], f"{place}.{key}")
    return found

(service,) = [one for one in yaml.safe_load_all(open(sys.argv[1])) if one["kind"] == "InferenceService"]
found = []
for more in json.loads(sys.argv[2]):
    own = json.loads(json.dumps(service))
    own["spec"]["predictor"].update(more)
    found.append(unknown(own, "V1beta1InferenceService", ""))
print(json.dumps(found))
"""


def test_the_manifest_is_one_of_kserves_models():
    """As it stands, as pipelines/rollout.py patches it, and, so that this can fail, with keys that there are none of."""
    path = Path(__file__).parents[2] / "manifests/serving/kserve/serve.yaml"
    patched, wrong = {"annotations": {"vitrine/champion-taxonomy": "v"}}, {"minReplica": 1}
    cases = [{}, patched, wrong, {"containers": [{"imag": "x"}]}]
    command = [PYTHON, "-c", MODELS, str(path), json.dumps(cases)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == [[], [], [".spec.predictor.minReplica"], [".spec.predictor.containers[0].imag"]]


@pytest.mark.parametrize(("name", "ways"), [("kserve", ("binary", "json")), ("triton", ("binary", "named"))])
def test_clients_understand_every_answer(made, client, name, ways):
    script = Path(__file__).with_name("ask_with_clients.py")
    paths = [str(path) for path in made.photos[:3]]
    command = [PYTHON, str(script), name, str(client.port), *paths]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["live"], found["ready"], found["model"]) == (True, True, True)
    files = [("photos", Path(path).read_bytes()) for path in paths]
    answers = client.post("/predict", files=files).json()["answers"]
    for way in ways:
        assert found[way]["level1"] == [one["label"] for line in answers for one in line["level1"]]
        sure = [one["confidence"] for line in answers for one in line["attr:colour"]]
        assert found[way]["attr:colour/confidence"] == pytest.approx(sure, abs=3e-4)
        assert len(found[way]["embedding"]) == 3 * 16
