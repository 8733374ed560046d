"""Trains a small network on MNIST with PyTorch, for 22_from_pytorch.cc.

    python3 22_from_pytorch.py     (needs torch, numpy and safetensors; made with 2.13.0, 2.4.6 and 0.8.0)

Writes ../data/pytorch/digits.safetensors, the state dict, and digits_predictions.npy, what PyTorch reads in
the 10,000 test images.
"""

import gzip
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

data = pathlib.Path(__file__).resolve().parent.parent / "data"


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.fc1 = nn.Linear(16 * 7 * 7, 28)
        self.act = nn.PReLU()
        self.fc2 = nn.Linear(28, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.fc2(self.act(self.fc1(torch.flatten(x, 1))))


def load(name, shape, offset):
    with gzip.open(data / "mnist" / f"{name}-ubyte.gz") as f:
        return torch.from_numpy(np.frombuffer(f.read(), np.uint8, offset=offset).reshape(shape).copy())


def images(name):
    return load(f"{name}-images-idx3", (-1, 1, 28, 28), 16).float() / 255


def labels(name):
    return load(f"{name}-labels-idx1", (-1,), 8).long()


torch.manual_seed(1)
torch.set_num_threads(1)
x, y = images("train"), labels("train")
net, epochs, batch = Digits(), 3, 128
adam = torch.optim.Adam(net.parameters())
steps = epochs * (len(x) // batch)
cycle = torch.optim.lr_scheduler.OneCycleLR(adam, 1e-2, total_steps=steps)
for epoch in range(epochs):
    for rows in torch.randperm(len(x)).split(batch)[:len(x) // batch]:
        loss = F.cross_entropy(net(x[rows]), y[rows])
        adam.zero_grad()
        loss.backward()
        adam.step()
        cycle.step()
    print(f"epoch {epoch + 1}: loss {loss.item():.3f}", flush=True)
net.eval()
with torch.no_grad():
    read = torch.cat([net(part).argmax(1) for part in images("t10k").split(1000)])
right = (read == labels("t10k")).sum().item()
(data / "pytorch").mkdir(exist_ok=True)
save_file(net.state_dict(), data / "pytorch" / "digits.safetensors",
          {"format": "pt", "made_by": f"torch {torch.__version__}", "right_of_10000": str(right)})
np.save(data / "pytorch" / "digits_predictions.npy", read.numpy().astype(np.uint8))
print(f"reads {right} of 10000 test images right")
