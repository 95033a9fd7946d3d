"""Small models in the styles that plans are made of."""

import torch
from torch import nn
from torch.nn import functional


def mlp(width: int = 64) -> nn.Sequential:
    return nn.Sequential(nn.Linear(32, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 8))


class GptAttention(nn.Module):
    """As of GPT-2: queries, keys and values in one product."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        split = [one.view(batch, length, self.heads, -1).transpose(1, 2) for one in self.qkv(x).chunk(3, -1)]
        seen = functional.scaled_dot_product_attention(*split, is_causal=True)
        return self.out(seen.transpose(1, 2).reshape(batch, length, width))


class GptBlock(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = GptAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self, words: int = 64, width: int = 32, heads: int = 4, blocks: int = 1, length: int = 8):
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(GptBlock(width, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class LlamaAttention(nn.Module):
    """As of LLaMA: rotated positions, fewer heads of keys than of queries, products written out."""

    def __init__(self, width: int, heads: int, key_heads: int):
        super().__init__()
        self.heads, self.key_heads, self.dim = heads, key_heads, width // heads
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, self.dim * key_heads, bias=False)
        self.v = nn.Linear(width, self.dim * key_heads, bias=False)
        self.o = nn.Linear(width, width, bias=False)

    def _rotated(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin

    def _repeated(self, x: torch.Tensor) -> torch.Tensor:
        batch, heads, length, dim = x.shape
        times = self.heads // heads
        return x[:, :, None].expand(batch, heads, times, length, dim).reshape(batch, heads * times, length, dim)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q = self._rotated(self.q(x).view(batch, length, self.heads, -1).transpose(1, 2), cos, sin)
        k = self._rotated(self.k(x).view(batch, length, self.key_heads, -1).transpose(1, 2), cos, sin)
        v = self.v(x).view(batch, length, self.key_heads, -1).transpose(1, 2)
        scores = q @ self._repeated(k).transpose(2, 3) / self.dim**0.5
        seen = torch.softmax(scores, -1) @ self._repeated(v)
        return self.o(seen.transpose(1, 2).reshape(batch, length, width))


class LlamaBlock(nn.Module):
    def __init__(self, width: int, heads: int, key_heads: int, hidden: int):
        super().__init__()
        self.norm1 = nn.RMSNorm(width)
        self.attention = LlamaAttention(width, heads, key_heads)
        self.norm2 = nn.RMSNorm(width)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x), cos, sin)
        y = self.norm2(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):
    def __init__(
        self, width: int = 32, heads: int = 4, key_heads: int = 2, hidden: int = 64, blocks: int = 1, length: int = 8
    ):
        super().__init__()
        self.blocks = nn.ModuleList(LlamaBlock(width, heads, key_heads, hidden) for _ in range(blocks))
        self.norm = nn.RMSNorm(width)
        dim = width // heads
        turns = torch.outer(torch.arange(length), 10000 ** (-torch.arange(0, dim, 2) / dim)).repeat(1, 2)
        self.register_buffer("cos", turns.cos())
        self.register_buffer("sin", turns.sin())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return self.norm(x)


class Scaled(nn.Module):
    """Gives a loss, which parameters scale, one as it is and one computed from it."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(32, 8)
        self.scale, self.shift = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).square().mean() * self.scale + self.shift.exp()


class ResBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.short = None
        if stride != 1 or inputs != outputs:
            self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(y + (x if self.short is None else self.short(x)))


class ResNet(nn.Module):
    def __init__(self, width: int = 8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(ResBlock(width, width, 1), ResBlock(width, 2 * width, 2))
        self.fc = nn.Linear(2 * width, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.norm(self.conv(x))), 2)
        return self.fc(functional.adaptive_avg_pool2d(self.blocks(x), 1).flatten(1))


