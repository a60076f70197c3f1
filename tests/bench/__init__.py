"""Benchmarks: ours beside the bare engine doing only the irreducible part, in the same run, each side in a process of
its own. The ratio is what to read; machines are noisy.
"""
