# Fraud is rare: one payment in thirty. Both classes are drawn equally often, and the model of the
# epoch with the best AUC is kept.
import copy

import pandas as pd
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.metrics import confusion_matrix, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

torch.manual_seed(1)
known, test = train_test_split(pd.read_csv("payments.csv"), test_size=0.2, random_state=0)
train, valid = train_test_split(known, test_size=0.2, random_state=0)
encoder = make_column_transformer(
    (StandardScaler(), make_column_selector(dtype_include="number")),
    (
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        make_column_selector(dtype_exclude="number"),
    ),
)
encoder.fit(train.drop(columns="fraud"))


def encode(table):
    x = torch.tensor(encoder.transform(table.drop(columns="fraud")), dtype=torch.float32)
    return x, torch.tensor((table["fraud"] == "yes").to_numpy(), dtype=torch.int64)


train_x, train_y = encode(train)
valid_x, valid_y = encode(valid)
test_x, test_y = encode(test)
weights = 1 / torch.bincount(train_y)[train_y]
sampler = WeightedRandomSampler(weights, len(train_y))
train_loader = DataLoader(TensorDataset(train_x, train_y), batch_size=64, sampler=sampler)

model = nn.Sequential(nn.Linear(train_x.shape[1], 32), nn.ReLU(), nn.Linear(32, 2))
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)


def predict(x):
    model.eval()
    with torch.no_grad():
        logits = model(x)
    return logits.argmax(1), logits.softmax(1)[:, 1]


best_auc = 0
for epoch in range(10):
    model.train()
    total = 0
    for x, y in train_loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
    guess, score = predict(valid_x)
    auc = roc_auc_score(valid_y, score)
    print(
        f"epoch {epoch + 1}  loss {total / len(train):.4f}"
        f"  precision {precision_score(valid_y, guess):.3f}"
        f"  recall {recall_score(valid_y, guess):.3f}  auc {auc:.3f}"
    )
    if auc > best_auc:
        best_auc = auc
        best_state = copy.deepcopy(model.state_dict())
model.load_state_dict(best_state)

guess, score = predict(test_x)
print(confusion_matrix(test_y, guess))
print(
    f"precision {precision_score(test_y, guess):.3f}"
    f"  recall {recall_score(test_y, guess):.3f}  AUC {roc_auc_score(test_y, score):.3f}"
)
