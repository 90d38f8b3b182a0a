"""One training step, or one forward pass of sampling, of the lab's networks in PyTorch: prints one JSON line.

    python3 torch_step.py [--net resnet|unet|attention] [--width 64] [--kernels 3 3 3 3 3 3] [--widths 32 64 128]
                          [--embedding 64] [--last-kernel 3] [--heads 0] [--head-width 64] [--padding zeros|circular]
                          [--output noise|velocity] [--weighting noise|velocity] [--optimizer adamw|soap]
                          [--batch 128] [--channels 1] [--size 32]
                          [--precision f32|tf32|bf16] [--compile] [--no-channels-last] [--sample] [--repeats 50]
                          [--device cuda|cpu] [--threads N]

The networks are those of `mosaic bench gpu` and `mosaic bench train`: a ResNet with a time embedding in each layer (linear,
group norm, ReLU) and, if it has heads, a final self-attention layer; a UNet; and the operation of attention alone. A step
is forward, weighted noise loss, backward, clipping to norm 1, the optimizer and the moving average; inputs are on the
device already. The operation alone has neither parameters nor optimiser: forward and backward to queries, keys and values. A pass
of sampling takes images from memory and brings what it predicts back there.

PyTorch runs eagerly unless --compile is given, with the fused AdamW, and keeps channels last: on CPUs too, where contiguous
images took 7 to 50% longer (PyTorch 2.15, one and two threads of a CPU with AVX-512).
SOAP is that of the package pytorch_optimizer, with the lab's settings: both moments at .95, new eigenbases every 10
steps, by one QR decomposition of each axis of up to 2048 values, and a kernel's places as one axis, which is why it gets
weights [out, in, k, k] as [out, in, k k]. It projects one tensor more than the lab's at every step (the mean, which the lab keeps
in the eigenbases). Without that package the optimizer is AdamW; the answer says which it was.

Times are medians; CPU time is that of all threads, spinning ones included. With SOAP, each is that of ten steps over ten:
nine of ten steps are without new eigenbases.
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
    def __init__(self, width, heads, head_width):
        super().__init__()
        self.heads, inner = heads, heads * head_width
        self.q, self.k, self.v = (nn.Conv2d(width, inner, 1) for _ in range(3))
        self.o = nn.Conv2d(inner, width, 1)

    def forward(self, f):
        b, c, h, w = f.shape
        seen = F.layer_norm(f.permute(0, 2, 3, 1), [c]).permute(0, 3, 1, 2)
        q, k, v = (
            m(x).reshape(b, self.heads, -1, h * w).transpose(2, 3)
            for m, x in ((self.q, seen), (self.k, seen), (self.v, f))
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(b, -1, h, w)
        return f + self.o(mixed)


class ResNet(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.width = width = a.width
        self.up = conv(a.channels, width, 3, a.padding)
        self.convs = nn.ModuleList(conv(width, width, kernel, a.padding) for kernel in a.kernels)
        self.times = nn.ModuleList(Time(width) for _ in range(len(a.kernels) + 1))
        self.attention = Attention(width, a.heads, a.head_width) if a.heads else nn.Identity()
        self.down = conv(width, a.channels, a.last_kernel, a.padding)

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
    def __init__(self, a):
        super().__init__()
        self.embedding = embedding = a.embedding
        widths, pairs = a.widths, list(zip(a.widths, a.widths[1:]))

        def block(c_in, c_out):
            return Block(c_in, c_out, embedding, a.padding)

        self.downs = nn.ModuleList(block(*pair) for pair in zip([a.channels, *widths], widths[:-1]))
        self.middle = block(*pairs[-1])
        self.raises = nn.ModuleList(nn.ConvTranspose2d(large, small, 2, 2) for small, large in reversed(pairs))
        self.ups = nn.ModuleList(block(2 * small, small) for small, _ in reversed(pairs))
        self.last_time = nn.Linear(embedding, widths[0])
        self.out = conv(widths[0], a.channels, a.last_kernel, a.padding)

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


REFRESH_EVERY = 10


def matrices(parameters):
    """Parameters that share the weights of others, with the axes of a kernel as one and without axes of one value."""
    shared = []
    for p in parameters:
        view = p.detach()
        if p.dim() == 4:
            view = view.squeeze((2, 3)) if p.shape[2] == 1 else view.flatten(2)
        assert view.data_ptr() == p.data_ptr()
        shared.append(nn.Parameter(view))
    return shared


def soap_or_adamw(parameters, name):
    """The optimizer's name and a function that takes its step."""
    if name == "soap":
        try:
            from pytorch_optimizer import SOAP
        except ImportError:
            name = "adamw"
    if name == "adamw":
        return name, torch.optim.AdamW(parameters, 1e-3, (0.9, 0.99), weight_decay=0.01, fused=True).step
    shared = matrices(parameters)
    settings = {"weight_decay": 0.01, "precondition_frequency": REFRESH_EVERY, "max_precondition_dim": 2048}
    soap = SOAP(shared, 1e-3, (0.95, 0.95), **settings)

    def step():
        for p, view in zip(parameters, shared):
            view.grad = p.grad.reshape(view.shape)
        soap.step()

    return name, step


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--net", choices=["resnet", "unet", "attention"], default="resnet")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--kernels", type=int, nargs="+", default=[3] * 6)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--embedding", type=int, default=64)
    parser.add_argument("--last-kernel", type=int, default=3)
    parser.add_argument("--heads", type=int, default=0)
    parser.add_argument("--head-width", type=int, default=64)
    parser.add_argument("--padding", choices=["zeros", "circular"], default="zeros")
    parser.add_argument("--output", choices=["noise", "velocity"], default="velocity")
    parser.add_argument("--weighting", choices=["noise", "velocity"], default="noise")
    parser.add_argument("--optimizer", choices=["adamw", "soap"], default="adamw")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], default="tf32")
    parser.add_argument("--no-channels-last", action="store_true")
    parser.add_argument("--sample", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


def step_of_attention(a):
    """Forward and backward of the operation alone."""
    shape = (a.batch, a.heads, a.size**2, a.head_width)
    qkv = [torch.randn(shape, device=a.device, requires_grad=True) for _ in range(3)]

    def step():
        for values in qkv:
            values.grad = None
        F.scaled_dot_product_attention(*qkv).square().mean().backward()

    return None, step


def step_of_network(a):
    """The optimizer's name and a training step, or None and a pass of sampling."""
    net = UNet(a) if a.net == "unet" else ResNet(a)
    layout = torch.contiguous_format if a.no_channels_last else torch.channels_last
    net = net.to(a.device).to(memory_format=layout)
    run = torch.compile(net) if a.compile else net
    parameters = list(net.parameters())
    name, update = soap_or_adamw(parameters, a.optimizer)
    average = [p.detach().clone() for p in parameters]
    shape = (a.batch, a.channels, a.size, a.size)
    x, eps = (torch.randn(shape, device=a.device).to(memory_format=layout) for _ in range(2))
    t = torch.rand(a.batch, device=a.device)
    sigma, signal = (torch.rand(a.batch, 1, 1, 1, device=a.device) for _ in range(2))
    weight = torch.ones_like(t) if a.weighting == "noise" else signal.flatten().pow(-2).clamp(max=10)

    def predicted_noise(x):
        with torch.autocast(a.device, torch.bfloat16, enabled=a.precision == "bf16"):
            out = run(x, t)
        return out.float() if a.output == "noise" else sigma * x + signal * out.float()

    def train():
        net.zero_grad()
        errors = (predicted_noise(x) - eps).square().flatten(1).mean(1)
        (errors * weight).mean().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        update()
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 0.01)

    images = x.cpu()

    @torch.no_grad()
    def predict():
        return predicted_noise(images.to(a.device).to(memory_format=layout)).cpu()

    return (None, predict) if a.sample else (name, train)


