"""A model in 8-bit integers: an ONNX file for processors, calibrated on validation photos and held to the original.

Weights are rounded channel by channel, activations to the range that calibration saw (static quantisation in QDQ form,
Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, 2018;
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitrine import files
from vitrine.catalog import Catalog
from vitrine.errors import InputError
from vitrine.evaluation.gate import Decision, keeps_up
from vitrine.export import exported, metadata, session
from vitrine.predict import Model

CALIBRATION = 256  # photos; onnxruntime's own examples take 100 to 1000
AT_ONCE = 16
ROUNDED = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Kept:
    """What 8 bits keep of a model.

    Attributes:
        decision: Whether it may be used in the original's place, and why.
        figure: The name of the figure that decides.
        before: Of the original, on the test photos.
        after: In 8 bits, on the same photos.
        bytes: Of the file.
    """

    decision: Decision
    figure: str
    before: float
    after: float
    bytes: int


def export_int8(folder: Path, catalog: Catalog, out: Path, max_loss: float = 0.01) -> Kept:
    """Writes a model in 8 bits, if it keeps up with the original on the catalog's test photos.

    Args:
        folder: Of the model.
        catalog: Its validation photos calibrate, its test photos decide.
        out: The ONNX file; it is not written where the decision is against it.
        max_loss: How far the figure that decides may fall; guarded ones as far as the gate lets them.

    Raises:
        InputError: if the model cannot be exported, there are no validation or no test photos, or `max_loss` is no
            share.
    """
    if not 0 <= max_loss <= 1:
        raise InputError(f"max_loss={max_loss:g}: must lie between 0 and 1")
    model = Model.load(folder)
    rows = model.task.rows(catalog, "test")
    data = quantized(model, catalog)
    other = replace(model, net=model.task.from_graph(session(data)))
    measured = [dict(model.task.metrics(one.predict(rows))) for one in (model, other)]
    rules = model.task.gate_rules()
    decision = keeps_up(measured[1], measured[0], rules, max_loss)
    if decision.promote:
        out.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(str(out), data)
    return Kept(decision, rules.metric, measured[0][rules.metric], measured[1][rules.metric], len(data))


def quantized(model: Model, catalog: Catalog) -> bytes:
    """A model's ONNX file in 8 bits; see `export_int8`.

    Raises:
        InputError: if the model cannot be exported, or there are no validation photos.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    rows = catalog.of_split("validation")
    if not len(rows):
        raise InputError(f"{catalog.root}: no row has split 'validation'; 8 bits are calibrated on such photos")
    photos = _calibrating(model, rows)

    class Reader(CalibrationDataReader):
        def get_next(self) -> Mapping[str, Any] | None:
            return next(photos, None)

    data, _ = exported(model)
    logger = logging.getLogger()
    level = logger.level
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, done = (f"{folder}/{name}.onnx" for name in ("plain", "ready", "done"))
        Path(plain).write_bytes(data)
        try:
            logger.setLevel(logging.ERROR)  # onnxruntime's advice to do what is done here
            quant_pre_process(plain, ready, skip_symbolic_shape=True)
            quantize_static(
                ready, done, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, op_types_to_quantize=[*ROUNDED],
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=True,
            )  # fmt: skip
        finally:
            logger.setLevel(level)
        proto = onnx.load(done)
    del proto.metadata_props[:]
    for key, value in (metadata(model) | {"vitrine.precision": "int8"}).items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    written: bytes = proto.SerializeToString()
    return written


def _calibrating(model: Model, rows: Catalog) -> Iterator[Mapping[str, Any]]:
    """The graph's inputs for photos of some rows, drawn by a fixed seed, a few at a time."""
    graph, store = model.task.graph(model.net, model.config), model.task.photos(model.config, rows)
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:CALIBRATION])
    for _, pixels in store.batches(np.array_split(chosen, range(AT_ONCE, len(chosen), AT_ONCE))):
        inputs = graph.alone(store.normalised(pixels, torch.device("cpu")))
        yield {name: value.contiguous().numpy() for name, value in inputs.items()}
