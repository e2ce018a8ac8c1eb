#!/usr/bin/env bash
# torch 2.15.0 (2026-11), CPUs that multiply bfloat16 as tiles (AMX): the gradient of a strided depthwise convolution by
# its input takes many times as long in bfloat16 as at 32 bits, where MobileNetV2's other convolutions gain or stay
# about even. Without a stride there is no such gap. So a net that is trained under autocast on such a CPU may be slower
# than at 32 bits through two or three of its layers: MobileNetV2 at 128 px was, by 1.3 to 1.7 times, and is 1.2 to 1.4
# times faster than at 32 bits with those layers alone left there.
#
# Seen (one thread, channels last, 32 x 576 x 8 x 8, 3 x 3): bfloat16 over 32 bits 1.4 at stride 1, 155 at stride 2.
# Where the CPU has no such tiles this script says so and measures nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.15.0
cat > "$folder/try.py" <<'PY'
import time

import torch

if not torch.cpu._is_amx_tile_supported():
    raise SystemExit("this CPU has no AMX: nothing to see")
torch.set_num_threads(1)


def milliseconds(stride, dtype):
    """Median of 15 gradients by the input."""
    maps = torch.randn(32, 576, 8, 8, dtype=dtype).to(memory_format=torch.channels_last)
    layer = torch.nn.Conv2d(576, 576, 3, stride, 1, groups=576, bias=False, dtype=dtype)
    layer = layer.to(memory_format=torch.channels_last)
    back = torch.randn_like(layer(maps).detach())
    taken = []
    for _ in range(15):
        began = time.perf_counter()
        torch.ops.aten.convolution_backward(
            back, maps, layer.weight.detach(), None, [stride] * 2, [1, 1], [1, 1], False, [0, 0], 576,
            [True, False, False],
        )
        taken.append(time.perf_counter() - began)
    return 1000 * sorted(taken)[7]


ratios = {}
for stride in (1, 2):
    plain, half = (milliseconds(stride, dtype) for dtype in (torch.float32, torch.bfloat16))
    ratios[stride] = half / plain
    print(f"stride {stride}: 32 bits {plain:.2f} ms, bfloat16 {half:.2f} ms, {half / plain:.1f} times")
assert ratios[1] < 2.5, "the gap is there without a stride too"
assert ratios[2] > 3, "the gap is gone"
PY
"$folder/venv/bin/python" "$folder/try.py"
