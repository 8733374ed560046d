# The sum of two digits, from two images: a layer, a loss and a loop of one's own, with clipped
# gradients and averaged weights.
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets


# y = x sigmoid(scale x + shift), with a learned scale and shift for each feature.
class Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return x * torch.sigmoid(x * self.scale + self.shift)


class Adder(nn.Module):
    def __init__(self):
        super().__init__()
        self.eye = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), Gate(128))
        self.head = nn.Sequential(nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 19))

    def forward(self, a, b):
        return self.head(torch.cat([self.eye(a), self.eye(b)], dim=-1))


# Cross entropy that counts less where the network is sure already.
def focal_loss(logits, y):
    loss = F.cross_entropy(logits, y, reduction="none")
    return ((1 - torch.exp(-loss)) ** 2 * loss).mean()


# One half of the images beside the other one.
def pairs(train):
    digits = datasets.MNIST("data", train=train, download=True)
    x, y, half = digits.data / 255, digits.targets, len(digits) // 2
    return TensorDataset(x[:half], x[half:], y[:half] + y[half:])


torch.manual_seed(1)
loader = DataLoader(pairs(train=True), batch_size=64, shuffle=True)
test_a, test_b, test_y = pairs(train=False).tensors
model = Adder()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
for epoch in range(5):
    total = 0
    for a, b, y in loader:
        loss = focal_loss(model(a, b), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
        ema.update_parameters(model)
        total += loss.item()
    print(f"epoch {epoch + 1}  loss {total / len(loader):.4f}")
torch.save(ema.module.state_dict(), "adder.pt")
ema.eval()
with torch.no_grad():
    logits = ema(test_a, test_b)
print(f"test accuracy {100 * (logits.argmax(1) == test_y).float().mean().item():.1f} %")
