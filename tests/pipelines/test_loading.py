"""What starting a run loads, since every run waits for it."""

import json
import subprocess
import sys

import pytest
from vitrine_command import environment

RUN = """
from pipelines import local
from pipelines.packages import complete
complete("retrain", {"data_catalog": "data", "settings": {"image_size": 32}})
"""
STEP = """
import os
os.environ["_KFP_RUNTIME"] = "true"
from pipelines import stages
stages.check("retrain", {"settings": stages.default_settings("retrain"), "train_variant": "", "train_epochs": 1})
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "heavy"),
    [
        (RUN, {"torch", "torchvision", "scipy", "sklearn", "cv2", "matplotlib", "boto3"}),  # kubernetes is kfp's
        (
            STEP,
            {"torch", "torchvision", "scipy", "sklearn", "cv2", "matplotlib", "kubernetes", "boto3", "kfp.compiler"},
        ),
        ("import vitrine.steps.gate, vitrine.model, vitrine.registry.challenge", {"torch", "sklearn", "kfp"}),
        (
            "import vitrine.steps.scanning, vitrine.steps.validation, vitrine.steps.preparation",
            {"torch", "kfp", "pydantic", "vitrine.tasks", "vitrine.registry", "matplotlib"},
        ),
        ("import vitrine.quality.history", {"scipy", "matplotlib"}),
    ],
    ids=["the command", "the first step", "the gate", "the steps on data", "the account of the last validation"],
)
def test_what_checks_and_compares_loads_no_net(tmp_path, script, heavy):
    seen = "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", script + seen]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=True)
    assert not heavy & {*json.loads(done.stdout.splitlines()[-1])}
