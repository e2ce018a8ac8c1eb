"""The Open Inference Protocol as its clients speak it, tensors in JSON and behind it."""

import base64
import json
import struct

import numpy as np
import pytest

from vitrine.predict import predict

HEADER = "Inference-Header-Content-Length"


def tensor(paths, **more):
    data = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    return {"name": "photos", "datatype": "BYTES", "shape": [len(paths)], "data": data} | more


def binary(client, model, photos, **more):
    tail = b"".join(struct.pack("<I", len(photo)) + photo for photo in photos)
    one = {"name": "photos", "datatype": "BYTES", "shape": [len(photos)], "parameters": {"binary_data_size": len(tail)}}
    head = json.dumps({"inputs": [one], **more}).encode()
    return client.post(f"/v2/models/{model}/infer", content=head + tail, headers={HEADER: str(len(head))})


def outputs(answer):
    return {output["name"]: output for output in answer.json()["outputs"]}


def test_the_server_and_its_models_describe_themselves(client):
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    told = client.get("/v2/models/taxonomy").json()
    assert told["inputs"] == [{"name": "photos", "datatype": "BYTES", "shape": [-1]}]
    assert {"name": "level1", "datatype": "BYTES", "shape": [-1, -1]} in told["outputs"]
    assert {"name": "embedding", "datatype": "FP32", "shape": [-1, 16]} in told["outputs"]
    (version,) = told["versions"]
    assert client.get(f"/v2/models/taxonomy/versions/{version}").json() == told
    assert client.get(f"/v2/models/taxonomy/versions/{version}/ready").json() == {"name": "taxonomy", "ready": True}
    assert client.get("/v2/models/taxonomy/versions/1").status_code == 404
    assert client.get("/v2/models/shoes/ready").status_code == 404
    judged = client.get("/v2/models/authenticity").json()["outputs"]
    assert [(one["name"], one["shape"][:1]) for one in judged] == [
        ("verdict", [1]), ("probability", [1]), ("weights", [-1]), ("embedding", [1]),
    ]  # fmt: skip


def test_answers_are_those_of_the_command(made, client):
    paths = made.photos[:3]
    asked = {"id": "seven", "inputs": [tensor(paths)], "parameters": {"top": 2}}
    answer = client.post("/v2/models/taxonomy/infer", json=asked)
    assert answer.json()["id"] == "seven"
    assert answer.json()["model_name"] == "taxonomy"
    expected = predict(made.taxonomy, [str(path) for path in paths], top=2)
    found = outputs(answer)
    assert found["level1"]["shape"] == [3, 2]
    assert found["level1"]["data"] == [one["label"] for line in expected for one in line["level1"]]
    sure = [one["confidence"] for line in expected for one in line["attr:colour"]]
    assert found["attr:colour/confidence"]["data"] == pytest.approx(sure, abs=2e-4)
    assert found["embedding"]["shape"] == [3, 16]


def test_binary_tensors_say_what_json_says(made, client):
    paths = made.photos[:2]
    plain = outputs(client.post("/v2/models/taxonomy/infer", json={"inputs": [tensor(paths)]}))
    wanted = [{"name": "level1/confidence", "parameters": {"binary_data": True}}, {"name": "level1"}]
    wanted.append({"name": "level2", "parameters": {"binary_data": True}})
    answer = binary(client, "taxonomy", [path.read_bytes() for path in paths], outputs=wanted)
    end = int(answer.headers[HEADER])
    head, tail = json.loads(answer.content[:end]), answer.content[end:]
    sure, labels, deeper = head["outputs"]
    size = sure["parameters"]["binary_data_size"]
    values = np.frombuffer(tail[:size], "<f4").reshape(sure["shape"])
    assert values.ravel().tolist() == pytest.approx(plain["level1/confidence"]["data"], abs=1e-4)
    assert labels["data"] == plain["level1"]["data"]
    texts, rest = [], tail[size:]
    assert len(rest) == deeper["parameters"]["binary_data_size"]
    while rest:
        (length,) = struct.unpack_from("<I", rest)
        texts.append(rest[4 : 4 + length].decode())
        rest = rest[4 + length :]
    assert texts == plain["level2"]["data"]


def test_columns_and_all_outputs_in_binary(made, client):
    column = tensor(made.photos[:2], shape=[2, 1])
    column["data"] = [[text] for text in column["data"]]
    answer = client.post("/v2/models/plain/infer", json={"inputs": [column]})
    assert outputs(answer)["level1"]["shape"][0] == 2
    whole = binary(client, "plain", [made.photos[0].read_bytes()], parameters={"binary_data_output": True})
    head = json.loads(whole.content[: int(whole.headers[HEADER])])
    assert all("binary_data_size" in output["parameters"] for output in head["outputs"])


