# How many stars a user gives a film: a vector and a bias for each of both.
import pandas as pd
import torch
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Recommender(nn.Module):
    def __init__(self, users, films):
        super().__init__()
        self.user = nn.Embedding(users, 8)
        self.film = nn.Embedding(films, 8)
        self.user_bias = nn.Embedding(users, 1)
        self.film_bias = nn.Embedding(films, 1)

    def forward(self, u, f):
        match = (self.user(u) * self.film(f)).sum(dim=-1, keepdim=True)
        return (match + self.user_bias(u) + self.film_bias(f)).squeeze(-1)


torch.manual_seed(1)
ratings = pd.read_csv("ratings.csv")
ratings["user"], users = pd.factorize(ratings["user"])
ratings["film"], films = pd.factorize(ratings["film"])
train, test = train_test_split(ratings, test_size=0.1, random_state=0)
mean, std = train["stars"].mean(), train["stars"].std()


def dataset(table):
    stars = torch.tensor(((table["stars"] - mean) / std).values, dtype=torch.float32)
    return TensorDataset(
        torch.tensor(table["user"].values), torch.tensor(table["film"].values), stars
    )


train_loader = DataLoader(dataset(train), batch_size=256, shuffle=True)
test_u, test_f, test_y = dataset(test).tensors
model = Recommender(len(users), len(films))
loss_fn = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

for epoch in range(30):
    total = 0
    for u, f, y in train_loader:
        loss = loss_fn(model(u, f), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
    with torch.no_grad():
        valid_loss = loss_fn(model(test_u, test_f), test_y).item()
    print(f"epoch {epoch + 1}  loss {total / len(train):.4f}  valid loss {valid_loss:.4f}")

print(f"RMSE {std * valid_loss ** 0.5:.3f} stars")
