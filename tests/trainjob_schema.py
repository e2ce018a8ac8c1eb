"""The part of Kubeflow Trainer 2.3's TrainJob that we write, as a JSON schema: the same in 2.2.

By hand from the documented API (trainer.kubeflow.org/v1alpha1), stricter than the real one: a field that we do not
write is refused. What pods are made of is held to Kubernetes' own schema by the tests that use this.
"""

from typing import Any

LABEL = {"type": "string", "maxLength": 63, "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"}


def _only(required: str, optional: str = "", **properties: Any) -> dict[str, Any]:
    assert set(properties) == {*required.split(), *optional.split()}
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _one(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": 1, "maxItems": 1}


LABELS = {"type": "object", "additionalProperties": LABEL}
LIST = {"type": "array", "items": {"type": "object"}, "maxItems": 128}
QUANTITIES = {"type": "object", "additionalProperties": {"type": "string", "pattern": r"^\d+(\.\d+)?(m|k|[MGT]i?)?$"}}
OBJECT = {"type": "object"}
CONTAINER = _only(
    "name volumeMounts securityContext", name={"const": "node"}, volumeMounts=LIST, securityContext=OBJECT
)
POD = _only(
    "serviceAccountName imagePullSecrets nodeSelector tolerations securityContext volumes containers",
    serviceAccountName={"type": "string", "maxLength": 253},
    imagePullSecrets=LIST,
    nodeSelector=LABELS,
    tolerations=LIST,
    securityContext=OBJECT,
    volumes=LIST,
    containers=_one(CONTAINER),
)
TEMPLATE = _only("metadata spec", metadata=_only("labels", labels=LABELS), spec=POD)
REPLICATED = _only(
    "name template",
    name={"const": "node"},
    template=_only("spec", spec=_only("template", template=TEMPLATE)),
)
PATCH = _only(
    "manager trainingRuntimeSpec",
    manager={"type": "string", "minLength": 1, "maxLength": 253},
    trainingRuntimeSpec=_only(
        "template", template=_only("spec", spec=_only("replicatedJobs", replicatedJobs=_one(REPLICATED)))
    ),
)
TRAINER = _only(
    "image command numNodes numProcPerNode resourcesPerNode env",
    image={"type": "string", "maxLength": 500},
    command={"type": "array", "items": {"type": "string", "maxLength": 65536}, "maxItems": 128},
    numNodes={"type": "integer", "minimum": 1},
    numProcPerNode={"type": "integer", "minimum": 1},
    resourcesPerNode=_only("requests limits", requests=QUANTITIES, limits=QUANTITIES),
    env=LIST,
)
REFERENCE = _only(
    "apiGroup kind name",
    apiGroup={"const": "trainer.kubeflow.org"},
    kind={"enum": ["ClusterTrainingRuntime", "TrainingRuntime"]},
    name={"type": "string", "minLength": 1, "maxLength": 253},
)
OWNER = _only(
    "apiVersion kind name uid",
    apiVersion={"const": "v1"},
    kind={"const": "Pod"},
    name={"type": "string", "minLength": 1},
    uid={"type": "string", "minLength": 1},
)
METADATA = _only(
    "name labels ownerReferences",
    name={"type": "string", "maxLength": 63, "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
    labels=LABELS,
    ownerReferences=_one(OWNER),
)
TRAIN_JOB = _only(
    "apiVersion kind metadata spec",
    apiVersion={"const": "trainer.kubeflow.org/v1alpha1"},
    kind={"const": "TrainJob"},
    metadata=METADATA,
    spec=_only(
        "runtimeRef activeDeadlineSeconds trainer runtimePatches",
        runtimeRef=REFERENCE,
        activeDeadlineSeconds={"type": "integer", "minimum": 1},
        trainer=TRAINER,
        runtimePatches=_one(PATCH),
    ),
)
