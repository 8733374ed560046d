# A convolutional network reads digits that are bent a little in each epoch; a run that was stopped
# goes on from its checkpoint. 10,000 images, so that it takes seconds.
import os

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

torch.manual_seed(1)
augment = transforms.Compose(
    [
        transforms.RandomAffine(12, translate=(0.07, 0.07), scale=(0.9, 1.1), shear=6),
        transforms.ToTensor(),
    ]
)
images = datasets.MNIST("data", train=True, download=True, transform=augment)
test = datasets.MNIST("data", train=False, download=True, transform=transforms.ToTensor())
train = Subset(images, range(10000))
train_loader = DataLoader(train, batch_size=64, shuffle=True)
test_loader = DataLoader(test, batch_size=1000)

model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Dropout(0.2),
    nn.Linear(7 * 7 * 32, 10),
)
epochs = 3
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters())
scheduler = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, max_lr=5e-3, epochs=epochs, steps_per_epoch=len(train_loader)
)


def evaluate(loader):
    model.eval()
    loss, correct, n = 0, 0, len(loader.dataset)
    with torch.no_grad():
        for x, y in loader:
            pred = model(x)
            loss += loss_fn(pred, y).item() * len(y)
            correct += (pred.argmax(1) == y).sum().item()
    return loss / n, correct / n


start = 0
if os.path.exists("mnist_cnn.ckpt.pt"):
    checkpoint = torch.load("mnist_cnn.ckpt.pt")
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    scheduler.load_state_dict(checkpoint["scheduler"])
    start = checkpoint["epoch"]
for epoch in range(start, epochs):
    model.train()
    total = 0
    for x, y in train_loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        total += loss.item() * len(y)
    valid_loss, accuracy = evaluate(test_loader)
    print(
        f"epoch {epoch + 1}  loss {total / len(train):.4f}"
        f"  valid loss {valid_loss:.4f}  accuracy {100 * accuracy:.1f} %"
    )
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "epoch": epoch + 1,
    }
    torch.save(checkpoint, "mnist_cnn.ckpt.pt")
torch.save(model.state_dict(), "mnist_cnn.pt")
print(f"test accuracy {100 * evaluate(test_loader)[1]:.1f} %")
