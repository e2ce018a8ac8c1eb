#!/usr/bin/env bash
# What a GPU makes of the defaults: photos/s and memory of a tuned step beside a bare loop (docs/performance.md says what
# they are), then a model of categories and one of attributes. About ten minutes; results below $OUT, or runs/gpu.
#
#     benchmarks/on_gpu.sh [PYTHON of an environment with Vitrine in it]
set -euo pipefail
python=${1:-.venv/bin/python}
out=${OUT:-runs/gpu}
mkdir -p "$out"
export VITRINE_CACHE="$out/cache" PYTHONPATH=src:.
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv | tee "$out/device.txt"
"$python" benchmarks/train_step.py --rounds 5 --photos 2048 --batch 128 \
    --nets convnext_tiny:224 resnet50:224 mobilenet_v2:224 | tee "$out/train_step.txt"
vitrine=("$python" -m vitrine.cli)
work=$(mktemp -d)
trap 'rm -rf "$work" "$VITRINE_CACHE"' EXIT
"${vitrine[@]}" synth "$work/data"
"${vitrine[@]}" clean "$work/data" "$work/clean"
"${vitrine[@]}" split "$work/clean" "$work/split"
for task in taxonomy attributes; do
    # Published weights of larger nets may be out of reach here; the environment carries MobileNetV2's.
    { time "${vitrine[@]}" train "$task" "$work/split" "$work/$task" --set backbone=mobilenet_v2; } \
        2> "$out/$task.time"
    "${vitrine[@]}" evaluate "$work/$task" "$work/split" "$work/$task-evaluation"
    cp "$work/$task-evaluation/metrics.json" "$out/$task.json"
done
