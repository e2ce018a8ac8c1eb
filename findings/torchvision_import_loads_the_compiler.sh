#!/usr/bin/env bash
# torchvision 0.29.2 with torch 2.15.0 (2026-11): `import torchvision` loads torch's compiler.
#
# torchvision/ops/roi_align.py wraps its compiled path in a helper whose own comment says that it avoids importing
# dynamo eagerly, and imports torch._dynamo.utils at the top of the file all the same. torchvision's __init__ imports
# its models, these the detection nets, these roi_align; so whoever wants one classification net pays for the compiler
# with every start of a process. `import torch` alone does not load it.
#
# Seen: the compiler's modules are there after `import torchvision` and not after `import torch`; they are most of the
# time that the import takes (here 5 of 6 seconds, on a slow machine).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.15.0 torchvision==0.29.2
cat > "$folder/try.py" <<'PY'
import sys
import time

import torch  # noqa: F401

assert "torch._dynamo" not in sys.modules, "torch alone loads it"
began = time.perf_counter()
import torchvision  # noqa: E402, F401

whole = time.perf_counter() - began
assert "torch._dynamo" in sys.modules, "torchvision does not load it any more"
import torchvision.ops.roi_align  # noqa: E402

assert sys.modules["torchvision.ops.roi_align"].is_compile_supported.__module__ == "torch._dynamo.utils"
print(f"import torchvision: {whole:.1f} s, torch._dynamo among what it loads, through torchvision.ops.roi_align")
PY
"$folder/venv/bin/python" "$folder/try.py"
