# What the network of 02 has learned of digits serves to tell shapes apart: a new last layer on
# frozen weights, and few photos.
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

torch.manual_seed(1)
grey = transforms.Compose(
    [transforms.Grayscale(), transforms.Resize((28, 28)), transforms.ToTensor()]
)
train = datasets.ImageFolder("shapes/train", transform=grey)
test = datasets.ImageFolder("shapes/test", transform=grey)
train_loader = DataLoader(train, batch_size=32, shuffle=True)
test_loader = DataLoader(test, batch_size=100)

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
model.load_state_dict(torch.load("mnist_cnn.pt"))
for parameter in model.parameters():
    parameter.requires_grad = False
model[8] = nn.Linear(7 * 7 * 32, 3)
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model[8].parameters(), lr=1e-3)


def evaluate(loader):
    model.eval()
    loss, correct, n = 0, 0, len(loader.dataset)
    with torch.no_grad():
        for x, y in loader:
            pred = model(x)
            loss += loss_fn(pred, y).item() * len(y)
            correct += (pred.argmax(1) == y).sum().item()
    return loss / n, correct / n


for epoch in range(30):
    model.train()
    total = 0
    for x, y in train_loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
    valid_loss, accuracy = evaluate(test_loader)
    print(
        f"epoch {epoch + 1}  loss {total / len(train):.4f}"
        f"  valid loss {valid_loss:.4f}  accuracy {100 * accuracy:.1f} %"
    )
print(f"test accuracy {100 * evaluate(test_loader)[1]:.1f} %")
