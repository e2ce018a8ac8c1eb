"""What a DAG asks of a step's pod and the running step relies on. Without kfp, which offers a running step less."""

VOLUME_PATH = "/mnt/vitrine"
TRAINING_HOURS = 24
SECRET_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
)
POD = "KFP_POD_NAME"  # Kubeflow Pipelines sets it in every step
ENDPOINT = "KF_PIPELINES_ENDPOINT"
TOKEN = "KF_PIPELINES_SA_TOKEN_PATH"
POD_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"
NODE = "VITRINE_ARGO_NODE"  # what Argo calls the step's attempt, where a step is tried again
NAMESPACE = "VITRINE_NAMESPACE"  # of the pod, where it starts runs
ACCOUNT = "VITRINE_ACCOUNT"  # of the pod likewise
