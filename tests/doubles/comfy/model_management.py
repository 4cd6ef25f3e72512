"""A host whose only device is the CPU, so that nothing needs to be moved."""

import torch

CPU = torch.device("cpu")


class InterruptProcessingException(BaseException):
    pass


def get_torch_device():
    return CPU


def unet_offload_device():
    return CPU


def intermediate_device():
    return CPU


def intermediate_dtype():
    return torch.float32


def should_use_fp16(device=None):
    return False


def should_use_bf16(device=None):
    return False


def get_free_memory(device=None):
    return 8 << 30


def free_memory(memory_required, device):
    return []


def load_models_gpu(models, memory_required=0, force_full_load=False):
    pass


def raise_non_oom(error):
    if not isinstance(error, torch.OutOfMemoryError):
        raise error


def throw_exception_if_processing_interrupted():
    pass
