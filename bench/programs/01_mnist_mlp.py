# Two dense layers read handwritten digits; a tenth of the images is for validation.
import torch
from torch import nn
from torch.utils.data import DataLoader, random_split
from torchvision import datasets
from torchvision.transforms import ToTensor

torch.manual_seed(1)
images = datasets.MNIST("data", train=True, download=True, transform=ToTensor())
train, valid = random_split(images, [0.9, 0.1])
test = datasets.MNIST("data", train=False, download=True, transform=ToTensor())
train_loader = DataLoader(train, batch_size=64, shuffle=True)
valid_loader = DataLoader(valid, batch_size=1000)
test_loader = DataLoader(test, batch_size=1000)

model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)


def evaluate(loader):
    model.eval()
    loss, correct, n = 0, 0, len(loader.dataset)
    with torch.no_grad():
        for x, y in loader:
            pred = model(x)
            loss += loss_fn(pred, y).item() * len(y)
            correct += (pred.argmax(1) == y).sum().item()
    return loss / n, correct / n


for epoch in range(3):
    model.train()
    total = 0
    for x, y in train_loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
    valid_loss, valid_accuracy = evaluate(valid_loader)
    print(
        f"epoch {epoch + 1}  loss {total / len(train):.4f}"
        f"  valid loss {valid_loss:.4f}  accuracy {100 * valid_accuracy:.1f} %"
    )
print(f"test accuracy {100 * evaluate(test_loader)[1]:.1f} %")
