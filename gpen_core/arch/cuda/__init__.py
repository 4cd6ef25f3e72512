"""The engine for GPUs: one Triton kernel between two convolutions, and CUDA graphs."""
