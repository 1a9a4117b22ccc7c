"""Matrix products in 8-bit integers, with a scale for each token and for each column of the weights.

ONNX Runtime's own dynamic quantisation scales the activations of a whole batch alike, so that one odd token makes
all others coarser, and an answer depends on the texts that happen to be judged together.

For X (… × n, one row a token) and weights W (n × m):

    X ≈ diag(r) A / 127     r: largest magnitude in each row; A: whole numbers from -127 to 127
    W ≈ B diag(s)           s: by column; B: whole numbers from -63 to 63
    X W ≈ diag(r) (A B) diag(s) / 127

Weights have 7 bits, so that a CPU without VNNI, whose 8-bit products saturate, gives the same answers.

Source: LLM.int8(), Dettmers et al. 2022 (vector-wise quantisation).
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

CONTRIB = "com.microsoft"
"""Domain of ONNX Runtime's own operators."""
_LEVELS = 127.0
_WEIGHT_LEVELS = 63.0
_SMALLEST = 1e-9


class _Graph:
    """A graph whose products are being replaced, node by node."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._tokens: dict[str, tuple[str, str]] = {}
        """By activation: its whole numbers, and the largest magnitude of each row."""
        self.nodes: list[NodeProto] = []

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Name of a constant, made once."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(value), name)
            self._graph.initializer.append(self._constants[name])
        return name

    def weights(self, node: NodeProto) -> NDArray[np.float32] | None:
        """The constant matrix (n × m) that a node multiplies with; None for other nodes."""
        if node.op_type not in {"MatMul", "Gemm"} or node.input[1] not in self._constants:
            return None
        matrix = numpy_helper.to_array(self._constants[node.input[1]])
        options = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        if options.get("transA") or options.get("alpha", 1.0) != 1.0 or options.get("beta", 1.0) != 1.0:
            return None
        if matrix.ndim != 2 or matrix.dtype != np.float32:
            return None
        return matrix.T if options.get("transB") else matrix

    def replace(self, node: NodeProto, matrix: NDArray[np.float32]) -> None:
        """Put the product in integers in the place of `node`."""
        scales = np.maximum(np.abs(matrix).max(axis=0), _SMALLEST) / _WEIGHT_LEVELS
        whole = np.round(matrix / scales).astype(np.int8)
        numbers, largest = self._quantise_tokens(node.input[0])
        (result,) = node.output
        biased = len(node.input) > 2
        product, scaled = f"{result}_product", f"{result}_scaled" if biased else result
        operands = [
            numbers,
            self.constant(f"{result}_weights", whole),
            self.constant("token_step", np.array(1 / _LEVELS, dtype=np.float32)),
            self.constant(f"{result}_scales", scales.astype(np.float32)),
            self._zero(),
        ]
        self.nodes.append(helper.make_node("MatMulIntegerToFloat", operands, [product], domain=CONTRIB))
        self.nodes.append(helper.make_node("Mul", [product, largest], [scaled]))
        if biased:
            self.nodes.append(helper.make_node("Add", [scaled, node.input[2]], [result]))

    def _zero(self) -> str:
        # Unsigned, with its zero in the middle: ONNX Runtime has no fast product of signed by signed.
        return self.constant("token_zero", np.array(128, dtype=np.uint8))

    def _quantise_tokens(self, name: str) -> tuple[str, str]:
        """Whole numbers of an activation, and what to multiply their rows with; several products share them."""
        if name not in self._tokens:
            numbers, largest = f"{name}_numbers", f"{name}_largest"
            axis = self.constant("last_axis", np.array([-1], dtype=np.int64))
            smallest = self.constant("smallest", np.array(_SMALLEST, dtype=np.float32))
            levels = self.constant("token_levels", np.array(_LEVELS, dtype=np.float32))
            one = self.constant("one", np.array(1, dtype=np.float32))
            steps: list[tuple[str, list[str], str]] = [
                ("Abs", [name], f"{name}_magnitude"),
                ("ReduceMax", [f"{name}_magnitude", axis], f"{name}_maximum"),
                ("Max", [f"{name}_maximum", smallest], largest),
                ("Div", [levels, largest], f"{name}_factor"),
                ("Mul", [name, f"{name}_factor"], f"{name}_spread"),
                ("QuantizeLinear", [f"{name}_spread", one, self._zero()], numbers),
            ]
            self.nodes += [helper.make_node(kind, given, [made]) for kind, given, made in steps]
            self._tokens[name] = numbers, largest
        return self._tokens[name]


def quantise_products(model: onnx.ModelProto) -> None:
    """Replace every product of an activation with a constant matrix, in place."""
    graph = _Graph(model.graph)
    for node in model.graph.node:
        matrix = graph.weights(node)
        if matrix is None:
            graph.nodes.append(node)
        else:
            graph.replace(node, matrix)
    needed = {name for node in graph.nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.node[:]
    model.graph.node.extend(graph.nodes)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    # Shapes that the exporter noted are of tensors that are no more.
    del model.graph.value_info[:]
    if all(opset.domain != CONTRIB for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
