"""Writes small.safetensors beside this script with the reference implementation (safetensors 0.8.0, torch 2.11.0)."""
import pathlib

import torch
from safetensors.torch import save_file

tensors = {
    "weight": torch.arange(12, dtype=torch.float32).reshape(3, 4) / 8,
    "norm": torch.tensor([1.5, -2.0], dtype=torch.float64),
    "half": torch.tensor([[0.5], [-1.25]], dtype=torch.float16),
    "brain": torch.tensor([3.0, -0.15625, 256.0], dtype=torch.bfloat16),
    "counts": torch.tensor([1, -2, 2**40], dtype=torch.int64),
    "ids": torch.tensor([[7, -9]], dtype=torch.int32),
    "bytes": torch.tensor([0, 127, 255], dtype=torch.uint8),
    "flags": torch.tensor([True, False, True], dtype=torch.bool),
    "empty": torch.zeros(0, 5, dtype=torch.float32),
    "scalar": torch.tensor(0.125, dtype=torch.float32),
    "größe \"q\"": torch.tensor([1], dtype=torch.int8),
}
save_file(tensors, pathlib.Path(__file__).parent / "small.safetensors", metadata={"format": "pt"})
