#!/usr/bin/env bash
# timm 1.0.31 (2026-11): a headless net accepts a weights file of which no tensor fits.
#
# create_model(NAME, num_classes=0, pretrained=True, pretrained_cfg_overlay={"file": PATH}) is the documented way to
# start from a local file without a classifier. With num_classes=0 the file is loaded non-strictly: a valid safetensors
# file that holds one unrelated tensor raises nothing, and the net that comes back is wholly untrained. The same call
# with the net's own number of classes raises a RuntimeError. What tells the two apart afterwards is one warning of a
# logger, so a training from "pretrained" weights may in truth be one from random numbers.
#
# Seen: "headless: no error, every matrix still random" and "with its classifier: RuntimeError".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet timm==1.0.31 torch==2.15.0 torchvision==0.29.2 safetensors
cat > "$folder/try.py" <<'PY'
import sys

import timm
import torch
from safetensors.torch import save_file

path = sys.argv[1]
save_file({"unrelated": torch.ones(1)}, path)
options = {"pretrained": True, "pretrained_cfg_overlay": {"file": path}}


def made(**more):
    torch.manual_seed(0)
    return timm.create_model("mobilenetv3_small_050", **more)


fresh = made(num_classes=0)
loaded = made(num_classes=0, **options)
same = all(torch.equal(a, b) for a, b in zip(fresh.parameters(), loaded.parameters(), strict=True) if a.ndim > 1)
assert same, "the file changed something"
print("headless: no error, every matrix still random")
try:
    made(num_classes=1000, **options)
except RuntimeError:
    print("with its classifier: RuntimeError")
else:
    sys.exit("with its classifier it is accepted too")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder/other.safetensors"
