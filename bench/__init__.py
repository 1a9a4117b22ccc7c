"""Measurements: the engine, the surge detector."""
