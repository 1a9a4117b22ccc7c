"""Inference: tokenisation, batching, the ONNX session, the results of the heads."""
