"""Turns a checkpoint into a model bundle: conversion, quantisation, parity, writing."""

# Before anything here imports ONNX Runtime: it says that nothing is to be reported.
import stream  # noqa: F401
