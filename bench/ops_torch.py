#!/usr/bin/env python3
"""The op table's rows in PyTorch. Same arguments and the same JSON lines as ramp-bench --work ops and growth.

Images, and the weights of convolutions, are tried as contiguous and as channels_last; the better one counts,
for the forward pass and for forward + backward each by itself. Optimizers are the fused ones; where there is
none, the better of a loop over the parameters and foreach. What PyTorch has no function for is written as its
users write it.
"""
import argparse
import json
import re
import sys
import time
import warnings

import torch
import torch.nn.functional as F

ROWS = {}  # name -> function that returns a list of (forward, both or None, numel), the best of which counts
SIZES = {"8k": (64, 128), "1.6M": (64, 28, 28, 32)}
FORMATS = (torch.contiguous_format, torch.channels_last)


def normal(*shape):
    return lambda: torch.randn(*shape).requires_grad_()


def uniform(shape, lo=0.0, hi=1.0):
    return lambda: (torch.rand(*shape) * (hi - lo) + lo).requires_grad_()


def fixed(make):
    return lambda: make().detach()


def labels(shape, classes):
    return lambda: torch.randint(0, classes, shape)


def signs(*shape):
    return lambda: torch.randint(0, 2, shape).float() * 2 - 1


def calls_of(inputs, f):
    y = f(*inputs)
    if not y.requires_grad:
        return lambda: f(*inputs), None, y.numel()
    dy = torch.randn_like(y)
    leaves = [x for x in inputs if x.requires_grad]

    def both():
        f(*inputs).backward(dy)
        for x in leaves:
            x.grad = None

    return lambda: f(*inputs), both, y.numel()


def row(name, inputs, f):
    assert name not in ROWS, name
    ROWS[name] = lambda: [calls_of([make() for make in inputs], f)]


def formatted(make, memory_format):
    x = make()
    if x.dim() != 4:
        return x
    return x.detach().contiguous(memory_format=memory_format).requires_grad_(x.requires_grad)


def image_row(name, inputs, f):
    assert name not in ROWS, name
    ROWS[name] = lambda: [calls_of([formatted(make, m) for make in inputs], f) for m in FORMATS]


def activations():
    unary = {
        "relu": F.relu,
        "leaky_relu": F.leaky_relu,
        "elu": F.elu,
        "selu": F.selu,
        "celu": F.celu,
        "relu6": F.relu6,
        "clipped_relu": lambda x: x.clamp(0, 4),
        "squared_relu": lambda x: F.relu(x).square(),
        "thresholded_relu": lambda x: F.threshold(x, 1, 0),
        "smelu": lambda x: torch.where(x.abs() < 1, (x + 1).square() / 4, F.relu(x)),
        "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "silu": F.silu,
        "swish": lambda x: x * torch.sigmoid(2 * x),
        "mish": F.mish,
        "hard_swish": F.hardswish,
        "hard_sigmoid": F.hardsigmoid,
        "hard_tanh": F.hardtanh,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "softplus": F.softplus,
        "softsign": F.softsign,
        "log_sigmoid": F.logsigmoid,
        "crelu": lambda x: torch.cat([F.relu(x), F.relu(-x)], -1),
        "glu": F.glu,
        "rrelu": lambda x: F.rrelu(x, training=True),
        "dropout": F.dropout,
    }
    for size, s in SIZES.items():
        for name, f in unary.items():
            row(f"{name}|{size}", [normal(*s)], f)
        channels = (s[0], s[3], s[1], s[2]) if len(s) == 4 else s
        image_row(f"prelu|{size}", [normal(*channels), uniform((s[-1],))], F.prelu)
        if len(s) == 4:
            image_row(f"dropout2d|{size}", [normal(*channels)], F.dropout2d)


