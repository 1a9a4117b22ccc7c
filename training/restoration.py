"""A bundle read back as a classifier: who has the bundle and no checkpoint can train on, and export anew.

The weights are those that the bundle computes with: of an INT8 bundle whole numbers times their scales, so that
an export without training gives the same bundle again.

Whoever trains on wants them scattered between those whole numbers. Where all are exactly on one, a short training
moves hardly any to the next, and rounding takes back what was learnt: a training on fifty rows that came to an
accuracy of 0.779 in FP32 was worth 0.743 in INT8, and 0.778 from scattered weights.

Errors:
    RestorationError    the bundle does not hold what a classifier needs
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

Weights = dict[str, NDArray[np.float32]]
"""By parameter, shaped as PyTorch has it."""

_PREFIX = "model."
"""What the exporter puts before a parameter's name."""
_BIAS, _WEIGHT = ".bias", ".weight"
_WHOLE, _SCALE = "_quantized", "_scale"
"""What ONNX Runtime puts after the name of a table in whole numbers, and after that of its scale."""
_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}


class RestorationError(Exception):
    """A graph that is no export of a classifier; the message says what is amiss."""


def read_weights(path: Path, chance: np.random.Generator | None = None) -> Weights:
    """The parameters in the graph at `path`, as `export.conversion` writes it in any precision.

    With `chance`, weights in whole numbers are scattered by up to half a step, so that they would be rounded to
    the same again; the largest of each output stay, since its scale hangs on them.
    """
    graph = onnx.load(path).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    weights: Weights = {}
    for name, tensor in constants.items():
        if not name.startswith(_PREFIX):
            continue
        if name.endswith(_WHOLE):
            table = name.removesuffix(_WHOLE)
            scale, zero = (_array(constants[f"{table}{suffix}"]) for suffix in (_SCALE, "_zero_point"))
            weights[table.removeprefix(_PREFIX)] = (_array(tensor) - zero) * scale
        elif tensor.data_type in _FLOATS and not name.endswith(_SCALE):
            weights[name.removeprefix(_PREFIX)] = _array(tensor)
    for name in [name for name in weights if name.endswith(_BIAS)]:
        product = _product(graph.node, makers, _PREFIX + name)
        # A norm has a bias, too, and its weight under its own name.
        if product is not None:
            weights[name.removesuffix(_BIAS) + _WEIGHT] = _matrix(product, constants, chance)
    if not weights:
        raise RestorationError(f"{path} names no parameter of a classifier: train on from its checkpoint")
    return weights


def _product(nodes: Iterable[NodeProto], makers: dict[str, NodeProto], bias: str) -> NodeProto | None:
    """The product with a matrix of weights to which that bias is added; None for a norm's."""
    user = next((node for node in nodes if bias in node.input), None)
    if user is None or user.op_type == "Gemm":
        return user
    if user.op_type != "Add":
        return None
    made = makers.get(next(name for name in user.input if name != bias))
    # In integers the rows of the product are scaled before the bias comes to them.
    if made is not None and made.op_type == "Mul":
        made = makers.get(made.input[0])
    return made if made is not None and made.op_type in {"MatMul", "MatMulIntegerToFloat"} else None


def _matrix(
    product: NodeProto, constants: dict[str, onnx.TensorProto], chance: np.random.Generator | None
) -> NDArray[np.float32]:
    """The weights that a product multiplies with, outputs × inputs."""
    if product.input[1] not in constants:
        raise RestorationError(f"the weights of {product.name or product.output[0]} are no constant")
    matrix = _array(constants[product.input[1]])
    if product.op_type == "MatMulIntegerToFloat":
        if chance is not None:
            inner = np.abs(matrix) < np.abs(matrix).max(axis=0)
            matrix = matrix + inner * chance.uniform(-0.499, 0.499, matrix.shape).astype(np.float32)
        matrix = matrix * _array(constants[product.input[3]])
    transposed = any(item.name == "transB" and item.i for item in product.attribute)
    return np.ascontiguousarray(matrix if transposed else matrix.T)


def _array(tensor: onnx.TensorProto) -> NDArray[np.float32]:
    return numpy_helper.to_array(tensor).astype(np.float32)
