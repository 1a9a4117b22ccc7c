"""From a checkpoint to an ONNX graph of a wanted precision.

All forms take the inputs that `stream.bundle` names, with dynamic sizes, and give one float32 output of
logits per head.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import Tensor, nn

from export.products import quantise_products
from stream.bundle import ENTITY_INPUTS, TEXT_INPUTS, Head, Precision, model_inputs
from stream.engine.encoding import Encoding, pad, with_an_entity
from stream.evaluation.prediction import Logits, by_length, complete, run_batches
from training.model import Classifier

OPSET = 20


class PlainTensors(nn.Module):
    """The classifier with a tuple for its dictionary, in the order of its heads."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        logits = self.model(*inputs)
        return tuple(logits[name] for name in self.model.heads)


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
    # Several texts, tokens and entities: a dimension of 1 would be taken for a constant. And a tensor of its
    # own for each input: the exporter takes one object given twice for one input.
    inputs = [torch.ones((2, 8), dtype=torch.long), torch.ones((2, 8), dtype=torch.long)]
    batch = torch.export.Dim("batch", min=1, max=65_536)
    tokens = torch.export.Dim("tokens", min=2, max=maximum_tokens)
    shapes = [{0: batch, 1: tokens}, {0: batch, 1: tokens}]
    if model.entity_heads:
        inputs += [torch.tensor([0, 1, 1]), torch.ones((3, 8), dtype=torch.long)]
        entities = torch.export.Dim("entities", min=1, max=1_048_576)
        shapes += [{0: entities}, {0: entities, 1: tokens}]
    with _quiet():
        torch.onnx.export(
            PlainTensors(model),
            tuple(inputs),
            path,
            input_names=TEXT_INPUTS + ENTITY_INPUTS if model.entity_heads else TEXT_INPUTS,
            output_names=list(model.heads),
            dynamic_shapes={"inputs": tuple(shapes)},
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
    """INT8: products with weights in integers, activations scaled by token as they come.

    Embeddings have one scale per table. What a text is judged does not depend on the texts in its batch, as it
    would if the activations of a batch had one scale.
    """
    quantised = folder / "quantised.onnx"
    with _quiet():
        quantize_dynamic(source, quantised, weight_type=QuantType.QInt8, op_types_to_quantize=["Gather"])
    model = onnx.load(quantised)
    quantise_products(model)
    return model


def _sort(graph: onnx.GraphProto) -> None:
    """Put every node once, and after those that it needs: the conversion to half precision does not, and before
    ONNX Runtime 1.32 makes the same cast twice where two nodes want a value in full precision."""
    nodes = list({node.SerializeToString(deterministic=True): node for node in graph.node}.values())
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
    onnx_session: InferenceSession,
    heads: Sequence[Head],
    encodings: Sequence[Encoding],
    padding_id: int,
    batch_size: int,
) -> Logits:
    """Logits per head in the order of `encodings`, batched by like length."""
    names = [head.name for head in heads]

    def run(batch: Sequence[Encoding]) -> dict[str, NDArray[np.float32]]:
        given = pad(batch, padding_id)
        # Without a head over entities the graph has no inputs for them; with one, it wants an entity.
        inputs = {name: with_an_entity(given)[name] for name in model_inputs(heads)}
        answers = dict(zip(names, onnx_session.run(names, inputs), strict=True))
        return {
            head.name: answers[head.name] for head in heads if head.scope == "text" or "entity_text" in given
        }

    logits = run_batches(run, encodings, by_length(encodings, batch_size), heads)
    complete(heads, logits, encodings)
    return logits