def test_photos_of_a_listing_are_one_question(made, client):
    answer = binary(client, "authenticity", [path.read_bytes() for path in made.photos[:3]])
    found = outputs(answer)
    assert found["verdict"]["shape"] == found["probability"]["shape"] == [1]
    assert found["weights"]["shape"] == [3]
    assert sum(found["weights"]["data"]) == pytest.approx(1, abs=1e-3)


GOOD = {"name": "photos", "datatype": "BYTES", "shape": [1], "data": ["aGVsbG8="]}


@pytest.mark.parametrize(
    ("asked", "status", "what"),
    [
        ("[]", 400, "no JSON object"),
        ("{", 400, "no JSON"),
        ("[" * 100_000, 400, "nested too deeply"),
        ('{"inputs": [{"name": "\\ud800"}]}', 400, "no JSON"),
        ({}, 400, "one tensor is needed"),
        ({"inputs": []}, 400, "one tensor is needed"),
        ({"inputs": [GOOD, GOOD]}, 400, "one tensor is needed"),
        ({"inputs": ["photos"]}, 400, "one tensor is needed"),
        ({"inputs": [GOOD | {"name": "image"}]}, 400, "called 'photos'"),
        ({"inputs": [GOOD | {"datatype": "FP32"}]}, 400, "BYTES are needed"),
        ({"inputs": [GOOD | {"datatype": None}]}, 400, "BYTES are needed"),
        ({"inputs": [GOOD | {"shape": [2]}]}, 400, "1 photos came"),
        ({"inputs": [GOOD | {"shape": [-1]}]}, 400, "a shape"),
        ({"inputs": [GOOD | {"shape": [1, 3]}]}, 400, "a shape"),
        ({"inputs": [GOOD | {"shape": [True]}]}, 400, "a shape"),
        ({"inputs": [GOOD | {"shape": "1"}]}, 400, "a shape"),
        ({"inputs": [GOOD | {"shape": [10**30]}]}, 413, "a request at most"),
        ({"inputs": [GOOD | {"data": ["aGVsbG8="] * 33, "shape": [1]}]}, 413, "a request at most"),
        ({"inputs": [GOOD | {"data": [7]}]}, 400, "no list of base64"),
        ({"inputs": [GOOD | {"data": "aGVsbG8="}]}, 400, "no list of base64"),
        ({"inputs": [GOOD | {"data": ["%%%"]}]}, 400, "neither binary nor base64"),
        ({"inputs": [GOOD | {"data": ["é"]}]}, 400, "neither binary nor base64"),
        ({"inputs": [GOOD]}, 400, "photos[0]: is not a photo"),
        ({"inputs": [GOOD | {"parameters": []}]}, 400, "an object is needed"),
        ({"inputs": [GOOD | {"parameters": {"binary_data_size": 5}}]}, 400, "0 bytes follow"),
        ({"inputs": [GOOD | {"parameters": {"binary_data_size": True}}]}, 400, "0 bytes follow"),
        ({"inputs": [GOOD], "parameters": {"top": 0}}, 400, "top"),
        ({"inputs": [GOOD], "parameters": {"top": 1e9}}, 400, "top"),
        ({"inputs": [GOOD], "parameters": 7}, 400, "an object is needed"),
        ({"inputs": [GOOD], "outputs": {}}, 400, "a list is needed"),
        ({"inputs": [GOOD], "outputs": [{}]}, 400, "needs a name"),
        ({"inputs": [GOOD], "id": 7}, 400, "id"),
    ],
)
def test_what_is_not_asked_well_is_said(client, asked, status, what):
    content = asked if isinstance(asked, str) else json.dumps(asked)
    answer = client.post("/v2/models/taxonomy/infer", content=content)
    assert (answer.status_code, what in answer.json()["error"]) == (status, True), answer.json()


def test_an_output_that_there_is_none_of(made, client):
    asked = {"inputs": [tensor(made.photos[:1])], "outputs": [{"name": "price"}]}
    answer = client.post("/v2/models/taxonomy/infer", json=asked)
    assert answer.status_code == 400
    assert "no output 'price'; there are: level1, level1/confidence" in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, "1e3", "100000", "0" * 12 + "9" * 5000])
def test_a_header_length_that_is_none(client, length):
    answer = client.post("/v2/models/taxonomy/infer", content=b"{}", headers={HEADER: length})
    assert answer.status_code == 400
    assert HEADER in answer.json()["error"]


@pytest.mark.parametrize("tail", [b"\x01", b"\x05\x00\x00\x00abc", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"])
def test_binary_data_that_end_early(client, tail):
    one = {"name": "photos", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(tail)}}
    head = json.dumps({"inputs": [one]}).encode()
    answer = client.post("/v2/models/taxonomy/infer", content=head + tail, headers={HEADER: str(len(head))})
    assert answer.status_code == 400
    assert "photos" in answer.json()["error"]