def elementwise():
    unary = {
        "exp": torch.exp,
        "erf": torch.erf,
        "abs": torch.abs,
        "neg": torch.neg,
        "sin": torch.sin,
        "cos": torch.cos,
        "clamp": lambda x: x.clamp(-1, 1),
        "square": lambda x: x.pow(2),
        "cube": lambda x: x.pow(3),
        "mul_number": lambda x: x * 2.5,
        "add_number": lambda x: x + 2.5,
        "number_minus": lambda x: 2.5 - x,
    }
    positive = {
        "log": torch.log,
        "sqrt": torch.sqrt,
        "pow_number": lambda x: x.pow(1.7),
        "number_over": lambda x: 2.5 / x,
    }
    without_gradient = {
        "floor": torch.floor,
        "ceil": torch.ceil,
        "round": torch.round,
        "sign": torch.sign,
        "isnan": torch.isnan,
        "logical_not": torch.logical_not,
    }
    binary = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "maximum": torch.maximum, "minimum": torch.minimum}
    comparisons = {"less": torch.lt, "equal": torch.eq, "logical_and": torch.logical_and}
    for size, s in SIZES.items():
        for name, f in unary.items():
            row(f"{name}|{size}", [normal(*s)], f)
        for name, f in positive.items():
            row(f"{name}|{size}", [uniform(s, 0.1, 1.1)], f)
        for name, f in without_gradient.items():
            row(f"{name}|{size}", [fixed(normal(*s))], f)
        for name, f in binary.items():
            row(f"{name}|{size}", [normal(*s), normal(*s)], f)
        for name, f in comparisons.items():
            row(f"{name}|{size}", [fixed(normal(*s)), fixed(normal(*s))], f)
        row(f"div|{size}", [normal(*s), uniform(s, 0.5, 1.5)], torch.div)
        row(f"pow|{size}", [uniform(s, 0.1, 1.1), uniform(s, 1, 2)], torch.pow)
        row(f"add_row|{size}", [normal(*s), normal(s[-1])], torch.add)
        row(f"mul_row|{size}", [normal(*s), normal(s[-1])], torch.mul)
        row(f"div_row|{size}", [normal(*s), uniform((s[-1],), 0.5, 1.5)], torch.div)
        row(f"add_column|{size}", [normal(*s), normal(*s[:-1], 1)], torch.add)
        row(f"mul_column|{size}", [normal(*s), normal(*s[:-1], 1)], torch.mul)
        mask = lambda s=s: torch.rand(*s) < 0.5
        row(f"where|{size}", [normal(*s), normal(*s), mask], lambda a, b, c: torch.where(c, a, b))


def reductions():
    all_and_first = {
        "sum_all": torch.sum,
        "mean_all": torch.mean,
        "var_all": torch.var,
        "max_all": torch.amax,
        "logsumexp_all": lambda x: x.logsumexp(tuple(range(x.dim()))),
        "sum_first": lambda x: x.sum(0),
        "mean_first": lambda x: x.mean(0),
        "var_first": lambda x: x.var(0),
        "max_first": lambda x: x.amax(0),
        "argmax_first": lambda x: x.argmax(0),
        "softmax_first": lambda x: x.softmax(0),
        "cumsum_first": lambda x: x.cumsum(0),
    }
    last = {
        "sum_last": lambda x: x.sum(-1),
        "mean_last": lambda x: x.mean(-1),
        "var_last": lambda x: x.var(-1),
        "stddev_last": lambda x: x.std(-1),
        "prod_last": lambda x: x.prod(-1),
        "logsumexp_last": lambda x: x.logsumexp(-1),
        "max_last": lambda x: x.amax(-1),
        "min_last": lambda x: x.amin(-1),
        "argmax_last": lambda x: x.argmax(-1),
        "argmin_last": lambda x: x.argmin(-1),
        "cumsum_last": lambda x: x.cumsum(-1),
        "normalize": lambda x: F.normalize(x, dim=-1),
        "softmax": lambda x: x.softmax(-1),
        "log_softmax": lambda x: x.log_softmax(-1),
        "sort": lambda x: x.sort(-1).values,
        "topk": lambda x: x.topk(5, -1).values,
    }
    for size, s in SIZES.items():
        for name, f in all_and_first.items():
            row(f"{name}|{size}", [normal(*s)], f)
    for size, s in dict(SIZES, **{"2048x768": (2048, 768)}).items():
        for name, f in last.items():
            row(f"{name}|{size}", [normal(*s)], f)
        row(f"cosine_similarity|{size}", [normal(*s), normal(*s)], lambda a, b: F.cosine_similarity(a, b, -1))
        row(f"layer_norm|{size}", [normal(*s), normal(s[-1]), normal(s[-1])],
            lambda x, g, b: F.layer_norm(x, g.shape, g, b))


