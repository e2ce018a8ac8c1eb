"""A model folder as one ONNX file, checked against torch; and predicting with it."""

import hashlib
import json
import logging
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitrine import __version__, files
from vitrine.data.augment import MEAN, STD
from vitrine.errors import InputError
from vitrine.graphs import Graph
from vitrine.predict import Model
from vitrine.untrusted import parse_json

FILE = ".onnx"
VERSION = 16  # digits of a file's hash, as of a folder's
OPSET = 18
CONFIG = "vitrine.config"  # the key of config.json in a file's metadata
LARGEST_DIFFERENCE = 1e-4
CHECKED = (1, 2, 5)  # how many photos, or listings, the two are asked about
NOISY = ("torch.onnx", "onnxscript", "onnx_ir", "torch.utils.flop_counter")  # the last: that there is no triton


def export_onnx(folder: Path, out: Path) -> float:
    """Writes a model as an ONNX file; `out` appears whole, or not at all.

    The graph takes normalised photos (the mean and deviation are in its metadata) in batches of any size, of listings
    with a mask. Its metadata holds `vitrine.config`, the whole config.json with labels, sizes and temperatures, too.

    Returns:
        The largest difference between torch's outputs and onnxruntime's, see `difference`.

    Raises:
        InputError: if the model cannot be read or exported, or the difference is above 1e-4.
    """
    model = Model.load(folder)
    data, largest = exported(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(str(out), data)
    return largest


def exported(model: Model) -> tuple[bytes, float]:
    """A model's ONNX file, and the largest difference; see `export_onnx`."""
    net = model.net.to("cpu").to(memory_format=torch.contiguous_format).eval()
    graph = model.task.graph(net, model.config)
    data = _written(graph, model)
    largest = difference(graph, data)
    if not largest <= LARGEST_DIFFERENCE:
        raise InputError(f"onnxruntime's outputs differ from torch's, by {largest:.1e}; at most 1e-4 is allowed")
    return data, largest


def with_onnx(folder: Path) -> Model:
    """A model folder whose net is asked through onnxruntime; it is exported, and checked, as it is loaded.

    Raises:
        InputError: as `export_onnx`.
    """
    model = Model.load(folder)
    data, _ = exported(model)
    return replace(model, net=model.task.from_graph(session(data)))


def opened(path: Path) -> tuple[Model, str]:
    """A model from its ONNX file, which onnxruntime asks; and its version, the hash of the file.

    Raises:
        InputError: if it cannot be read, or is none that `export_onnx` wrote.
    """
    from vitrine import tasks

    try:
        data = path.read_bytes()
        own = session(data)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except Exception as error:  # onnxruntime's are of many kinds
        raise InputError(f"{path}: no ONNX file ({' '.join(str(error).split())[:200]})") from error
    told = own.get_modelmeta().custom_metadata_map
    try:
        config = parse_json(told.get(CONFIG, ""))
    except ValueError as error:
        raise InputError(f"{path}: not written by `vitrine export` (no {CONFIG} in its metadata)") from error
    if not isinstance(config, dict) or config.get("task") not in tasks.names():
        raise InputError(f"{path}: its {CONFIG} is of no task that is known here")
    task = tasks.get(config["task"])
    task.check(config, path)
    return Model(task, task.from_graph(own), config), hashlib.sha256(data).hexdigest()[:VERSION]


def session(data: bytes) -> Any:
    """onnxruntime's session of an ONNX file, with torch's number of threads; they sleep while they wait."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def difference(graph: Graph, data: bytes) -> float:
    """The largest |a - b| / max(1, |a|) of all outputs, over batches of noise of several sizes; NaN if one is."""
    asked, differences = session(data), [0.0]
    for count in CHECKED:
        inputs = {name: _resized(example, count) for name, example in graph.inputs.items()}
        with torch.inference_mode():
            expected = graph.module(*inputs.values())
        actual = asked.run(None, {name: value.numpy() for name, value in inputs.items()})
        for torchs, result in zip(expected, actual, strict=True):
            right = torchs.numpy()
            differences.append(float(np.max(np.abs(right - result) / np.maximum(1, np.abs(right)))))
    return float(np.max(differences))  # which passes NaN on


def metadata(model: Model) -> dict[str, str]:
    """What stands in the file beside the graph."""
    config = model.config
    return {
        "vitrine.version": __version__,
        "vitrine.task": model.task.name,
        "vitrine.variant": str(config["variant"]),
        "vitrine.image_size": str(config["image_size"]),
        "vitrine.mean": json.dumps(MEAN),
        "vitrine.std": json.dumps(STD),
        CONFIG: json.dumps(dict(config), ensure_ascii=False),
    }


def _resized(example: Tensor, count: int) -> Tensor:
    """An example of so many rows: other noise; of what is no number with a fraction, the same again and again."""
    if not example.is_floating_point():
        return example[torch.arange(count) % len(example)]
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, *example.shape[1:], generator=generator)


def _written(graph: Graph, model: Model) -> bytes:
    import onnx

    # One dimension a word: where two inputs share it, they are as long.
    words = {word for axes in graph.axes.values() for word in axes.values()}
    lengths = {word: torch.export.Dim(word, min=1, max=4096) for word in words}
    shapes = {name: {axis: lengths[word] for axis, word in axes.items()} for name, axes in graph.axes.items()}
    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about itself
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        path = f"{folder}/model.onnx"
        try:
            torch.onnx.export(
                graph.module, tuple(graph.inputs.values()), path, dynamo=True, verbose=False, external_data=False,
                input_names=list(graph.inputs), output_names=list(graph.outputs), opset_version=OPSET,
                dynamic_shapes=tuple(shapes[name] for name in graph.inputs),
            )  # fmt: skip
        except (RuntimeError, ValueError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"the net cannot be exported ({first})") from error
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
        proto = onnx.load(path)
    for key, value in metadata(model).items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    return data
