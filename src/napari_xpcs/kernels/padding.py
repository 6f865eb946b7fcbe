"""Lengths that compiled kernels are padded to."""


def padded_length(length: int) -> int:
    """Return the length that an array of ``length`` is padded to for a compiled kernel."""
    return max(16, 1 << (length - 1).bit_length())