def losses():
    for size, s in SIZES.items():
        y, target, p = normal(*s), fixed(normal(*s)), fixed(uniform(s, 0.01, 0.99))
        for name, f in {"mse_loss": F.mse_loss, "l1_loss": F.l1_loss, "smooth_l1_loss": F.smooth_l1_loss,
                        "huber_loss": F.huber_loss}.items():
            row(f"{name}|{size}", [y, target], f)
        row(f"bce_with_logits|{size}", [y, p], F.binary_cross_entropy_with_logits)
        row(f"bce_loss|{size}", [uniform(s, 0.01, 0.99), p], F.binary_cross_entropy)
        row(f"kl_div|{size}", [uniform(s, -5, -1), p], F.kl_div)
        row(f"poisson_nll_loss|{size}", [y, p], F.poisson_nll_loss)
        row(f"gaussian_nll_loss|{size}", [y, target, uniform(s, 0.1, 1.1)], F.gaussian_nll_loss)
        row(f"hinge_loss|{size}", [y, signs(*s)], lambda y, t: F.relu(1 - t * y).mean())
        row(f"hinge_embedding_loss|{size}", [y, signs(*s)], F.hinge_embedding_loss)
        row(f"margin_ranking_loss|{size}", [y, normal(*s), signs(*s)],
            lambda a, b, t: F.margin_ranking_loss(a, b, t, 0.1))
        # PyTorch's takes rows [n, features] only.
        row(f"cosine_embedding_loss|{size}", [y, normal(*s), signs(*s[:-1])],
            lambda a, b, t: F.cosine_embedding_loss(a.view(-1, a.shape[-1]), b.view(-1, b.shape[-1]), t.view(-1)))
        row(f"triplet_margin_loss|{size}", [y, normal(*s), normal(*s)], F.triplet_margin_loss)
    for n, c in ((64, 10), (512, 1000), (16384, 100)):
        size = f"{n}x{c}"
        row(f"cross_entropy|{size}", [normal(n, c), labels((n,), c)], F.cross_entropy)
        row(f"cross_entropy smoothed|{size}", [normal(n, c), labels((n,), c)],
            lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1))
        row(f"nll_loss|{size}", [uniform((n, c), -5, -1), labels((n,), c)], F.nll_loss)


