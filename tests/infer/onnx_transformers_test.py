"""Transformers as both of PyTorch's exporters write them give in the engine what they give in PyTorch."""

import io
import warnings

import numpy as np
import pytest
from c_library import LIBRARY, Library, RefusedError

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript", reason="onnxscript is not installed (scripts/setup.sh)")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

CLOSENESS = 1e-4  # of the largest value
WIDTH, HEADS, TOKENS = 24, 3, 11
WAYS = {
    "default": {},
    "set 17": {"opset_version": 17},
    "torchscript": {"dynamo": False, "opset_version": 17},
    "torchscript 13": {"dynamo": False, "opset_version": 13},  # norms are written out
}


class Attention(nn.Module):
    """By hand, or by PyTorch's own function."""

    def __init__(self, causal=False, by_function=False, apart=False, by_mask=False):
        super().__init__()
        self.causal, self.by_function, self.apart, self.by_mask = causal, by_function, apart, by_mask
        self.qkv = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3)) if apart else nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("seen", torch.tril(torch.ones(32, 32, dtype=torch.bool)).view(1, 1, 32, 32))

    def forward(self, x):
        batch, tokens, width = x.shape
        parts = [layer(x) for layer in self.qkv] if self.apart else self.qkv(x).split(width, dim=2)
        q, k, v = (part.view(batch, tokens, HEADS, width // HEADS).transpose(1, 2) for part in parts)
        if self.by_function:
            mask = self.seen[:, :, :tokens, :tokens] if self.by_mask else None
            mixed = functional.scaled_dot_product_attention(q, k, v, mask, is_causal=self.causal)
        else:
            scores = q @ k.transpose(-2, -1) / (width // HEADS) ** 0.5
            if self.causal:
                scores = scores.masked_fill(~self.seen[:, :, :tokens, :tokens], float("-inf"))
            mixed = scores.softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    """Norms first, as GPT and ViT have them."""

    def __init__(self, activation=functional.gelu, **options):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention(**options)
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.activation = activation

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.narrow(self.activation(self.wide(self.norm2(x))))


def new_gelu(x):
    """GPT-2's, by powers."""
    return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * torch.pow(x, 3.0))))


class VisionTransformer(nn.Module):
    def __init__(self, patch=8, side=24, classes=5):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.places = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, WIDTH))
        self.blocks = nn.Sequential(Block(by_function=True), Block())
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


class Bert(nn.Module):
    """PyTorch's own encoder, norms last, and a pooler of the first token."""

    def __init__(self):
        super().__init__()
        self.block = nn.TransformerEncoderLayer(WIDTH, HEADS, 40, 0.0, functional.gelu, batch_first=True)
        self.pool = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return torch.tanh(self.pool(self.block(x)[:, 0]))


def image():
    return torch.randn(3, 3, 24, 24)


def tokens():
    return torch.randn(3, TOKENS, WIDTH)


NETWORKS = {
    "vit": (VisionTransformer, image),
    "bert": (Bert, tokens),
    "bert apart": (lambda: Block(apart=True), tokens),
    "gpt": (
        lambda: nn.Sequential(
            Block(new_gelu, causal=True), Block(causal=True, by_function=True), Block(by_function=True, by_mask=True)
        ),
        tokens,
    ),
}
CASES = (
    ("vit", "default"),
    ("bert", "default"),
    ("gpt", "set 17"),
    ("vit", "torchscript"),
    ("bert", "torchscript"),
    ("gpt", "torchscript"),
    ("bert apart", "torchscript 13"),
)


def exported(network, x, options) -> bytes:
    batch = {"dynamic_axes": {"x": {0: "n"}}} if "dynamo" in options else {}
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, (x[:1],), None if not batch else file, input_names=["x"], verbose=False, **batch, **options
        )
    return file.getvalue() if batch else program.model_proto.SerializeToString()


@pytest.fixture(scope="module")
def library() -> Library:
    if not LIBRARY.exists():
        pytest.skip(f"{LIBRARY} is not built")
    return Library()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "way"), CASES)
def test_exported_transformers_give_what_they_give_in_pytorch(library, name, way):
    make, example = NETWORKS[name]
    torch.manual_seed(1)
    torch.backends.mha.set_fastpath_enabled(False)
    network, x = make().eval(), example()
    with torch.no_grad():
        wanted = network(x).numpy()
    got = library.run(exported(network, x, WAYS[way]), x.numpy())
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= CLOSENESS * np.abs(wanted).max()


def test_an_embedding_of_words_is_refused_by_its_node(library):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(10, WIDTH)
            self.block = Block()

        def forward(self, ids):
            return self.block(self.words(ids))

    ids = torch.zeros(1, TOKENS, dtype=torch.int64)
    with pytest.raises(RefusedError, match=r"\(Gather\): it looks up rows of a constant"):
        library.run(exported(Words().eval(), ids, WAYS["torchscript"]), np.zeros((1, TOKENS), np.float32))
