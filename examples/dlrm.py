#!/usr/bin/env python3
"""A small DLRM (arXiv 1906.00091) in PyTorch whose tables live in a tenth of their memory, on data of `taut synth`.

Usage: taut synth data.parquet --rows 500000 && python examples/dlrm.py data.parquet [--budget 1/10] [--dense]

--dense takes torch.nn.EmbeddingBag for each feature instead, trained by Adagrad. Rows are in order of time: the last
tenth is the test.
"""

import argparse
import time

import pyarrow.parquet
import torch

import taut

DIM, BATCH = 16, 2048


class DenseBags(torch.nn.ModuleDict):
    """torch.nn.EmbeddingBag by feature, as the paper starts them."""

    def __init__(self, counts):
        bags = {name: torch.nn.EmbeddingBag(count, DIM, mode="sum", sparse=True) for name, count in counts.items()}
        for bag in bags.values():
            torch.nn.init.uniform_(bag.weight, -(bag.num_embeddings**-0.5), bag.num_embeddings**-0.5)
        super().__init__(bags)

    def forward(self, features):
        """The rows of each feature [batch, DIM]."""
        return {name: self[name](ids) for name, ids in features.items()}


class Dlrm(torch.nn.Module):
    """Dense features and the rows of ids, their products in pairs, and a network over all of these."""

    def __init__(self, bags, tables, dense):
        super().__init__()
        self.bags = bags
        self.bottom = torch.nn.Sequential(torch.nn.Linear(dense, 64), torch.nn.ReLU(), torch.nn.Linear(64, DIM))
        pairs = tables * (tables + 1) // 2
        read = (tables + 1) * DIM + pairs
        self.top = torch.nn.Sequential(torch.nn.Linear(read, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
        self.register_buffer("pairs", torch.triu_indices(tables + 1, tables + 1, 1), persistent=False)

    def forward(self, dense, features):
        """Scores [batch], before the sigmoid."""
        below = self.bottom(dense)
        rows = torch.stack([below, *self.bags(features).values()], 1)
        products = torch.bmm(rows, rows.transpose(1, 2))[:, self.pairs[0], self.pairs[1]]
        return self.top(torch.cat([rows.flatten(1), products], 1)).squeeze(1)


def auc_of(scores, labels):
    """The share of pairs of a positive and a negative that are in the right order."""
    order = labels[scores.argsort()].double()
    below = (1 - order).cumsum(0)
    return ((order * below).sum() / (order.sum() * below[-1])).item()


def main():
    """Trains for one pass and prints AUC, bytes and speed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--budget", default="1/10")
    parser.add_argument("--dense", action="store_true")
    options = parser.parse_args()

    table = pyarrow.parquet.read_table(options.data)
    column = {name: torch.from_numpy(table[name].to_numpy().copy()) for name in table.column_names}
    ids = {name: values.unsqueeze(1) for name, values in column.items() if name.startswith("c_")}
    dense = torch.stack([values for name, values in column.items() if name.startswith("d_")], 1)
    labels = column["label"].float()
    train = len(labels) * 9 // 10

    torch.manual_seed(1)
    counts = {name: len(values.unique()) for name, values in ids.items()}
    if options.dense:
        ids = {name: values.unique(return_inverse=True)[1] for name, values in ids.items()}  # 0, 1, 2, ...
        bags = DenseBags(counts)
    else:
        bags = taut.ElasticEmbeddingBagCollection(counts, DIM, memory_budget=options.budget)
    model = Dlrm(bags, len(ids), dense.shape[1])
    networks = torch.optim.Adam([*model.bottom.parameters(), *model.top.parameters()], lr=1e-3)
    optimizers = [networks, torch.optim.Adagrad(bags.parameters(), lr=0.05)] if options.dense else [networks]

    def predict(first, last):
        return model(dense[first:last], {name: values[first:last] for name, values in ids.items()})

    start = time.process_time()
    for first in range(0, train, BATCH):
        last = min(first + BATCH, train)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(predict(first, last), labels[first:last])
        loss.backward()  # a step of the elastic tables, too
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    seconds = time.process_time() - start

    with torch.no_grad():
        scores = torch.cat([predict(at, at + BATCH) for at in range(train, len(labels), BATCH)])
    held = sum(p.nbytes for p in bags.parameters()) if options.dense else bags.statistics()["memory_bytes"]
    auc = auc_of(scores, labels[train:])
    print(f"AUC {auc:.4f}, tables {held} bytes, {train / seconds:.0f} examples a processor second")


if __name__ == "__main__":
    main()
