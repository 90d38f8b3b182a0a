"""One training step, or one forward pass of sampling, of the lab's networks in PyTorch: prints one JSON line.

    python3 torch_step.py --net resnet|unet|attention [--batch 128] [--channels 1|3] [--padding zeros|circular]
                          [--precision f32|tf32|bf16] [--compile] [--no-channels-last] [--sample] [--repeats 50] [--device cuda|cpu]

The networks are those of `mosaic bench gpu`: six 3x3 layers of 64 channels with a time embedding (linear, group norm,
ReLU), a UNet of 32, 64 and 128 channels, and the first with a final self-attention layer. A step is forward, noise loss,
backward, clipping to norm 1, AdamW and the moving average; inputs are on the device already. A pass of sampling takes
images from memory and brings what it predicts back there.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def waves(t, width):
    rates = torch.exp(torch.linspace(0, -9.21034, width // 2, device=t.device))
    angles = 1000 * t[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], 1)


def conv(c_in, c_out, kernel, padding):
    return nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, padding_mode=padding)


class Time(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear, self.norm = nn.Linear(width, width), nn.GroupNorm(8, width)

    def forward(self, e):
        return F.relu(self.norm(self.linear(e)))[:, :, None, None]


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, f):
        b, c, h, w = f.shape
        seen = F.layer_norm(f.permute(0, 2, 3, 1), [c]).permute(0, 3, 1, 2)
        q, k, v = (m(x).flatten(2).transpose(1, 2)[:, None] for m, x in ((self.q, seen), (self.k, seen), (self.v, f)))
        mixed = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).reshape(b, c, h, w)
        return f + self.o(mixed)


class ResNet(nn.Module):
    def __init__(self, channels, padding, attention, width=64, layers=6):
        super().__init__()
        self.width = width
        self.up = conv(channels, width, 3, padding)
        self.convs = nn.ModuleList(conv(width, width, 3, padding) for _ in range(layers))
        self.times = nn.ModuleList(Time(width) for _ in range(layers + 1))
        self.attention = Attention(width) if attention else nn.Identity()
        self.down = conv(width, channels, 3, padding)

    def forward(self, x, t):
        e = waves(t, self.width)
        state = self.up(x)
        for layer, told in zip(self.convs, self.times):
            state = state + F.relu(layer(state + told(e)))
        return self.down(self.attention(state + self.times[-1](e)))


class Block(nn.Module):
    def __init__(self, c_in, c_out, embedding, padding):
        super().__init__()
        self.time = nn.Linear(embedding, c_in)
        self.a, self.b = conv(c_in, c_out, 3, padding), conv(c_out, c_out, 3, padding)

    def forward(self, x, e):
        return F.relu(self.b(F.relu(self.a(x + self.time(e)[:, :, None, None]))))


class UNet(nn.Module):
    def __init__(self, channels, padding, widths=(32, 64, 128), embedding=64):
        super().__init__()
        self.embedding = embedding
        a, b, c = widths
        self.downs = nn.ModuleList([Block(channels, a, embedding, padding), Block(a, b, embedding, padding)])
        self.middle = Block(b, c, embedding, padding)
        self.raises = nn.ModuleList([nn.ConvTranspose2d(c, b, 2, 2), nn.ConvTranspose2d(b, a, 2, 2)])
        self.ups = nn.ModuleList([Block(2 * b, b, embedding, padding), Block(2 * a, a, embedding, padding)])
        self.last_time = nn.Linear(embedding, a)
        self.out = conv(a, channels, 3, padding)

    def forward(self, x, t):
        e, kept = F.relu(waves(t, self.embedding)), []
        for block in self.downs:
            x = block(x, e)
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = self.middle(x, e)
        for larger, block in zip(self.raises, self.ups):
            x = block(torch.cat([kept.pop(), larger(x)], 1), e)
        return self.out(x + self.last_time(e)[:, :, None, None])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--net", choices=["resnet", "unet", "attention"], default="resnet")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--padding", choices=["zeros", "circular"], default="zeros")
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], default="tf32")
    parser.add_argument("--no-channels-last", action="store_true")
    parser.add_argument("--sample", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--device", default="cuda")
    a = parser.parse_args()

    torch.manual_seed(0)
    is_tf32 = a.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = is_tf32
    torch.backends.cudnn.benchmark = True
    net = UNet(a.channels, a.padding) if a.net == "unet" else ResNet(a.channels, a.padding, a.net == "attention")
    layout = torch.contiguous_format if a.no_channels_last else torch.channels_last
    net = net.to(a.device).to(memory_format=layout)
    run = torch.compile(net) if a.compile else net
    parameters = list(net.parameters())
    optimizer = torch.optim.AdamW(parameters, 1e-3, (0.9, 0.99), weight_decay=0.01, fused=a.device == "cuda")
    average = [p.detach().clone() for p in parameters]
    shape = (a.batch, a.channels, a.size, a.size)
    x, eps = (torch.randn(shape, device=a.device).to(memory_format=layout) for _ in range(2))
    t = torch.rand(a.batch, device=a.device)
    sigma, signal = (torch.rand(a.batch, 1, 1, 1, device=a.device) for _ in range(2))

    def step():
        optimizer.zero_grad()
        with torch.autocast(a.device, torch.bfloat16, enabled=a.precision == "bf16"):
            v = run(x, t)
        ((sigma * x + signal * v.float() - eps) ** 2).flatten(1).mean(1).mean().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 0.01)

    images = x.cpu()

    @torch.no_grad()
    def predict():
        noisy = images.to(a.device).to(memory_format=layout)
        with torch.autocast(a.device, torch.bfloat16, enabled=a.precision == "bf16"):
            v = run(noisy, t)
        return (sigma * noisy + signal * v.float()).cpu()

    if a.sample:
        step = predict
    wait = torch.cuda.synchronize if a.device == "cuda" else lambda: None
    for _ in range(10 if a.device == "cuda" else 1):
        step()
    wait()
    times = []
    for _ in range(a.repeats):
        start = time.perf_counter()
        step()
        wait()
        times.append(1e3 * (time.perf_counter() - start))
    start = time.perf_counter()
    for _ in range(a.repeats):
        step()
    wait()
    together = 1e3 * (time.perf_counter() - start) / a.repeats
    what = f"{'sample ' if a.sample else ''}{a.net} batch {a.batch} channels {a.channels} {a.padding} {a.precision}"
    median = statistics.median(times)
    print(json.dumps({"what": what, "median_ms": min(median, together), "one_by_one_ms": median, "together_ms": together,
                      "torch": torch.__version__, "compiled": a.compile}), flush=True)


main()
