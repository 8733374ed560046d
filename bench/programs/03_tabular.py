# What a flat costs, from a CSV file in which years and districts are missing.
import copy

import pandas as pd
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(1)
known, test = train_test_split(pd.read_csv("flats.csv"), test_size=0.2, random_state=0)
train, valid = train_test_split(known, test_size=0.2, random_state=0)
encoder = make_column_transformer(
    (
        make_pipeline(StandardScaler(), SimpleImputer(add_indicator=True)),
        make_column_selector(dtype_include="number"),
    ),
    (
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        make_column_selector(dtype_exclude="number"),
    ),
)
scaler = StandardScaler()
encoder.fit(train.drop(columns="price"))
scaler.fit(train[["price"]])


def encode(table):
    x = encoder.transform(table.drop(columns="price"))
    y = scaler.transform(table[["price"]])
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


train_loader = DataLoader(TensorDataset(*encode(train)), batch_size=64, shuffle=True)
valid_x, valid_y = encode(valid)
model = nn.Sequential(
    nn.Linear(valid_x.shape[1], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
)
loss_fn = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

best_loss, best_epoch = float("inf"), 0
for epoch in range(100):
    model.train()
    total = 0
    for x, y in train_loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
    model.eval()
    with torch.no_grad():
        valid_loss = loss_fn(model(valid_x), valid_y).item()
    print(f"epoch {epoch + 1}  loss {total / len(train):.4f}  valid loss {valid_loss:.4f}")
    if valid_loss < best_loss:
        best_loss, best_epoch = valid_loss, epoch
        best_state = copy.deepcopy(model.state_dict())
    elif epoch - best_epoch >= 10:
        break
model.load_state_dict(best_state)

model.eval()
with torch.no_grad():
    guess = scaler.inverse_transform(model(encode(test)[0]).numpy())
rmse = root_mean_squared_error(test["price"], guess)
print(f"RMSE {rmse:.2f}  R2 {r2_score(test['price'], guess):.3f}")
