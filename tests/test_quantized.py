"""A model in 8 bits answers nearly as before, is a quarter of the size, and is refused where it loses too much."""

import json

import numpy as np
import onnx
import pytest
from toys import toy_catalog

import vitrine
from vitrine import quantized, tasks
from vitrine.data.pixels import Query
from vitrine.errors import InputError
from vitrine.export import export_onnx, opened
from vitrine.predict import Model
from vitrine.quantized import export_int8
from vitrine.train import train

QUICK = ("epochs=3", "image_size=32", "workers=1", "weights=none", "hidden=16")


@pytest.fixture(scope="module")
def made(tmp_path_factory, slow_to_make, quick_exporter):
    folder = tmp_path_factory.mktemp("int8")
    catalog = toy_catalog(folder / "toys")
    train("taxonomy", "bcnn", catalog, folder / "model", QUICK)
    export_onnx(folder / "model", folder / "plain.onnx")
    return folder, catalog


def test_eight_bits_keep_up(made, tmp_path):
    folder, catalog = made
    kept = export_int8(folder / "model", catalog, tmp_path / "deep" / "int8.onnx", max_loss=0.1)
    assert kept.decision.promote, kept.decision.reason
    assert kept.after >= kept.before - 0.1
    data = (tmp_path / "deep" / "int8.onnx").read_bytes()
    assert kept.bytes == len(data) < 0.45 * (folder / "plain.onnx").stat().st_size
    proto = onnx.load_from_string(data)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in proto.graph.node}
    told = {entry.key: entry.value for entry in proto.metadata_props}
    assert told["vitrine.precision"] == "int8"
    assert json.loads(told["vitrine.config"])["task"] == "taxonomy"
    assert answers(opened(tmp_path / "deep" / "int8.onnx")[0]) == pytest.approx(
        answers(Model.load(folder / "model")), abs=0.1
    )


def test_a_file_is_a_model(made):
    folder, _ = made
    loaded = vitrine.load(folder / "plain.onnx")
    assert loaded.task == "taxonomy"
    assert len(loaded.version) == 16
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    right = vitrine.load(folder / "model").predict(pixels)
    assert loaded.predict(pixels)["level1"].tolist() == right["level1"].tolist()
    assert answers(opened(folder / "plain.onnx")[0]) == pytest.approx(answers(Model.load(folder / "model")), abs=1e-3)


def answers(model):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    (reply,) = model.reply([Query(pixels, list("abcd"), 1000)])
    return {
        f"{line['image']} {question} {one['label']}": one["confidence"]
        for line in reply.records
        for question in line.keys() - {"image"}
        for one in line[question]
    }


def test_what_loses_too_much_is_not_written(made, tmp_path, monkeypatch):
    folder, catalog = made
    measured = iter([{"macro_top1": 0.6, "count": 24.0}, {"macro_top1": 0.58, "count": 24.0}])
    monkeypatch.setattr(quantized, "quantized", lambda *_: (folder / "plain.onnx").read_bytes())
    monkeypatch.setattr(type(tasks.get("taxonomy")), "metrics", lambda *_: next(measured))
    kept = export_int8(folder / "model", catalog, tmp_path / "int8.onnx")
    assert kept.decision.reason == "Refused: macro_top1 falls from 0.6000 to 0.5800; at most 0.01 is allowed."
    assert not kept.decision.promote
    assert not (tmp_path / "int8.onnx").exists()


def test_what_is_lacking_is_said(made, tmp_path):
    folder, catalog = made
    table = catalog.table.assign(split=catalog.table["split"].replace("validation", "train"))
    with pytest.raises(InputError, match="no row has split 'validation'"):
        export_int8(folder / "model", catalog.with_table(table), tmp_path / "int8.onnx")
    with pytest.raises(InputError, match="max_loss=2: must lie between 0 and 1"):
        export_int8(folder / "model", catalog, tmp_path / "int8.onnx", max_loss=2)


@pytest.mark.parametrize(
    ("data", "what"), [(None, "No such file"), (b"", "no ONNX file"), (b"PK not a graph", "no ONNX file")]
)
def test_what_is_no_file_of_ours_is_said(tmp_path, data, what):
    if data is not None:
        (tmp_path / "x.onnx").write_bytes(data)
    with pytest.raises(InputError, match=what):
        opened(tmp_path / "x.onnx")


def test_a_graph_of_others_is_said(tmp_path):
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(InputError, match="not written by `vitrine export`"):
        opened(tmp_path / "x.onnx")
    for config, what in (('"text"', "no task that is known"), ('{"task": "pricing"}', "no task that is known"),
                         ('{"task": "taxonomy"}', "does not describe a model")):  # fmt: skip
        del model.metadata_props[:]
        entry = model.metadata_props.add()
        entry.key, entry.value = "vitrine.config", config
        onnx.save(model, tmp_path / "x.onnx")
        with pytest.raises(InputError, match=what):
            opened(tmp_path / "x.onnx")
