"""Small networks of the usual structures, written by hand, for tests that export them."""

import torch
from torch import nn
from torch.nn import functional


def conv_norm(in_channels, out_channels, kernel, stride=1, groups=1, act=nn.ReLU):
    layers = [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


class Residual(nn.Module):
    def __init__(self, body, shortcut=None):
        super().__init__()
        self.body = body
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def classifier(body, channels):
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def resnet():
    plain = Residual(nn.Sequential(conv_norm(16, 16, 3), conv_norm(16, 16, 3, act=None)))
    wider = nn.Sequential(conv_norm(16, 8, 1), conv_norm(8, 8, 3, 2), conv_norm(8, 32, 1, act=None))
    stride = Residual(wider, conv_norm(16, 32, 1, 2, act=None))
    stem = nn.Sequential(conv_norm(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1))
    return classifier(nn.Sequential(stem, plain, nn.ReLU(), stride, nn.ReLU()), 32)


class DenseBlock(nn.Module):
    def __init__(self, channels, growth, layers):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels + i * growth),
                nn.ReLU(),
                nn.Conv2d(channels + i * growth, growth, 3, padding=1, bias=False),
            )
            for i in range(layers)
        )

    def forward(self, x):
        parts = [x]
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, 1)))
        return torch.cat(parts, 1)


def densenet():
    transition = nn.Sequential(conv_norm(20, 10, 1), nn.AvgPool2d(2))
    body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), DenseBlock(8, 4, 3), transition, DenseBlock(10, 4, 3))
    return classifier(body, 22)


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.down = nn.Conv2d(channels, channels // 4, 1)
        self.up = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(functional.silu(self.down(functional.adaptive_avg_pool2d(x, 1)))))


def inverted(channels, wide, act, excite):
    middle = [conv_norm(channels, wide, 1, act=act), conv_norm(wide, wide, 3, groups=wide, act=act)]
    if excite:
        middle.append(SqueezeExcite(wide))
    return Residual(nn.Sequential(*middle, conv_norm(wide, channels, 1, act=None)))


def mobilenet():
    body = nn.Sequential(conv_norm(3, 8, 3, 2, act=nn.ReLU6), inverted(8, 24, nn.ReLU6, False))
    return classifier(body, 8)


class HardSqueezeExcite(SqueezeExcite):
    def forward(self, x):
        y = functional.relu(self.down(functional.adaptive_avg_pool2d(x, 1)))
        return x * functional.hardsigmoid(self.up(y))


def mobilenet_v3():
    """Both kinds of blocks: with and without excitation, by ReLU and by hard swish."""
    plain = inverted(8, 24, nn.ReLU, False)
    wide = [conv_norm(8, 32, 1, act=nn.Hardswish), conv_norm(32, 32, 5, 2, groups=32, act=nn.Hardswish)]
    excited = [HardSqueezeExcite(32), conv_norm(32, 12, 1, act=None)]
    body = nn.Sequential(conv_norm(3, 8, 3, 2, act=nn.Hardswish), plain, *wide, *excited)
    return classifier(body, 12)


def efficientnet():
    body = nn.Sequential(conv_norm(3, 8, 3, 2, act=nn.SiLU), inverted(8, 32, nn.SiLU, True))
    return classifier(body, 8)


class ConvNextBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(1e-6 * torch.ones(channels, 1, 1))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + self.scale * self.narrow(functional.gelu(self.wide(y))).permute(0, 3, 1, 2)


def convnext():
    return classifier(nn.Sequential(nn.Conv2d(3, 16, 4, 4), ConvNextBlock(16), ConvNextBlock(16)), 16)


class Attention(nn.Module):
    """By hand, its products counted as they are made."""

    def __init__(self, width, heads, causal=False, bias_of=0):
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, bias_of, bias_of)) if bias_of else None

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
        if self.bias is not None:
            scores = scores + self.bias
        if self.causal:
            seen = torch.tril(torch.ones(tokens, tokens, dtype=torch.bool, device=x.device))
            scores = scores.masked_fill(~seen, float("-inf"))
        mixed = scores.softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class TransformerBlock(nn.Module):
    def __init__(self, width, heads, causal=False):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    def __init__(self, width=32, patch=8, side=32):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(TransformerBlock(width, 4), TransformerBlock(width, 4))
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.blocks(x)[:, 0])


