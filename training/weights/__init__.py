"""Tools for checkpoints: deltas, adapters, precision, GGUF, inspection, publishing. No Django.

They work tensor by tensor, so that a model needs to fit on the disk and not into the memory.
"""