class Dlrm(nn.Module):
    """Bags and dense values, and the products of all pairs of them."""

    def __init__(self, bags: list[nn.Module], dense: int = 4, dim: int = 8):
        super().__init__()
        self.bags = nn.ModuleList(bags)
        self.bottom = nn.Sequential(nn.Linear(dense, 16), nn.ReLU(), nn.Linear(16, dim), nn.ReLU())
        pairs = (len(bags) + 1) * len(bags) // 2
        self.top = nn.Sequential(nn.Linear(dim + pairs, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        x = self.bottom(dense)
        rows = torch.stack([x, *(bag(ids[:, i]) for i, bag in enumerate(self.bags))], 1)
        i, j = torch.tril_indices(rows.shape[1], rows.shape[1], -1)
        pairs = torch.bmm(rows, rows.transpose(1, 2))[:, i, j]
        return self.top(torch.cat([x, pairs], 1)).squeeze(1)


def dlrm(**options) -> Dlrm:
    return Dlrm([nn.EmbeddingBag(32, 8, mode="sum", **options), nn.EmbeddingBag(16, 8, mode="mean", **options)])


class Collected(nn.Module):
    """A DLRM whose tables are one collection, with a sequence beside."""

    def __init__(self, dim: int = 8, budget: str = "1MiB", many: int = 1, **others):
        super().__init__()
        from taut import ElasticEmbedding, ElasticEmbeddingBagCollection

        options = {"memory_budget": budget, "optimizer": "sgd", "loss_reduction": "sum", "learning_rate": 0.05}
        options |= others
        tables = {"a": 40 * many, "b": 30 * many, "c": 20 * many}
        self.bags = ElasticEmbeddingBagCollection(tables, dim, mode="mean", **options)
        self.words = ElasticEmbedding(50, dim - 2, **options)
        self.dense = nn.Sequential(nn.Linear(4 * dim + 4, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, dense: torch.Tensor, ids: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        rows = self.bags({name: ids[:, place] for place, name in enumerate("abc")})
        seen = functional.pad(self.words(words), (0, 2)).mean(1)
        return self.dense(torch.cat([dense, rows["a"], rows["b"], rows["c"], seen], 1)).squeeze(1)


def elastic() -> Dlrm:
    """Bags of which one drops rows."""
    from taut import ElasticEmbeddingBag

    options = {"mode": "sum", "learning_rate": 0.002, "loss_reduction": "mean"}
    return Dlrm([ElasticEmbeddingBag(300, 8, memory_budget=budget, **options) for budget in ("1/3", "1MiB", "1MiB")])


def crowd(batch: int) -> tuple[torch.Tensor, ...]:
    """Inputs that read many rows."""
    ids = torch.stack([torch.randint(0, 200 * 10 * rows, (batch, 3)) for rows in (4, 3, 2)], 1)
    return torch.randn(batch, 4), ids, torch.randint(0, 50, (batch, 5))


def example(name: str, batch: int = 8) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A model with the same weights at each call, and inputs."""
    torch.manual_seed(0)
    models = {"mlp": mlp, "gpt": Gpt, "llama": Llama, "resnet": ResNet, "dlrm": dlrm, "elastic": elastic}
    models["collected"] = Collected
    models["scaled"] = Scaled
    models["crowded"] = lambda: Collected(budget="256KiB", many=200)  # which has room for half of the rows
    models["waiting"] = lambda: Collected(budget="256KiB", many=200, fused=False)
    models["thirds"] = lambda: mlp(width=96)
    model = models[name]()
    inputs = {
        "mlp": lambda: (torch.randn(batch, 32),),
        "scaled": lambda: (torch.randn(batch, 32),),
        "crowded": lambda: crowd(256 * batch),
        "waiting": lambda: crowd(64 * batch),
        "gpt": lambda: (torch.randint(0, 64, (batch, 8)),),
        "llama": lambda: (torch.randn(batch, 8, 32),),
        "resnet": lambda: (torch.randn(batch, 3, 16, 16),),
        "dlrm": lambda: (torch.randn(batch, 4), torch.randint(0, 16, (batch, 2, 3))),
        "elastic": lambda: (torch.randn(batch, 4), torch.randint(0, 300, (batch, 3, 20))),
        "thirds": lambda: (torch.randn(3 * batch, 32),),
        "collected": lambda: (
            torch.randn(batch, 4),
            torch.randint(0, 20, (batch, 3, 3)),
            torch.randint(0, 50, (batch, 5)),
        ),
    }
    return model, inputs[name]()
