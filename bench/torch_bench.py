#!/usr/bin/env python3
"""The measured workloads of ramp, written in PyTorch. Same arguments and same JSON line as ramp-bench.

--mode eager  what a tutorial writes: x[idx], Adam with its defaults, NCHW.
--mode best   the same model with every switch that helps on a CPU: fused optimizer, index_select,
              channels_last, denormals flushed, inference_mode. W11, the embedding: sparse gradients of the table
              and SparseAdam for it, where eager has dense ones.

The images are in memory as float tensors and a batch is an index into them. No DataLoader: it would copy
sample by sample and make PyTorch look slower than it is.
"""
import time

START = time.perf_counter()  # before the import of torch, which is most of the way to "ready"

import argparse
import gzip
import json
import os
import resource
import statistics
import sys

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

CHAIN = 10_000  # ops in W7


def load(folder, images, labels):
    with gzip.open(os.path.join(folder, images + "-idx3-ubyte.gz")) as f:
        x = np.frombuffer(f.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(os.path.join(folder, labels + "-idx1-ubyte.gz")) as f:
        y = np.frombuffer(f.read(), np.uint8, offset=8)
    return torch.from_numpy(x.astype(np.float32)).div_(255), torch.from_numpy(y.astype(np.int64))


def mlp(*sizes):
    layers = [nn.Flatten()]
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def conv_bn_relu(a, b):
    return [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()]


class Block(nn.Module):
    """relu(body(x) + x), x by a 1x1 convolution where the shape changes."""

    def __init__(self, c, k, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c, k, 3, stride, 1, bias=False), nn.BatchNorm2d(k), nn.ReLU(),
            nn.Conv2d(k, k, 3, padding=1, bias=False), nn.BatchNorm2d(k))
        self.shortcut = nn.Sequential()
        if c != k:
            self.shortcut = nn.Sequential(nn.Conv2d(c, k, 1, stride, bias=False), nn.BatchNorm2d(k))

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


def resnet20():
    layers, c = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for k in (16, 32, 64):
        for _ in range(3):
            layers.append(Block(c, k, 1 if c == k else 2))
            c = k
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def model_of(work, best=False):
    if work == "W1":
        return mlp(784, 128, 10)
    if work == "W2":
        return mlp(784, 512, 512, 10)
    if work == "W2w":
        return mlp(784, 1024, 1024, 10)
    if work == "W3":
        return nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))
    if work == "W4":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
    if work == "W5":
        return nn.Sequential(
            *conv_bn_relu(1, 16), *conv_bn_relu(16, 32), nn.MaxPool2d(2), *conv_bn_relu(32, 64), nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    if work == "W8":
        return resnet20()
    if work == "W9":
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 2, 1))
    if work == "W10":  # of ./run mnist
        layers, c = [], 1
        for k in (32, 64, 64):
            layers += [nn.Conv2d(c, k, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(k), nn.ReLU()]
            c = k
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(576, 10))
    if work == "W11":
        return nn.Sequential(nn.EmbeddingBag(100000, 64, mode="mean", sparse=best), nn.Linear(64, 128), nn.ReLU(),
                             nn.Linear(128, 2))
    sys.exit(f"torch_bench: unknown work {work}")


