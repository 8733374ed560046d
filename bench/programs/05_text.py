# Which language a sentence is in, by the runs of three characters in it.
import re
from collections import Counter

import pandas as pd
import torch
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader

torch.manual_seed(1)
train, test = train_test_split(pd.read_csv("languages.csv"), test_size=0.2, random_state=0)


def trigrams(text):
    words = re.findall(r"[\w'’]+", text.lower())
    return [f" {word} "[i : i + 3] for word in words for i in range(len(word))]


counts = Counter(run for text in train["text"] for run in trigrams(text))
vocabulary = {run: i + 1 for i, (run, _) in enumerate(counts.most_common())}
languages = sorted(train["language"].unique())


def encode(text):
    return torch.tensor([vocabulary.get(run, 0) for run in trigrams(text)])


def collate(batch):
    texts = [encode(text) for text, _ in batch]
    labels = torch.tensor([languages.index(language) for _, language in batch])
    offsets = torch.tensor([0] + [len(text) for text in texts[:-1]]).cumsum(0)
    return torch.cat(texts), offsets, labels


train_loader = DataLoader(train.values, batch_size=16, shuffle=True, collate_fn=collate)
test_loader = DataLoader(test.values, batch_size=100, collate_fn=collate)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.EmbeddingBag(len(vocabulary) + 1, 32)
        self.head = nn.Linear(32, len(languages))

    def forward(self, text, offsets):
        return self.head(self.embedding(text, offsets))


model = Classifier()
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)


def evaluate(loader):
    model.eval()
    loss, correct, n = 0, 0, len(loader.dataset)
    with torch.no_grad():
        for text, offsets, y in loader:
            pred = model(text, offsets)
            loss += loss_fn(pred, y).item() * len(y)
            correct += (pred.argmax(1) == y).sum().item()
    return loss / n, correct / n


for epoch in range(20):
    model.train()
    total = 0
    for text, offsets, y in train_loader:
        loss = loss_fn(model(text, offsets), y)
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

with torch.no_grad():
    guess = model(encode("Where is the cat?"), torch.tensor([0])).argmax(1).item()
print(f'"Where is the cat?" is {languages[guess]}')
