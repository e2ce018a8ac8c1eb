#!/usr/bin/env bash
# kserve 0.21.0 (2026-11): its server's side cannot read a photo that its own client sends as binary BYTES.
#
# The Open Inference Protocol's binary extension is how a photo travels as it is: a BYTES tensor whose elements are
# arbitrary bytes behind the JSON head. InferInput.set_data_from_numpy(binary_data=True) and InferRequest.to_rest()
# write just that. InferRequest.from_bytes, which the SDK's model server calls for every such request, decodes each
# element as UTF-8 and raises InferenceError where that fails, as it does at the first byte of any JPEG; the advice in
# its message, binary_data=True, is what the client had done. Bytes that happen to be UTF-8 arrive, as text. So a
# predictor built on the SDK has to ask for base64 instead; a client of another server that keeps the protocol need not.
#
# Seen: "sent by InferRequest.to_rest: ends with the photo's bytes", "read by InferRequest.from_bytes: InferenceError"
# and "bytes that are UTF-8 by chance: read".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet kserve==0.21.0 pillow==13.0.0
cat > "$folder/try.py" <<'PY'
import io
import sys

import numpy as np
from kserve import InferInput, InferRequest
from kserve.errors import InferenceError
from PIL import Image

file = io.BytesIO()
Image.new("RGB", (8, 8), "red").save(file, "JPEG")


def sent(element):
    tensor = InferInput("photo", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([element], dtype=object), binary_data=True)
    body, head = InferRequest("m", [tensor]).to_rest()
    return bytes(body), head


body, head = sent(file.getvalue())
assert body.endswith(file.getvalue())
print("sent by InferRequest.to_rest: ends with the photo's bytes")
try:
    InferRequest.from_bytes(body, head, "m")
except InferenceError as error:
    assert "binary_data=True" in str(error)
    print("read by InferRequest.from_bytes: InferenceError")
else:
    sys.exit("it reads the photo")
body, head = sent(b"plain words")
assert InferRequest.from_bytes(body, head, "m").inputs[0].as_numpy().tolist() in ([b"plain words"], ["plain words"])
print("bytes that are UTF-8 by chance: read")
PY
"$folder/venv/bin/python" "$folder/try.py"