def he(model):
    for m in model.modules():
        if isinstance(m, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            if m.bias is not None:
                nn.init.zeros_(m.bias)
    return model


class Both:
    """Two optimizers as one."""

    def __init__(self, *optimizers):
        self.optimizers = optimizers

    def zero_grad(self):
        for o in self.optimizers:
            o.zero_grad()

    def step(self):
        for o in self.optimizers:
            o.step()


class Training:
    """Steps over endless, reshuffled epochs. run() does n steps."""

    def __init__(self, work, batch, best, folder):
        if work == "W8":
            self.x, self.y = torch.rand(2048, 3, 32, 32), torch.randint(0, 10, (2048,))
        elif work == "W11":
            self.x, self.y = torch.randint(0, 100000, (16384, 32)), torch.randint(0, 2, (16384,))
        else:
            self.x, self.y = load(folder, "train-images", "train-labels")
        self.batch, self.best = batch, best
        self.model = he(model_of(work, best))
        self.convs = work in ("W3", "W4", "W5", "W8", "W9", "W10")
        if best and self.convs:
            self.model = self.model.to(memory_format=torch.channels_last)
        fused = True if best else None
        if work == "W5":
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9, fused=fused)
        elif work == "W8":
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9, fused=fused)
        elif work == "W11" and best:
            self.optimizer = Both(torch.optim.SparseAdam(self.model[0].parameters(), lr=1e-3),
                                  torch.optim.Adam(self.model[1:].parameters(), lr=1e-3, fused=fused))
        else:
            self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=fused)
        self.criterion = nn.CrossEntropyLoss() if work != "W9" else nn.MSELoss()
        self.rebuilds = work == "W9"
        self.loss = float("nan")
        self.stream = self.indices()

    def indices(self):
        n = len(self.x)
        while True:
            perm = torch.randperm(n)
            for i in range(0, n - self.batch + 1, self.batch):
                yield perm[i:i + self.batch]

    def step(self):
        idx = next(self.stream)
        if self.best:
            x, y = self.x.index_select(0, idx), self.y.index_select(0, idx)
            if self.convs:
                x = x.contiguous(memory_format=torch.channels_last)
        else:
            x, y = self.x[idx], self.y[idx]
        logits = self.model(x)
        loss = self.criterion(logits, x if self.rebuilds else y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.loss = loss.detach()

    def accuracy(self, folder):
        x, y = load(folder, "t10k-images", "t10k-labels")
        self.model.eval()
        with torch.no_grad():
            hits = sum((self.model(a).argmax(1) == b).sum().item() for a, b in zip(x.split(1000), y.split(1000)))
        return hits / len(y)


class Inference:
    def __init__(self, work, best, folder):
        self.x, _ = load(folder, "t10k-images", "t10k-labels")
        self.model = he(model_of(work)).eval()
        self.mode = torch.inference_mode if best else torch.no_grad
        if best and work == "W3":
            self.model = self.model.to(memory_format=torch.channels_last)
        self.i = 0

    def step(self):
        self.i = (self.i + 1) % len(self.x)
        with self.mode():
            self.model(self.x[self.i:self.i + 1])


class Chain:
    def __init__(self):
        self.w = torch.tensor(1.0001, requires_grad=True)
        self.b = torch.tensor(0.0001, requires_grad=True)

    def step(self):
        w, b = self.w, self.b
        w.grad = b.grad = None
        x = torch.tensor(1.0)
        for _ in range(CHAIN // 2):
            x = x * w
            x = x + b
        x.backward()


def window(step, seconds):
    """Steps for about so many seconds; steps per second."""
    n, t0 = 0, time.perf_counter()
    while True:
        step()
        n += 1
        t = time.perf_counter() - t0
        if t >= seconds:
            return n / t


def cpu():
    try:
        with open("/proc/cpuinfo") as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return "unknown"


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", default="W1", help="W1 .. W11, W2w")
    p.add_argument("--model", default="W1", help="for W6: the model that is called, W1 or W3")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seconds", type=float, default=2, help="of each of the three windows")
    p.add_argument("--epochs", type=int, default=0, help="then train so many epochs and report test_accuracy")
    p.add_argument("--mode", choices=["eager", "best"], default="eager")
    p.add_argument("--data", default=os.path.join(here, "..", "data", "mnist"))
    p.add_argument("--json", action="store_true", help="one line of JSON (else name: value lines)")
    a = p.parse_args()

    best = a.mode == "best"
    torch.manual_seed(1)
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(best)

    training = a.work not in ("W6", "W7")
    if training:
        bench = Training(a.work, a.batch, best, a.data)
    elif a.work == "W6":
        bench = Inference(a.model, best, a.data)
    else:
        bench = Chain()
    out = {"work": a.work, "batch": a.batch if training else 1, "threads": a.threads}
    if a.work == "W6":
        out["model"] = a.model
    out["start_to_ready_s"] = round(time.perf_counter() - START, 3)

    t0 = time.perf_counter()
    bench.step()
    out["first_step_s"] = round(time.perf_counter() - t0, 4)
    window(bench.step, max(0.2, 0.3 * a.seconds))  # warm-up
    rate = statistics.median(window(bench.step, a.seconds) for _ in range(3))

    if training:
        out["samples_per_s"] = round(rate * a.batch, 1)
        out["loss_last"] = round(float(bench.loss), 5)
        if a.epochs:  # a model of its own: the one above has trained already
            bench = Training(a.work, a.batch, best, a.data)
            seconds, out["seconds_to_99"] = 0, -1
            for _ in range(a.epochs):
                t0 = time.perf_counter()
                for _ in range(len(bench.x) // a.batch):
                    bench.step()
                seconds += time.perf_counter() - t0
                out["test_accuracy"] = bench.accuracy(a.data)
                bench.model.train()
                if out["test_accuracy"] >= 0.99 and out["seconds_to_99"] < 0:
                    out["seconds_to_99"] = round(seconds, 1)
            out["loss_last"] = round(float(bench.loss), 5)
    elif a.work == "W6":
        out["us_per_call"] = round(1e6 / rate, 2)
    else:
        out["ns_per_op"] = round(1e9 / rate / CHAIN, 1)
    out["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    out["cpu"] = cpu()
    out["blas"] = "MKL" if torch.backends.mkl.is_available() else "?"
    out["mode"] = a.mode
    out["version"] = torch.__version__
    if a.json:
        print(json.dumps(out))
    else:
        for k, v in out.items():
            print(f"{k}: {v}")


if __name__ == "__main__":
    main()
