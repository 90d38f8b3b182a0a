"""One posterior mean of the equivariant local machine in PyTorch: prints one JSON line.

    python3 torch_els.py [--k 7] [--images 50000] [--channels 3] [--size 32] [--t 0.5] [--queries 1] [--chunk 64]
                         [--repeats 3] [--device cuda|cpu]

What one would write without a kernel of one's own: patches by unfold, distances by one matrix product a chunk of images,
a running log-sum-exp over chunks. Wrap-around dictionary; the images are noise, which costs the same as others.
"""

import argparse
import json
import math
import statistics
import time

import torch
import torch.nn.functional as F


def patches(images, k):
    """[n, C, H, W] to [n, C k k, H W]."""
    return F.unfold(F.pad(images, [k // 2] * 4, mode="circular"), k)


def posterior_mean(x, images, k, precision, chunk):
    """x [q, C, H, W] over all patches of images: [q, C, H, W]."""
    q, c, h, w = x.shape
    ours = patches(x, k).transpose(1, 2).reshape(q * h * w, -1)
    our_norms = ours.square().sum(1)
    largest = torch.full((q * h * w, 1), -math.inf, device=x.device)
    total = torch.zeros(q * h * w, 1, device=x.device)
    sums = torch.zeros(q * h * w, c, device=x.device)
    for some in images.split(chunk):
        theirs = patches(some, k).transpose(1, 2).reshape(-1, ours.shape[1])
        centres = some.permute(0, 2, 3, 1).reshape(-1, c)
        distances = torch.addmm((our_norms[:, None] + theirs.square().sum(1)), ours, theirs.T, alpha=-2)
        logits = -precision * distances
        found = torch.maximum(largest, logits.amax(1, keepdim=True))
        weights, factor = (logits - found).exp_(), (largest - found).exp()
        total = total * factor + weights.sum(1, keepdim=True)
        sums = sums * factor + weights @ centres
        largest = found
    return (sums / total).reshape(q, h, w, c).permute(0, 3, 1, 2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--k", type=int, default=7)
    parser.add_argument("--images", type=int, default=50000)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--t", type=float, default=0.5)
    parser.add_argument("--queries", type=int, default=1)
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    a = parser.parse_args()

    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False  # distances are differences of large numbers
    signal = math.cos(math.pi / 2 * a.t)
    sigma = math.sin(math.pi / 2 * a.t)
    images = torch.rand(a.images, a.channels, a.size, a.size, device=a.device) * 2 - 1
    x = images[: a.queries] + sigma / signal * torch.randn_like(images[: a.queries])
    wait = torch.cuda.synchronize if a.device == "cuda" else lambda: None

    def step():
        start = time.perf_counter()
        posterior_mean(x, images, a.k, (signal / sigma) ** 2 / 2, a.chunk)
        wait()
        return 1e3 * (time.perf_counter() - start) / a.queries

    posterior_mean(x, images[: a.chunk], a.k, 1.0, a.chunk)
    median = statistics.median(step() for _ in range(a.repeats))
    what = f"els k={a.k} {a.images} x {a.channels}x{a.size}x{a.size} t={a.t:g} queries={a.queries}"
    print(json.dumps({"what": what, "median_ms": median, "torch": torch.__version__}), flush=True)


main()
