"""The Open Inference Protocol, version 2, over REST, with its extension for binary tensors.

A model takes one tensor, `photos`: BYTES of shape [n] or [n, 1], each element a photo's file; as raw bytes behind the
JSON (`binary_data_size`), or as base64 inside it. Of a model that judges listings the n photos are one listing. What it
gives depends on its `Task.output`, see `outputs_of`.

https://github.com/kserve/open-inference-protocol and, for the extension,
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitrine.predictions import Reply
from vitrine.serving.limits import Limits, RefusedError, whole_number
from vitrine.serving.models import Served
from vitrine.serving.uploads import Photo, from_base64, json_object
from vitrine.untrusted import printable

HEADER = "Inference-Header-Content-Length"
EXTENSIONS = ("binary_tensor_data",)
INPUT = "photos"
EMBEDDING = "embedding"
TOP = 5


@dataclass(frozen=True)
class Tensor:
    """An output: BYTES (a list of texts) or FP32, of a shape."""

    name: str
    values: np.ndarray

    @property
    def datatype(self) -> str:
        """As the protocol has it."""
        return "FP32" if self.values.dtype == np.float32 else "BYTES"

    def binary(self) -> bytes:
        """Little-endian numbers; texts each behind their length."""
        if self.datatype == "FP32":
            return self.values.astype("<f4").tobytes()
        texts = [str(text).encode() for text in self.values.ravel()]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)


@dataclass(frozen=True)
class InferenceRequest:
    """An inference request.

    Attributes:
        id: Which the answer repeats; "" for none.
        photos: In order.
        top: Labels named per question.
        outputs: Those wanted, and whether in binary; empty: all.
        binary: Whether outputs that are not named come in binary.
    """

    id: str
    photos: Sequence[Photo]
    top: int
    outputs: Mapping[str, bool]
    binary: bool


def read_request(body: bytes, header_length: str, limits: Limits) -> InferenceRequest:
    """An inference request from its body.

    Args:
        body: JSON, and the tensor's bytes behind it if it is binary.
        header_length: Of the JSON, from the request's header `HEADER`; "" where it is all of the body.
        limits: Of photos.

    Raises:
        RefusedError: saying what is wrong.
    """
    end = whole_number(header_length) if header_length else len(body)
    if not 0 <= end <= len(body):
        raise RefusedError(400, f"{HEADER}: {header_length[:20]!r} is not a length within the body")
    asked = json_object(body[:end], "the request")
    inputs = asked.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise RefusedError(400, f"inputs: one tensor is needed, {INPUT!r}")
    parameters = _object(asked, "parameters")
    request_id = asked.get("id", "")
    if not isinstance(request_id, str) or len(request_id) > 1000:
        raise RefusedError(400, "id: a text is needed")
    data = _photos(inputs[0], body[end:], limits)
    for place, photo in enumerate(data):
        limits.check_photo(f"photos[{place}]", photo)
    return InferenceRequest(
        request_id,
        [Photo(f"photos[{place}]", photo) for place, photo in enumerate(data)],
        _top(parameters),
        _wanted(asked, bool(parameters.get("binary_data_output"))),
        bool(parameters.get("binary_data_output")),
    )


def outputs_of(model: Served, reply: Reply) -> list[Tensor]:
    """What a model answers, as tensors.

    Of labels, per question `<question>` (BYTES) and `<question>/confidence` (FP32), both [n, top]; of a listing
    `verdict` [1], `probability` [1] and `weights` [n]; of both, and where no labels are named, `embedding` [n, dim].
    """
    tensors = []
    if model.output == "verdict":
        record = reply.records[0]
        tensors = [
            Tensor("verdict", np.array([record["verdict"]], object)),
            Tensor("probability", np.array([record["probability"]], np.float32)),
            Tensor("weights", np.array(record["weights"], np.float32)),
        ]
    elif reply.records:
        for question in reply.records[0]:
            if question != "image":
                named = [record[question] for record in reply.records]
                labels = np.array([[one["label"] for one in row] for row in named], object)
                confidence = np.array([[one["confidence"] for one in row] for row in named], np.float32)
                tensors += [Tensor(question, labels), Tensor(f"{question}/confidence", confidence)]
    return [*tensors, Tensor(EMBEDDING, reply.features.astype(np.float32))]


def write_response(model: Served, reply: Reply, asked: InferenceRequest) -> tuple[bytes, dict[str, str]]:
    """The body of an answer and its headers.

    Raises:
        RefusedError: if an output is wanted that there is none of.
    """
    tensors = {tensor.name: tensor for tensor in outputs_of(model, reply)}
    wanted = dict(asked.outputs) or dict.fromkeys(tensors, asked.binary)
    for name in wanted:
        if name not in tensors:
            raise RefusedError(400, f"no output {printable(name)[:80]!r}; there are: {', '.join(tensors)}")
    outputs, tails = [], []
    for name, binary in wanted.items():
        tensor = tensors[name]
        output: dict[str, Any] = {"name": name, "shape": list(tensor.values.shape), "datatype": tensor.datatype}
        if binary:
            tails.append(tensor.binary())
            output["parameters"] = {"binary_data_size": len(tails[-1])}
        else:
            output["data"] = tensor.values.ravel().tolist()
        outputs.append(output)
    response = {"model_name": model.name, "model_version": model.version, "outputs": outputs}
    if asked.id:
        response["id"] = asked.id
    head = json.dumps(response, ensure_ascii=False).encode()
    if not tails:
        return head, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER: str(len(head))}
    return b"".join([head, *tails]), headers


def metadata(model: Served, example: Reply) -> dict[str, Any]:
    """Of a model: `example` is a reply of its own, which tells the outputs."""
    variable = {"probability": [1], "verdict": [1]}
    outputs = []
    for tensor in outputs_of(model, example):
        shape = variable.get(tensor.name) or [-1, *([-1] if tensor.values.ndim > 1 else [])]
        if tensor.name == EMBEDDING:
            shape = [1 if model.output == "verdict" else -1, tensor.values.shape[1]]
        outputs.append({"name": tensor.name, "datatype": tensor.datatype, "shape": shape})
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": f"vitrine_{model.engine}",
        "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": outputs,
    }


def _photos(tensor: Mapping[str, Any], tail: bytes, limits: Limits) -> list[bytes]:
    name, kind, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
    if name != INPUT:
        raise RefusedError(400, f"inputs: a tensor called {INPUT!r} is needed, not {printable(str(name))[:80]!r}")
    if kind != "BYTES":
        raise RefusedError(400, f"{INPUT}: BYTES are needed, the files of photos, not {printable(str(kind))[:80]!r}")
    if (
        not isinstance(shape, list)
        or not all(type(edge) is int and edge > 0 for edge in shape)
        or len(shape) not in (1, 2)
        or shape[1:] not in ([], [1])
    ):
        raise RefusedError(400, f"{INPUT}: a shape [n] or [n, 1] is needed")
    count = shape[0]
    limits.check_count(count)
    size = _object(tensor, "parameters").get("binary_data_size")
    if size is not None:
        if type(size) is not int or size != len(tail):
            raise RefusedError(400, f"{INPUT}: binary_data_size is {str(size)[:20]}, and {len(tail)} bytes follow")
        photos = list(_elements(tail))
    else:
        data = tensor.get("data")
        if isinstance(data, list) and all(isinstance(row, list) and len(row) == 1 for row in data):
            data = [row[0] for row in data]
        if not isinstance(data, list) or not all(isinstance(text, str) for text in data):
            raise RefusedError(400, f"{INPUT}: data is no list of base64, and there is no binary_data_size")
        limits.check_count(len(data))
        photos = [from_base64(text) for text in data]
    if len(photos) != count:
        raise RefusedError(400, f"{INPUT}: of shape {shape}, and {len(photos)} photos came")
    return photos


def _elements(tail: bytes) -> list[bytes]:
    elements, place = [], 0
    while place < len(tail):
        if len(tail) - place < 4:
            raise RefusedError(400, f"{INPUT}: the binary data end inside of a length")
        (length,) = struct.unpack_from("<I", tail, place)
        if length > len(tail) - place - 4:
            raise RefusedError(400, f"{INPUT}: the binary data end inside of a photo ({length:,} bytes were announced)")
        elements.append(tail[place + 4 : place + 4 + length])
        place += 4 + length
    return elements


def _top(parameters: Mapping[str, Any]) -> int:
    top = parameters.get("top", TOP)
    if type(top) is not int or not 1 <= top <= 1000:
        raise RefusedError(400, "parameters: top: a whole number from 1 to 1000 is needed")
    return top


def _wanted(asked: Mapping[str, Any], binary: bool) -> dict[str, bool]:
    outputs = asked.get("outputs", [])
    if not isinstance(outputs, list):
        raise RefusedError(400, "outputs: a list is needed")
    wanted = {}
    for output in outputs:
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise RefusedError(400, "outputs: each needs a name")
        wanted[output["name"]] = bool(_object(output, "parameters").get("binary_data", binary))
    return wanted


def _object(asked: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = asked.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RefusedError(400, f"{name}: an object is needed")
    return value
