"""From a checkpoint to an ONNX graph of a wanted precision.

All forms take `input_ids` and `attention_mask` (int64, batch × tokens, both dynamic) and give one
float32 output of logits per head.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import Tensor, nn

from stream.bundle import Precision
from training.model import Classifier

OPSET = 20


class PlainTensors(nn.Module):
    """The classifier with a tuple for its dictionary, in the order of its heads."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model(input_ids, attention_mask).values())


def convert(model: Classifier, maximum_tokens: int, precision: Precision, path: Path) -> None:
    """Write `model` (on the CPU, in evaluation mode) to `path` as one ONNX file."""
    with tempfile.TemporaryDirectory() as folder:
        raw, optimised = Path(folder) / "raw.onnx", Path(folder) / "optimised.onnx"
        _export(model, maximum_tokens, raw)
        _optimise(raw, optimised)
        if precision == "int8":
            graph = _quantise(optimised, Path(folder))
        else:
            graph = onnx.load(optimised)
            if precision == "fp16":
                graph = convert_float_to_float16(graph, keep_io_types=True)
                _sort(graph.graph)
        _forget_origin(graph)
        onnx.checker.check_model(graph)
        onnx.save(graph, path)


def _export(model: Classifier, maximum_tokens: int, path: Path) -> None:
    # Two texts of several tokens: a dimension of 1 would be taken for a constant.
    input_ids = torch.ones((2, 8), dtype=torch.long)
    # A tensor of its own: the exporter takes one object given twice for one input.
    attention_mask = torch.ones((2, 8), dtype=torch.long)
    dynamic = {
        0: torch.export.Dim("batch", min=1, max=65_536),
        1: torch.export.Dim("tokens", min=2, max=maximum_tokens),
    }
    with _quiet():
        torch.onnx.export(
            PlainTensors(model),
            (input_ids, attention_mask),
            path,
            input_names=["input_ids", "attention_mask"],
            output_names=list(model.heads),
            dynamic_shapes={"input_ids": dynamic, "attention_mask": dynamic},
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            verbose=False,
        )


def _optimise(source: Path, target: Path) -> None:
    """Fold constants and drop what has no effect. Fusions are left to the session: they depend on
    the device, and dynamic INT8 was faster without them."""
    options = SessionOptions()
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def _quantise(source: Path, folder: Path) -> onnx.ModelProto:
    """Dynamic INT8: weights signed, per channel, in 7 bits, so that a CPU without VNNI, whose
    8-bit products saturate, gives the same answers. Embeddings have one scale per table."""
    quantised = folder / "quantised.onnx"
    with _quiet():
        quantize_dynamic(
            source,
            quantised,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
        )
    return onnx.load(quantised)


def _sort(graph: onnx.GraphProto) -> None:
    """Put every node after those that it needs; the conversion to half precision does not."""
    nodes = list(graph.node)
    maker = {output: index for index, node in enumerate(nodes) for output in node.output}
    needs = {index: {maker[name] for name in node.input if name in maker} for index, node in enumerate(nodes)}
    del graph.node[:]
    graph.node.extend(nodes[index] for index in TopologicalSorter(needs).static_order())


def _forget_origin(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes: traces of source files, which are of no use at run time."""
    graph = model.graph
    for item in (
        model,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
    ):
        item.doc_string = ""
        del item.metadata_props[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Third-party exporters print and warn of their own affairs; their errors still pass."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def session(path: Path, threads: int | None = None) -> InferenceSession:
    """A CPU session of the graph."""
    options = SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    return InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_session(
    onnx_session: InferenceSession, token_ids: list[list[int]], padding_id: int, batch_size: int
) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Logits per head (texts × labels) in the order of `token_ids`, batched by like length."""
    heads = [output.name for output in onnx_session.get_outputs()]
    order = sorted(range(len(token_ids)), key=lambda index: len(token_ids[index]))
    results: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        longest = max(len(token_ids[index]) for index in chosen)
        input_ids = np.full((len(chosen), longest), padding_id, dtype=np.int64)
        mask = np.zeros_like(input_ids)
        for row, index in enumerate(chosen):
            input_ids[row, : len(token_ids[index])] = token_ids[index]
            mask[row, : len(token_ids[index])] = 1
        outputs = onnx_session.run(heads, {"input_ids": input_ids, "attention_mask": mask})
        for head, logits in zip(heads, outputs, strict=True):
            if head not in results:
                results[head] = np.zeros((len(order), logits.shape[1]), dtype=np.float32)
            results[head][chosen] = logits
    return results