def main():
    a = arguments()
    torch.manual_seed(0)
    if a.threads:
        torch.set_num_threads(a.threads)
        torch.set_num_interop_threads(1)
    is_tf32 = a.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = is_tf32
    torch.backends.cudnn.benchmark = True
    optimizer, step = step_of_attention(a) if a.net == "attention" else step_of_network(a)
    n_steps = REFRESH_EVERY if optimizer == "soap" else 1

    is_cuda = a.device == "cuda"
    wait = torch.cuda.synchronize if is_cuda else lambda: None
    for _ in range(10 if is_cuda else 2):
        step()
    wait()
    walls, cpus = [], []
    for _ in range(a.repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(n_steps):
            step()
        wait()
        walls.append(1e3 * (time.perf_counter() - wall) / n_steps)
        cpus.append(1e3 * (time.process_time() - cpu) / n_steps)
    wall_ms = statistics.median(walls)
    if is_cuda:
        # Steps that do not wait for each other can be faster.
        start = time.perf_counter()
        for _ in range(a.repeats):
            step()
        wait()
        wall_ms = min(wall_ms, 1e3 * (time.perf_counter() - start) / a.repeats)
    answer = {"wall_ms": wall_ms, "cpu_ms": statistics.median(cpus), "torch": torch.__version__}
    print(json.dumps({**answer, "optimizer": optimizer}), flush=True)


main()
