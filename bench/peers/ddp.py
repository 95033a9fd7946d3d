#!/usr/bin/env python3
"""One worker of PyTorch's DistributedDataParallel on images, started by torchrun; rank 0 prints JSON.

The networks of `train_workers.py`, weights and biases uniform as `taut train` draws them, SGD with Nesterov momentum,
one thread. The images are in memory, normalized, before the clock starts, and the first steps, in which DDP lays out
its buckets, are not timed.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

UNTIMED_STEPS = 4


def network_of(kind: str) -> nn.Sequential:
    """The zoo's network of that name for 28 x 28 grey images and ten classes."""
    if kind == "mlp":
        layers = [nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)]
    else:
        layers = [nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)]
    torch.manual_seed(1)
    for layer in layers:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            inputs = layer.weight[0].numel()
            nn.init.uniform_(layer.weight, -math.sqrt(6 / inputs), math.sqrt(6 / inputs))
            nn.init.uniform_(layer.bias, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))
    return nn.Sequential(*layers)


def load(images: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalized images [n, 1, 28, 28] and labels of an IDX pair."""
    pixels = np.frombuffer(images.read_bytes(), np.uint8, offset=16).reshape(-1, 1, 28, 28).astype(np.float32)
    labels = np.frombuffer(Path(str(images).replace("images-idx3", "labels-idx1")).read_bytes(), np.uint8, offset=8)
    pixels = (pixels - pixels.mean()) / pixels.std()
    return torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64))


def main() -> None:
    """Trains for an epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--kind", choices=("mlp", "lenet-c"), required=True)
    parser.add_argument("--batch", type=int, required=True, help="of all workers")
    parser.add_argument("--rate", type=float, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    model = DistributedDataParallel(network_of(arguments.kind))
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.rate, momentum=0.9, nesterov=True)
    images, labels = load(arguments.images)
    share = arguments.batch // dist.get_world_size()
    first = dist.get_rank() * share
    losses = []
    start = 0.0
    for begin in range(0, len(labels) - arguments.batch + 1, arguments.batch):
        if len(losses) == UNTIMED_STEPS:
            dist.barrier()
            start = time.perf_counter()
        mine = slice(begin + first, begin + first + share)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images[mine]), labels[mine])
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    dist.barrier()
    seconds = time.perf_counter() - start
    last = torch.stack(losses[-(len(losses) // 4) :]).mean()
    dist.all_reduce(last)
    if dist.get_rank() == 0:
        result = {
            "examples_per_second": (len(losses) - UNTIMED_STEPS) * arguments.batch / seconds,
            "loss": last.item() / dist.get_world_size(),
            "parameters": sum(p.numel() for p in model.parameters()),
        }
        print(json.dumps(result), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
