"""One posterior mean of the equivariant local machine in PyTorch: prints one JSON line.

    python3 torch_els.py [--k 7] [--images 50000] [--channels 3] [--size 32 [32]] [--t 0.5] [--queries 1]
                         [--chunk N] [--repeats 3] [--device cuda|cpu] [--threads N]

What one would write without a kernel of one's own: patches by unfold, distances by one matrix product a chunk of images,
a running log-sum-exp over chunks. Wrap-around dictionary; the images are noise, which costs the same as others. A chunk has
64 images; on CPUs so many that their distances take 16 MB and stay in the cache (four 32x32 images; with PyTorch 2.15,
sixteen took over twice as long). Times are medians per query; CPU time is that of all threads, spinning ones included.
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
    parser.add_argument("--size", type=int, nargs="+", default=[32], help="height and width, or the side of a square")
    parser.add_argument("--t", type=float, default=0.5)
    parser.add_argument("--queries", type=int, default=1)
    parser.add_argument("--chunk", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--threads", type=int)
    a = parser.parse_args()

    is_cuda = a.device == "cuda"
    n_pixels = a.size[0] * a.size[-1]
    chunk = a.chunk or (64 if is_cuda else max(1, 2**22 // (a.queries * n_pixels**2)))
    torch.manual_seed(0)
    if a.threads:
        torch.set_num_threads(a.threads)
        torch.set_num_interop_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False  # distances are differences of large numbers
    signal = math.cos(math.pi / 2 * a.t)
    sigma = math.sin(math.pi / 2 * a.t)
    images = torch.rand(a.images, a.channels, a.size[0], a.size[-1], device=a.device) * 2 - 1
    clean = images[torch.arange(a.queries, device=a.device) % a.images]
    x = clean + sigma / signal * torch.randn_like(clean)
    wait = torch.cuda.synchronize if is_cuda else lambda: None

    posterior_mean(x, images[:chunk], a.k, 1.0, chunk)
    wait()
    walls, cpus = [], []
    for _ in range(a.repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        posterior_mean(x, images, a.k, (signal / sigma) ** 2 / 2, chunk)
        wait()
        walls.append(1e3 * (time.perf_counter() - wall) / a.queries)
        cpus.append(1e3 * (time.process_time() - cpu) / a.queries)
    found = {"wall_ms": statistics.median(walls), "cpu_ms": statistics.median(cpus), "torch": torch.__version__}
    print(json.dumps(found), flush=True)


main()