class SwinBlock(nn.Module):
    """Attention inside windows, shifted by half of one."""

    def __init__(self, width, heads, window, shift):
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, bias_of=window * window)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        batch, height, side, width = x.shape
        window = self.window
        y = torch.roll(self.norm1(x), (-self.shift, -self.shift), (1, 2)) if self.shift else self.norm1(x)
        y = y.view(batch, height // window, window, side // window, window, width).transpose(2, 3)
        y = self.attention(y.reshape(-1, window * window, width))
        y = y.view(batch, height // window, side // window, window, window, width).transpose(2, 3)
        y = y.reshape(batch, height, side, width)
        x = x + (torch.roll(y, (self.shift, self.shift), (1, 2)) if self.shift else y)
        return x + self.mlp(self.norm2(x))


class Swin(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.blocks = nn.Sequential(SwinBlock(width, 2, 4, 0), SwinBlock(width, 2, 4, 2))
        self.merge = nn.Linear(4 * width, 2 * width, bias=False)
        self.last = SwinBlock(2 * width, 4, 4, 0)
        self.head = nn.Linear(2 * width, 10)

    def forward(self, x):
        x = self.blocks(self.patches(x).permute(0, 2, 3, 1))
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        return self.head(self.last(self.merge(x)).mean((1, 2)))


class Bert(nn.Module):
    def __init__(self, width=32, words=100, longest=64):
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Embedding(longest, width)
        self.norm = nn.LayerNorm(width)
        self.block = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, functional.gelu, batch_first=True)
        self.pool = nn.Linear(width, width)

    def forward(self, ids, mask):
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.places(places))
        x = self.block(x, src_key_padding_mask=mask == 0)
        return torch.tanh(self.pool(x[:, 0]))


class Gpt(nn.Module):
    def __init__(self, width=32, words=100, longest=64):
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Embedding(longest, width)
        self.blocks = nn.Sequential(TransformerBlock(width, 4, True), TransformerBlock(width, 4, True))
        self.head = nn.Linear(width, words, bias=False)

    def forward(self, ids):
        places = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        return self.head(self.blocks(self.words(ids) + self.places(places)))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layer = kind(12, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


def image():
    return (torch.randn(1, 3, 32, 32),)


def tokens():
    return (torch.randint(0, 100, (1, 24)),)


# Name: the network and what it is traced with.
NETWORKS = {
    "resnet": (resnet, image),
    "densenet": (densenet, image),
    "mobilenet": (mobilenet, image),
    "efficientnet": (efficientnet, image),
    "convnext": (convnext, image),
    "vit": (VisionTransformer, image),
    "swin": (Swin, image),
    "bert": (Bert, lambda: (*tokens(), torch.ones(1, 24, dtype=torch.int64))),
    "gpt": (Gpt, tokens),
    "lstm": (lambda: Recurrent(nn.LSTM), lambda: (torch.randn(1, 20, 12),)),
    "gru": (lambda: Recurrent(nn.GRU), lambda: (torch.randn(1, 20, 12),)),
}


class Counter(torch.overrides.TorchFunctionMode):
    """Multiply-adds of every product of activations, as it is made."""

    macs = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in (torch.Tensor.matmul, torch.Tensor.__matmul__, torch.matmul):
            self.macs += result.numel() * args[0].shape[-1]
        return result


def counts(network, inputs):
    """Multiply-adds of one forward pass by hooks, and the weights of all layers and rows of tables."""
    macs, weights, tables = 0, 0, 0

    def layer(module, given, output):
        nonlocal macs, weights
        macs += output.numel() * module.weight[0].numel()
        weights += module.weight.numel()

    def recurrent(module, given, output):
        nonlocal macs, weights
        own = sum(p.numel() for name, p in module.named_parameters() if "weight" in name)
        macs += own * given[0].shape[1]
        weights += own

    def attention(module, given, output):
        # nn.MultiheadAttention calls no module for its input, scores and sums; its output layer is counted here too.
        nonlocal macs, weights
        batch, length, width = given[0].shape
        own = module.in_proj_weight.numel() + module.out_proj.weight.numel()
        macs += batch * length * own + 2 * batch * length * length * width
        weights += own

    for module in network.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.register_forward_hook(attention)
        elif isinstance(module, nn.RNNBase):
            module.register_forward_hook(recurrent)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(layer)
        elif isinstance(module, nn.Embedding):
            tables += module.weight.numel()
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad(), Counter() as products:
        network(*inputs)
    for module in network.modules():
        module._forward_hooks.clear()
    return macs + products.macs, weights, tables
