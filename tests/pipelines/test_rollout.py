"""A promotion changes the pods that serve, against the Kubernetes API over HTTP."""

import json

import pytest
import yaml
from json_server import JsonServer, Refused
from kubernetes import client
from kubernetes_validate import validate
from test_manifests import MANIFESTS, documents

from pipelines import rollout, stages
from pipelines.form import check, default_settings, whole_settings
from pipelines.rollout import check_serving, roll_out, roller
from vitrine.errors import InputError
from vitrine.registry import Champion

CHAMPION = Champion("taxonomy", "20261129T101500-abc", "m", "c", {"top1": 0.5}, "2026-11-29T10:15:00Z", "Promoted.")
PATHS = {
    "/apis/apps/v1/namespaces/shop/deployments/vitrine-serve": ("plain", "Deployment"),
    "/apis/serving.kserve.io/v1beta1/namespaces/shop/inferenceservices/vitrine": ("kserve", "InferenceService"),
}


def merged(old, patch):
    """JSON merge patch, RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    return {**old, **{key: merged(old.get(key) or {}, value) for key, value in patch.items()}}


class Kubernetes(JsonServer):
    """The objects of manifests/serving, that may be patched."""

    def __init__(self):
        self.objects, self.failing, self.forbidden = {}, 0, False
        for path, (way, kind) in PATHS.items():
            (self.objects[path],) = (
                one for one in documents(MANIFESTS / f"serving/{way}/serve.yaml") if one["kind"] == kind
            )
        super().__init__()

    def answer(self, asked):
        if self.failing:
            self.failing -= 1
            raise Refused(503, "apiserver is shutting down")
        if self.forbidden:
            raise Refused(403, 'deployments.apps "vitrine-serve" is forbidden')
        if asked.path not in self.objects:
            raise Refused(404, "NotFound")
        assert asked.method == "PATCH"
        assert asked.headers["Content-Type"] == "application/merge-patch+json"
        self.objects[asked.path] = merged(self.objects[asked.path], json.loads(asked.body))
        return self.objects[asked.path]


@pytest.fixture
def kubernetes(monkeypatch):
    server = Kubernetes()
    api = client.ApiClient(client.Configuration(host=server.address))
    monkeypatch.setattr(rollout, "WAIT", 0.01)
    monkeypatch.setattr(rollout, "connect", lambda: (api, "shop"))
    server.api = api
    yield server
    server.close()


def test_a_deployments_pods_are_replaced_and_nothing_else_changes(kubernetes):
    path = next(iter(PATHS))
    before = yaml.safe_dump(kubernetes.objects[path])
    roller("deployment/vitrine-serve")(CHAMPION, [])
    found = kubernetes.objects[path]
    validate(found, "1.34", strict=True)
    annotations = found["spec"]["template"]["metadata"]["annotations"]
    assert annotations.pop("vitrine/champion-taxonomy") == CHAMPION.version
    assert annotations["prometheus.io/port"] == "8080"
    assert yaml.safe_dump(found) == before


def test_an_inference_services_predictor_is_replaced(kubernetes):
    roll_out("inferenceservice/vitrine", CHAMPION, kubernetes.api, "shop")
    (found,) = (one for one in kubernetes.objects.values() if one["kind"] == "InferenceService")
    assert found["spec"]["predictor"]["annotations"] == {"vitrine/champion-taxonomy": CHAMPION.version}
    assert found["spec"]["predictor"]["containers"]


def test_an_api_that_is_away_for_a_moment_is_asked_again(kubernetes):
    kubernetes.failing = 2
    roller("deployment/vitrine-serve")(CHAMPION, [])
    assert len(kubernetes.seen) == 3
    kubernetes.failing = 99
    with pytest.raises(InputError, match="does not answer"):
        roller("deployment/vitrine-serve")(CHAMPION, [])


def test_what_cannot_be_rolled_out_is_said(kubernetes):
    with pytest.raises(InputError, match="deployment/other in shop: 404"):
        roller("deployment/other")(CHAMPION, [])
    kubernetes.forbidden = True
    with pytest.raises(InputError, match=r"403.*forbidden"):
        roller("deployment/vitrine-serve")(CHAMPION, [])


@pytest.mark.parametrize(
    "serving", ["vitrine", "pod/x", "deployment/", "deployment/../x", "Deployment/x", "deployment/A"]
)
def test_what_names_nothing_is_refused_before_a_run_starts(serving):
    with pytest.raises(InputError, match="deployment/NAME"):
        check_serving(serving)
    with pytest.raises(InputError, match="deployment/NAME"):
        check("retrain", {"settings": whole_settings("retrain", {"serving": serving})})


def test_nothing_is_rolled_out_where_nothing_is_named():
    assert roller("") is None
    assert default_settings("match")["serving"] == ""


def test_all_are_told_though_one_cannot_be(kubernetes):
    told = []

    def failing(champion, deleted):
        raise InputError("the registry is away")

    tell = stages._all_of(failing, None, lambda champion, deleted: told.append(champion.version))
    with pytest.raises(InputError, match="the registry is away"):
        tell(CHAMPION, [])
    assert told == [CHAMPION.version]


@pytest.mark.parametrize(("way", "kind"), PATHS.values())
def test_the_role_allows_this_patch_and_no_more(way, kind):
    role, binding = documents(MANIFESTS / f"serving/{way}/rollout.yaml")
    (served,) = (one for one in documents(MANIFESTS / f"serving/{way}/serve.yaml") if one["kind"] == kind)
    (rule,) = role["rules"]
    assert rule["resourceNames"] == [served["metadata"]["name"]]
    assert rule["apiGroups"] == [served["apiVersion"].partition("/")[0]]
    assert (rule["resources"], rule["verbs"]) == ([f"{kind.lower()}s"], ["patch"])
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [subject["name"] for subject in binding["subjects"]] == ["vitrine-runner"]
