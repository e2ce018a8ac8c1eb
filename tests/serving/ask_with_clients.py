"""Asks a server with the clients that others wrote; run by an interpreter that has them, see test_clients.py.

    python ask_with_clients.py kserve|triton PORT PHOTO...

Prints what they understood, as JSON.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path


async def kserve(port: int, photos: list[bytes]) -> dict:
    import numpy as np
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    client, address = InferenceRESTClient(RESTConfig(protocol="v2")), f"http://127.0.0.1:{port}"
    found = {"live": await client.is_server_live(address), "ready": await client.is_server_ready(address)}
    found["model"] = await client.is_model_ready(address, "taxonomy")
    for way, values in (("binary", photos), ("json", [base64.b64encode(photo) for photo in photos])):
        tensor = InferInput("photos", [len(photos)], "BYTES")
        tensor.set_data_from_numpy(np.array(values, object), binary_data=way == "binary")
        asked = InferRequest("taxonomy", [tensor], request_id="7")
        answer = await client.infer(address, asked, model_name="taxonomy")
        found[way] = outputs({output.name: output.as_numpy() for output in answer.outputs})
    await client.close()
    return found


def triton(port: int, photos: list[bytes]) -> dict:
    import numpy as np
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

    client = InferenceServerClient(f"127.0.0.1:{port}")
    found = {"live": client.is_server_live(), "ready": client.is_server_ready()}
    found["model"] = client.is_model_ready("taxonomy")
    named = [output["name"] for output in client.get_model_metadata("taxonomy")["outputs"]]
    tensor = InferInput("photos", [len(photos)], "BYTES")
    tensor.set_data_from_numpy(np.array(photos, object))
    wanted = [InferRequestedOutput(name) for name in named]
    for way, outs in (("binary", None), ("named", wanted)):
        answer = client.infer("taxonomy", [tensor], outputs=outs, request_id="7")
        assert answer.get_response()["id"] == "7"
        found[way] = outputs({name: answer.as_numpy(name) for name in named})
    return found


def outputs(tensors: dict) -> dict:
    """Tensors as lists; texts of a client that leaves them as bytes are decoded."""
    return {
        name: [one.decode() if isinstance(one, bytes) else one for one in values.ravel().tolist()]
        for name, values in tensors.items()
    }


if __name__ == "__main__":
    name, port, *paths = sys.argv[1:]
    sent = [Path(path).read_bytes() for path in paths]
    print(json.dumps(asyncio.run(kserve(int(port), sent)) if name == "kserve" else triton(int(port), sent)))
