"""Streaming correlation of frames of any number; memory is bounded by blocks."""