def shape_ops():
    def split(x):
        a, b = x.split(x.shape[-1] // 2, -1)
        return a + b

    # Slices and the like are made contiguous: the next op reads them.
    unary = {
        "slice": lambda x: x[..., 8:24].contiguous(),
        "slice step 2": lambda x: x[..., ::2].contiguous(),
        "slice first": lambda x: x[8:24],
        "rows": lambda x: x[8:24],
        "reshape": lambda x: x.reshape(-1, 64),
        "flatten": lambda x: x.flatten(1),
        "unsqueeze": lambda x: x.unsqueeze(1),
        "clone": torch.clone,
        "to f64": torch.Tensor.double,
        "flip last": lambda x: x.flip(-1),
        "flip first": lambda x: x.flip(0),
        "roll": lambda x: x.roll(3, 0),
        "split": split,
    }
    for size, s in SIZES.items():
        for name, f in unary.items():
            row(f"{name}|{size}", [normal(*s)], f)
        row(f"concat last|{size}", [normal(*s), normal(*s)], lambda a, b: torch.cat([a, b], -1))
        row(f"concat first|{size}", [normal(*s), normal(*s)], lambda a, b: torch.cat([a, b], 0))
        row(f"stack|{size}", [normal(*s), normal(*s)], lambda a, b: torch.stack([a, b], 0))
        row(f"broadcast_to|{size}", [normal(s[-1])], lambda x, s=s: x.expand(s).contiguous())
    for n in (90, 1024):
        row(f"transpose|{n}x{n}", [normal(n, n)], lambda x: x.t().contiguous())
        row(f"repeat|{n}x{n}", [normal(n, n)], lambda x: x.repeat(2, 2))
        row(f"gather|{n}x{n}", [normal(n, n), labels((n, 10), n)], lambda x, i: x.gather(1, i))
    for s in ((2, 8, 16, 32), (64, 28, 28, 32)):
        row(f"permute|{text(s)}", [normal(*s)], lambda x: x.permute(0, 3, 1, 2).contiguous())
    for s in ((1000, 16), (10000, 64)):
        for n in (128, 4096):
            row(f"take|{text(s)}, {n} rows", [normal(*s), labels((n,), s[0])], lambda x, i: x.index_select(0, i))
    for n, c in ((512, 10), (16384, 100)):
        row(f"one_hot|{n}x{c}", [labels((n,), c)], lambda x, c=c: F.one_hot(x, c).float())


def text(shape):
    return "x".join(str(n) for n in shape)


def products():
    for n in (64, 128, 256, 512, 1024):
        row(f"matmul|{n}", [normal(n, n), normal(n, n)], torch.matmul)
    for n in (64, 512):
        row(f"matmul a b^T|{n}", [normal(n, n), normal(n, n)], lambda a, b: a @ b.t())
        row(f"matmul a^T b|{n}", [normal(n, n), normal(n, n)], lambda a, b: a.t() @ b)
    for s in ((64, 8, 8), (32, 64, 64), (8, 256, 256)):
        row(f"matmul|{text(s)}", [normal(*s), normal(*s)], torch.matmul)
    row("matmul|1024x1024, 1024x1", [normal(1024, 1024), normal(1024, 1)], torch.matmul)
    for n, i, o in ((1, 784, 128), (8, 784, 128), (64, 784, 128), (512, 784, 128), (64, 128, 10), (512, 128, 10),
                    (1, 512, 512), (16, 512, 512), (128, 512, 512), (512, 512, 512), (1, 1024, 1024), (32, 1024, 1024),
                    (256, 1024, 1024), (64, 9216, 128), (64, 400, 120), (64, 120, 84)):
        inputs = [normal(n, i), normal(o, i), normal(o)]
        row(f"linear|{n}x{i}x{o}", inputs, F.linear)
        if i in (784, 1024):
            row(f"linear relu|{n}x{i}x{o}", inputs, lambda x, w, b: F.relu(F.linear(x, w, b)))


CONVS = [  # name, n, size, c, k, kernel, stride, padding, dilation, groups
    ("3x3 1-32", 64, 28, 1, 32, 3),
    ("3x3 32-64", 64, 26, 32, 64, 3),
    ("5x5 1-6", 64, 28, 1, 6, 5, 1, 2),
    ("5x5 6-16", 64, 14, 6, 16, 5),
    ("3x3 1-16", 128, 28, 1, 16, 3, 1, 1),
    ("3x3 16-32", 128, 28, 16, 32, 3, 1, 1),
    ("3x3 14 32-64", 128, 14, 32, 64, 3, 1, 1),
    ("3x3 3-16 cifar", 128, 32, 3, 16, 3, 1, 1),
    ("3x3 16-16 cifar", 128, 32, 16, 16, 3, 1, 1),
    ("3x3 16-32 s2", 128, 32, 16, 32, 3, 2, 1),
    ("3x3 32-32", 128, 16, 32, 32, 3, 1, 1),
    ("3x3 32-64 s2", 128, 16, 32, 64, 3, 2, 1),
    ("3x3 64-64", 128, 8, 64, 64, 3, 1, 1),
    ("1x1 16-32 s2", 128, 32, 16, 32, 1, 2),
    ("1x1 32-64 s2", 128, 16, 32, 64, 1, 2),
    ("1x1 64-256", 32, 14, 64, 256, 1),
    ("1x1 256-64", 32, 14, 256, 64, 1),
    ("3x3 128-128", 16, 14, 128, 128, 3, 1, 1),
    ("3x3 256-256", 16, 14, 256, 256, 3, 1, 1),
    ("7x7 3-64 s2", 4, 112, 3, 64, 7, 2, 3),
    ("7x7 1x224 3-64 s2", 1, 224, 3, 64, 7, 2, 3),
    ("3x3 1x224 3-32", 1, 224, 3, 32, 3, 1, 1),
    ("3x3 4x224 3-32 s2", 4, 224, 3, 32, 3, 2, 1),
    ("3x3 1x112 64-64", 1, 112, 64, 64, 3, 1, 1),
    ("3x3 1x56 64-64", 1, 56, 64, 64, 3, 1, 1),
    ("11x11 1x224 3-64 s4", 1, 224, 3, 64, 11, 4, 2),
    ("3x3 depthwise 64", 32, 28, 64, 64, 3, 1, 1, 1, 64),
    ("3x3 depthwise 64 s2", 32, 28, 64, 64, 3, 2, 1, 1, 64),
    ("5x5 depthwise 32", 32, 28, 32, 32, 5, 1, 2, 1, 32),
    ("3x3 groups4 64-64", 32, 14, 64, 64, 3, 1, 1, 1, 4),
    ("3x3 dil2 32-32", 32, 28, 32, 32, 3, 1, 2, 2),
    ("3x3 3-6", 64, 28, 3, 6, 3, 1, 1),
    ("3x3 6-20", 64, 28, 6, 20, 3, 1, 1),
    ("3x3 20-20", 64, 28, 20, 20, 3, 1, 1),
    ("5x5 20-50", 64, 12, 20, 50, 5),
    ("3x3 24-24", 64, 28, 24, 24, 3, 1, 1),
    ("1x1 24-24", 64, 28, 24, 24, 1),
    ("5x5 24-24", 32, 28, 24, 24, 5, 1, 2),
    ("7x7 24-24", 16, 28, 24, 24, 7, 1, 3),
]


def convolutions():
    for i, (name, n, size, c, k, kernel, *rest) in enumerate(CONVS):
        options = dict(zip(("stride", "padding", "dilation", "groups"), rest))
        x = normal(n, c, size, size)
        inputs = [fixed(x) if c <= 3 else x, normal(k, c // options.get("groups", 1), kernel, kernel), normal(k)]
        conv = lambda x, w, b, o=options: F.conv2d(x, w, b, **o)
        image_row(f"conv2d|{name}", inputs, conv)
        if i < 4:
            image_row(f"conv2d relu|{name}", inputs, lambda x, w, b, f=conv: F.relu(f(x, w, b)))
            image_row(f"conv2d relu max_pool|{name}", inputs,
                      lambda x, w, b, f=conv: F.max_pool2d(F.relu(f(x, w, b)), 2))
    row("conv1d|64x128 5 32-64", [normal(64, 32, 128), normal(64, 32, 5), normal(64)],
        lambda x, w, b: F.conv1d(x, w, b, padding=2))
    row("conv_transpose1d|64x64 4 s2 64-32", [normal(64, 64, 64), normal(64, 32, 4), normal(32)],
        lambda x, w, b: F.conv_transpose1d(x, w, b, stride=2))
    for size, c, k in ((7, 64, 32), (14, 32, 16), (14, 32, 1)):
        image_row(f"conv_transpose2d|4x4 s2 {c}-{k}", [normal(64, c, size, size), normal(c, k, 4, 4), normal(k)],
                  lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, padding=1))


def images():
    unary = {
        "max_pool 2": lambda x: F.max_pool2d(x, 2),
        "max_pool 3s2p1": lambda x: F.max_pool2d(x, 3, 2, 1),
        "avg_pool 2": lambda x: F.avg_pool2d(x, 2),
        "avg_pool 3s1p1": lambda x: F.avg_pool2d(x, 3, 1, 1),
        "global_avg": lambda x: x.mean((2, 3)),
        "global_max": lambda x: x.amax((2, 3)),
        "adaptive_avg 7": lambda x: F.adaptive_avg_pool2d(x, 7),
        "adaptive_avg 5": lambda x: F.adaptive_avg_pool2d(x, 5),
        "adaptive_max 7": lambda x: F.adaptive_max_pool2d(x, 7),
        "upsample_nearest 2": lambda x: F.interpolate(x, scale_factor=2),
        "upsample_bilinear 2": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        "resize_nearest 20": lambda x: F.interpolate(x, (20, 20)),
        "resize_bilinear 20": lambda x: F.interpolate(x, (20, 20), mode="bilinear"),
        "pad 1": lambda x: F.pad(x, (1, 1, 1, 1)),
        "pad reflect 1": lambda x: F.pad(x, (1, 1, 1, 1), "reflect"),
    }
    for n, h, w, c in [(2, 8, 16, 32)] + [(64, 28, 28, c) for c in (3, 6, 20, 24, 32, 64)]:
        size, x = text((n, h, w, c)), normal(n, c, h, w)
        for name, f in unary.items():
            image_row(f"{name}|{size}", [x], f)
        inputs, mean, var = [x, normal(c), normal(c)], torch.zeros(c), torch.ones(c)
        image_row(f"batch_norm|{size}", inputs, lambda x, g, b, m=mean, v=var: F.batch_norm(x, m, v, g, b, True))
        image_row(f"batch_norm eval|{size}", inputs, lambda x, g, b, m=mean, v=var: F.batch_norm(x, m, v, g, b))
        if c % 4 == 0:
            image_row(f"group_norm 4|{size}", inputs, lambda x, g, b: F.group_norm(x, 4, g, b))
            image_row(f"instance_norm|{size}", inputs, lambda x, g, b: F.instance_norm(x, weight=g, bias=b))
    mean, var = torch.zeros(512), torch.ones(512)
    row("batch_norm|512x512", [normal(512, 512), normal(512), normal(512)],
        lambda x, g, b: F.batch_norm(x, mean, var, g, b, True))
    row("max_pool1d 2|64x784x32", [normal(64, 32, 784)], lambda x: F.max_pool1d(x, 2))
    row("avg_pool1d 2|64x784x32", [normal(64, 32, 784)], lambda x: F.avg_pool1d(x, 2))


class Lion(torch.optim.Optimizer):
    """PyTorch has none: its formula, over all parameters at once."""

    def __init__(self, parameters):
        super().__init__(parameters, {})
        self.w = self.param_groups[0]["params"]
        self.m = [torch.zeros_like(w) for w in self.w]

    @torch.no_grad()
    def step(self):
        g = [w.grad for w in self.w]
        torch._foreach_add_(self.w, torch._foreach_sign(torch._foreach_lerp(self.m, g, 0.1)), alpha=-1e-4)
        torch._foreach_lerp_(self.m, g, 0.01)


def optimizers():
    O = torch.optim
    fused = {
        "sgd": lambda p: O.SGD(p, 1e-2, fused=True),
        "sgd momentum": lambda p: O.SGD(p, 1e-3, 0.9, fused=True),
        "sgd nesterov decay": lambda p: O.SGD(p, 1e-3, 0.9, weight_decay=1e-4, nesterov=True, fused=True),
        "adam": lambda p: O.Adam(p, fused=True),
        "adam amsgrad": lambda p: O.Adam(p, amsgrad=True, fused=True),
        "adamw": lambda p: O.AdamW(p, fused=True),
        "adagrad": lambda p: O.Adagrad(p, fused=True),
        "lion": Lion,
    }
    others = {"adamax": O.Adamax, "nadam": O.NAdam, "radam": O.RAdam, "rmsprop": O.RMSprop, "adadelta": O.Adadelta}

    def net():
        n = torch.nn.Sequential(torch.nn.Linear(784, 1024), torch.nn.Linear(1024, 512), torch.nn.Linear(512, 10))
        for w in n.parameters():
            w.grad = torch.randn_like(w)
        return n

    for name, make in fused.items():
        ROWS[f"{name}|1.3M"] = lambda make=make: [(make(net().parameters()).step, None, 0)]
    for name, make in others.items():
        ROWS[f"{name}|1.3M"] = lambda make=make: [(make(net().parameters(), foreach=f).step, None, 0)
                                                   for f in (False, True)]

    def ema():
        n = net()
        average = O.swa_utils.AveragedModel(n, multi_avg_fn=O.swa_utils.get_ema_multi_avg_fn(0.999))
        return [(lambda: average.update_parameters(n), None, 0)]

    def clip(f):
        parameters = list(net().parameters())
        return [(lambda foreach=foreach: f(parameters, 1.0, foreach=foreach), None, 0) for foreach in (False, True)]

    ROWS["ema|1.3M"] = ema
    ROWS["clip_grad_norm|1.3M"] = lambda: clip(torch.nn.utils.clip_grad_norm_)
    ROWS["clip_grad_value|1.3M"] = lambda: clip(torch.nn.utils.clip_grad_value_)


def step_of_w1(batch, fused):
    net = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    optimizer = torch.optim.Adam(net.parameters(), fused=fused)
    x, y = torch.rand(batch, 784), torch.randint(0, 10, (batch,))

    def step():
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()

    return lambda: F.cross_entropy(net(x), y), step, 1


def growth():
    for batch in (1, 4, 16, 64, 256, 1024, 4096):
        ROWS[f"W1 step, batch|{batch}"] = lambda n=batch: [step_of_w1(n, fused) for fused in (True, False)]
    for n in (64, 128, 256, 512, 1024, 2048, 4096):
        row(f"dense, width|{n}", [normal(64, n), normal(n, n), normal(n)], lambda x, w, b: F.relu(F.linear(x, w, b)))
    conv = lambda x, w, b: F.relu(F.conv2d(x, w, b, padding=1))
    for c in (16, 32, 64, 128, 256):
        image_row(f"conv2d 3x3 of 28x28, channels|{c}", [normal(16, c, 28, 28), normal(c, c, 3, 3), normal(c)], conv)
    for side in (14, 28, 56, 112, 224):
        image_row(f"conv2d 3x3 32-32, pixels|{side}", [normal(16, 32, side, side), normal(32, 32, 3, 3), normal(32)],
                  conv)


def least_us(seconds, call):
    """The least mean time of five windows, as ramp-bench takes it."""
    call()
    call()
    start = time.perf_counter()
    call()
    windows, one = 5, max(time.perf_counter() - start, 1e-7)
    calls, least = max(1, int(seconds / windows / one)), float("inf")
    for _ in range(windows):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        least = min(least, (time.perf_counter() - start) / calls)
    return 1e6 * least


def time_op(name, seconds):
    forward, both = [], []
    for f, b, numel in ROWS[name]():
        forward.append(least_us(seconds, f))
        if b:
            both.append(least_us(seconds, b))
    print(json.dumps({"op": name, "numel": numel, "forward_us": round(min(forward), 3),
                      "both_us": round(min(both), 3) if both else None}), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", choices=["ops", "growth"], default="ops")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seconds", type=float, default=2, help="of the five windows of a figure together")
    p.add_argument("--only", default="", help="a pattern for names of rows, or - for names from standard input")
    p.add_argument("--list", action="store_true", help="the names of the rows")
    a = p.parse_args()
    warnings.filterwarnings("ignore", "reduction: 'mean'")  # kl_div, which will mean another mean
    torch.manual_seed(1)
    torch.set_num_threads(a.threads)
    ops = (activations, elementwise, reductions, losses, shape_ops, products, convolutions, images, optimizers)
    for family in ops if a.work == "ops" else (growth,):
        family()
    if a.list:
        print("\n".join(ROWS))
        return
    names = (line.rstrip("\n") for line in iter(sys.stdin.readline, "")) if a.only == "-" else ROWS
    for name in names:
        if a.only == "-" or re.search(a.only, name):
            time_op(name, a.seconds)


if __name__ == "__main__":
    main()
