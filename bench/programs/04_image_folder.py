# Photos of shapes, a folder for each class, told apart by a small convolutional network.
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

torch.manual_seed(1)
augment = transforms.Compose(
    [
        transforms.Resize((32, 32)),
        transforms.RandomHorizontalFlip(),
        transforms.RandomCrop(32, padding=4),
        transforms.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
        transforms.ToTensor(),
    ]
)
plain = transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor()])
train = datasets.ImageFolder("shapes/train", transform=augment)
test = datasets.ImageFolder("shapes/test", transform=plain)
train_loader = DataLoader(train, batch_size=32, shuffle=True)
test_loader = DataLoader(test, batch_size=100)

model = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3, padding=1),
    nn.BatchNorm2d(64),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(4 * 4 * 64, len(train.classes)),
)
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)


def evaluate(loader):
    model.eval()
    loss, correct, n = 0, 0, len(loader.dataset)
    with torch.no_grad():
        for x, y in loader:
            pred = model(x)
            loss += loss_fn(pred, y).item() * len(y)
            correct += (pred.argmax(1) == y).sum().item()
    return loss / n, correct / n


for epoch in range(15):
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

photo = plain(Image.open("shapes/test/circle/000.png").convert("RGB"))
model.eval()
with torch.no_grad():
    guess = model(photo.unsqueeze(0)).argmax(1).item()
print(f"shapes/test/circle/000.png shows a {train.classes[guess]}")
