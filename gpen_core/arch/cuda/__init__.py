"""The engine for GPUs: a Triton kernel between two convolutions, and CUDA graphs."""
