"""Matrix products in whole numbers give nearly what products of fractions give, row by row."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from export.products import quantise_products

Floats = NDArray[np.float32]


def product(
    weights: Floats, kind: str = "MatMul", bias: Floats | None = None, **options: int
) -> onnx.ModelProto:
    """A graph of one product: of x (rows × n) with the weights (n × m)."""
    tensors = [numpy_helper.from_array(weights, "w")]
    if bias is not None:
        tensors.append(numpy_helper.from_array(bias, "b"))
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", *(tensor.name for tensor in tensors)], ["y"], **options)],
        "product",
        [
            helper.make_tensor_value_info(
                "x", TensorProto.FLOAT, ["rows", weights.shape[options.get("transB", 0)]]
            )
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, rows: Floats) -> Floats:
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": rows})
    return np.asarray(result, dtype=np.float32)


def draw(seed: int, rows: int = 6) -> tuple[Floats, Floats]:
    """Rows of very different magnitudes, and weights whose columns differ as much."""
    generator = np.random.default_rng(seed)
    given = generator.normal(size=(rows, 64)) * 10.0 ** generator.integers(-3, 3, size=(rows, 1))
    weights = generator.normal(size=(64, 16)) * 10.0 ** generator.integers(-2, 2, size=16)
    return given.astype(np.float32), weights.astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_row_and_no_column_is_coarser_for_the_size_of_another(seed: int) -> None:
    rows, weights = draw(seed)
    model = product(weights)
    quantise_products(model)
    error = np.abs(run(model, rows) - rows @ weights)
    scale = np.abs(rows).max(axis=1)[:, None] * np.abs(weights).max(axis=0) * np.sqrt(64)
    assert (error / scale).max() < 0.03


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_row_gives_the_same_whatever_rows_are_beside_it(seed: int) -> None:
    rows, weights = draw(seed)
    model = product(weights)
    quantise_products(model)
    together = run(model, rows)
    alone = np.concatenate([run(model, row[None]) for row in rows])
    np.testing.assert_allclose(alone, together, rtol=1e-6)


def test_a_product_with_a_bias_and_transposed_weights_is_replaced_too() -> None:
    rows, weights = draw(1)
    bias = np.arange(16, dtype=np.float32)
    model = product(np.ascontiguousarray(weights.T), "Gemm", bias, transB=1)
    quantise_products(model)
    assert "Gemm" not in {node.op_type for node in model.graph.node}
    plain = rows @ weights + bias
    assert np.abs(run(model, rows) - plain).max() < 0.02 * np.abs(plain).max()


def test_a_row_of_zeros_gives_zeros() -> None:
    _, weights = draw(2)
    model = product(weights)
    quantise_products(model)
    assert not run(model, np.zeros((3, 64), dtype=np.float32)).any()


@pytest.mark.parametrize("options", [{"transA": 1}, {"alpha": 2.0}])
def test_what_it_cannot_replace_it_leaves(options: dict[str, float]) -> None:
    model = product(np.eye(4, dtype=np.float32), "Gemm", **options)  # type: ignore[arg-type]
    quantise_products(model)
    assert [node.op_type for node in model.graph.node] == ["Gemm"]
    assert [tensor.name for tensor in model.graph.initializer] == ["w"]
