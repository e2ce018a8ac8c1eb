"""KServe's and Triton's own clients speak to the server unchanged.

They are no dependencies (gevent, gRPC, pandas' pins): `python -m venv clients; clients/bin/pip install kserve
"tritonclient[http]"`, and name its interpreter in $VITRINE_CLIENTS.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

PYTHON = os.environ.get("VITRINE_CLIENTS", "")


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="VITRINE_CLIENTS names no interpreter with kserve and tritonclient[http]")
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
