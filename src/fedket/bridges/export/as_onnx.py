"""A plain network as ONNX: for runtimes, browsers and phones that know nothing of fedket.

Input `samples`: (batch, channels, side, side) or (batch, features), float32, pixels already in the
network's range and images already padded to its side. Output `logits`: (batch, classes).
"""

import json
from typing import Any

import numpy as np

from fedket.bridges.extras import needs_extra
from fedket.models.network import Layer
from fedket.models.network_file import SUFFIX, TrainedNetwork

OPSET, IR_VERSION = 17, 8
"""Of 2022: what runtimes of the last years read."""


def to_onnx(network: TrainedNetwork) -> bytes:
    """The file's bytes.

    Raises:
        ConfigError: The package `onnx` is missing.
    """
    with needs_extra("onnx"):
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    plan = network.plan
    nodes: list[Any] = []
    last = "samples"
    for number, layer in enumerate(plan.layers):
        for operation, inputs, attributes in _operations(layer, flat=_is_flat(plan.layers, number)):
            output = f"h{len(nodes)}"
            nodes.append(helper.make_node(operation, [last, *inputs], [output], **attributes))
            last = output
    nodes[-1].output[0] = "logits"
    initial = [
        numpy_helper.from_array(
            np.asarray(network.tensors[layer.name][part], np.float32), f"{layer.name}.{suffix}"
        )
        for layer in plan.weighted
        for part, suffix in SUFFIX.items()
    ]
    shapes = {"samples": plan.shape, "logits": (plan.weighted[-1].kernel[0],)}
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph(nodes, "fedket", ends[:1], ends[1:], initial)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(
        graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="fedket"
    )
    words = {"layers": json.dumps(plan.words), "pixel_range": network.pixel_range}
    helper.set_model_props(model, words)
    onnx.checker.check_model(model, full_check=True)
    written: bytes = model.SerializeToString()
    return written


def _is_flat(layers: tuple[Layer, ...], number: int) -> bool:
    """Whether a linear layer gets features already."""
    return any(layer.kind == "linear" for layer in layers[:number])


def _operations(layer: Layer, flat: bool) -> list[tuple[str, list[str], dict[str, Any]]]:
    """Operator, inputs beside the samples, and attributes; dropout does nothing in evaluation."""
    weights = [f"{layer.name}.{suffix}" for suffix in SUFFIX.values()]
    match layer.kind:
        case "conv":
            return [("Conv", weights, {})]
        case "pool":
            return [("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]})]
        case "relu":
            return [("Relu", [], {})]
        case "linear":
            dense = ("Gemm", weights, {"transB": 1})
            return [dense] if flat else [("Flatten", [], {"axis": 1}), dense]
    return []
