"""Measurements: the engine, the surge detector."""

# Before anything here imports ONNX Runtime: it says that nothing is to be reported.
import stream  # noqa: F401
