# A digit in sixteen numbers, and a picture of what is left of it.
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision.transforms import ToTensor
from torchvision.utils import save_image

torch.manual_seed(1)
train = datasets.MNIST("data", train=True, download=True, transform=ToTensor())
test = datasets.MNIST("data", train=False, download=True, transform=ToTensor())
train_loader = DataLoader(train, batch_size=128, shuffle=True)
test_loader = DataLoader(test, batch_size=1000)

model = nn.Sequential(
    nn.Flatten(),
    nn.Linear(784, 128),
    nn.ReLU(),
    nn.Linear(128, 16),
    nn.Linear(16, 128),
    nn.ReLU(),
    nn.Linear(128, 784),
    nn.Sigmoid(),
    nn.Unflatten(1, (1, 28, 28)),
)
loss_fn = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)


def evaluate(loader):
    model.eval()
    total = 0
    with torch.no_grad():
        for x, _ in loader:
            total += loss_fn(model(x), x).item() * len(x)
    return total / len(loader.dataset)


for epoch in range(3):
    model.train()
    total = 0
    for x, _ in train_loader:
        loss = loss_fn(model(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    print(
        f"epoch {epoch + 1}  loss {total / len(train):.4f}"
        f"  valid loss {evaluate(test_loader):.4f}"
    )

before = torch.stack([test[i][0] for i in range(16)])
with torch.no_grad():
    after = model(before)
save_image(torch.cat([before, after]), "autoencoder.png", nrow=16)
print(f"squared error {evaluate(test_loader):.4f}")
