"""Loads weights that `mosaic export RUN --weights FILE.safetensors` wrote into a plain PyTorch module, and samples.

As a library:

    network = load("weights.safetensors")            # an nn.Module: network(t, x, label) is the predicted noise
    images = sample(network, torch.randn(4, *network.image))

As a program, on the noise seeds that `mosaic sample RUN --out samples.safetensors` stores beside its samples:

    python3 load_mosaic_weights.py weights.safetensors samples.safetensors out.safetensors --steps 20

or, at one noise level, on noisy images `x` (`mosaic denoise --run RUN --t 0.5 --input x.safetensors` does the same):

    python3 load_mosaic_weights.py weights.safetensors x.safetensors out.safetensors --t 0.5

Needs PyTorch and nothing else. Images are [B, C, H, W] in [-1, 1].
"""

import argparse
import json
import math
import struct

import torch
from torch import nn
from torch.nn import functional as F

GROUPS = 8
TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
         "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8}


def read_safetensors(path):
    """Tensors by name, and the metadata: 8 bytes of length, a JSON header, the numbers."""
    with open(path, "rb") as file:
        content = file.read()
    (n,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + n])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, about in header.items():
        start, end = (8 + n + offset for offset in about["data_offsets"])
        numbers = torch.frombuffer(bytearray(content[start:end]), dtype=TYPES[about["dtype"]])
        tensors[name] = numbers.reshape(about["shape"])
    return tensors, metadata


def write_safetensors(path, tensors):
    names = {torch_type: name for name, torch_type in TYPES.items()}
    header, numbers = {}, b""
    for name, tensor in tensors.items():
        content = tensor.contiguous().numpy().tobytes()
        place = [len(numbers), len(numbers) + len(content)]
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": place}
        numbers += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + numbers)


def cosine(t):
    """abar of Kamb & Ganguli's schedule (arXiv 2412.20292) at times t in [0, 1], in double precision."""
    return torch.cos(0.5 * math.pi * t / 1.008) ** 2


def ddpm_linear(t):
    """abar of DDPM (arXiv 2006.11239) after step k = 1000 t of 1000, with a linear logarithm between steps."""
    rates = torch.log1p(-torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64, device=t.device))
    logs = F.pad(rates.cumsum(0), (1, 0))
    below = (1000 * t).long().clamp(max=999)
    return (logs[below] + (1000 * t - below) * rates[below]).exp()


def edm(t):
    """abar = 1 / (1 + s^2) of EDM's noise s from .002 at t = .001 to 80 at t = 1 (arXiv 2206.00364, eq. 5)."""
    low, high = 0.002 ** (1 / 7), 80 ** (1 / 7)
    s = (low + (t - 0.001).clamp(min=0) / 0.999 * (high - low)) ** 7
    s = torch.where(t < 0.001, 2 * t, s)
    return 1 / (1 + s**2)


SCHEDULES = {"cosine": cosine, "ddpm-linear": ddpm_linear, "edm": edm}


def signal_and_noise(schedule, t):
    """sqrt(abar) and sigma at times t in [0, 1], where x_t = sqrt(abar) x_0 + sigma eps."""
    abar = SCHEDULES[schedule](t.double())
    return abar.sqrt().to(t.dtype), (1 - abar).sqrt().to(t.dtype)


def step_time(schedule, i, steps):
    """The time of step i of a sampler: 1 at the first, i = steps, and 0 after the last."""
    if schedule == "edm" and 0 < i < steps:
        return 0.001 + 0.999 * (i - 1) / (steps - 1)
    return i / steps


def convolution(n_in, n_out, kernel, padding):
    return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, padding_mode=padding)


class Embedding(nn.Module):
    """Sines and cosines of the time, plus a vector per class."""

    def __init__(self, width, n_classes, time_scale):
        super().__init__()
        self.width, self.time_scale = width, time_scale
        if n_classes:
            self.class_embeddings = nn.Embedding(n_classes, width)

    def forward(self, t, label):
        half = self.width // 2
        powers = torch.arange(half, dtype=torch.float64, device=t.device) / (half - 1)
        angles = self.time_scale * t.double()[:, None] / 10000.0**powers
        waves = torch.cat([angles.sin(), angles.cos()], 1).to(t.dtype)
        return waves + self.class_embeddings(label) if hasattr(self, "class_embeddings") else waves


class Attention(nn.Module):
    """Every pixel attends to all pixels: f + o(A v(f)), A of queries and keys per head, or fixed."""

    def __init__(self, width, settings):
        super().__init__()
        self.kind, self.normalise = settings["network.attention"], settings["network.normalise"]
        self.heads, self.head_width = settings["network.heads"], settings["network.head_width"]
        inner = self.heads * self.head_width
        if self.kind in ("softmax", "top1"):
            self.q, self.k = nn.Conv2d(width, inner, 1), nn.Conv2d(width, inner, 1)
        self.v, self.o = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)

    def forward(self, features):
        batch, _, height, width = features.shape
        split = lambda y: y.reshape(batch, self.heads, self.head_width, height * width)
        v = split(self.v(features))
        if self.kind == "uniform":
            mixed = v.mean(3, keepdim=True).expand_as(v)
        elif self.kind == "identity":
            mixed = v
        else:
            seen = features
            if self.normalise:  # over channels, at each pixel
                centred = features - features.mean(1, keepdim=True)
                seen = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
            q, k = split(self.q(seen)), split(self.k(seen))
            logits = q.transpose(2, 3) @ k / math.sqrt(self.head_width)
            if self.kind == "top1":
                weights = F.one_hot(logits.argmax(3), logits.shape[3]).to(logits.dtype)
            else:
                weights = logits.softmax(3)
            mixed = v @ weights.transpose(2, 3)
        return features + self.o(mixed.reshape(batch, -1, height, width))


class ResNetBody(nn.Module):
    def __init__(self, channels, settings):
        super().__init__()
        width, padding = settings["network.width"], settings["network.padding"]
        norm = [nn.GroupNorm(GROUPS, width)] if settings["network.group_norm"] else []
        time = lambda: nn.Sequential(nn.Linear(width, width), nn.GroupNorm(GROUPS, width), nn.ReLU())
        layer = lambda kernel: nn.Sequential(
            convolution(width, width, kernel, padding), *[nn.GroupNorm(GROUPS, width) for _ in norm], nn.ReLU()
        )
        kernels = settings["network.kernels"]
        self.up_projection = convolution(channels, width, 3, padding)
        self.embs = nn.ModuleList(time() for _ in range(len(kernels) + 1))
        self.convs = nn.ModuleList(layer(kernel) for kernel in kernels)

    def features(self, x, embedding):
        state = self.up_projection(x)
        for time, layer in zip(self.embs, self.convs):
            state = state + layer(state + time(embedding)[:, :, None, None])
        return state + self.embs[-1](embedding)[:, :, None, None]


class Block(nn.Module):
    """Two convolutions of the UNet; the time is added to what they see."""

    def __init__(self, n_in, n_out, settings):
        super().__init__()
        self.emb = nn.Sequential(nn.ReLU(), nn.Linear(settings["network.embedding"], n_in))
        layers = []
        for n in (n_in, n_out):
            layers.append(convolution(n, n_out, 3, settings["network.padding"]))
            if settings["network.group_norm"]:
                layers.append(nn.GroupNorm(GROUPS, n_out))
            layers.append(nn.ReLU())
        self.model = nn.Sequential(*layers)

    def forward(self, x, embedding):
        return self.model(x + self.emb(embedding)[:, :, None, None])


class UNetBody(nn.Module):
    def __init__(self, channels, settings):
        super().__init__()
        widths = settings["network.widths"]
        pairs = list(zip([channels] + widths[:-2], widths[:-1]))
        self.feature_blocks = nn.ModuleList(Block(n_in, n_out, settings) for n_in, n_out in pairs)
        self.bottleneck = Block(widths[-2], widths[-1], settings)
        rising = list(zip(widths[:0:-1], widths[-2::-1]))
        self.upsamples = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, stride=2) for low, high in rising)
        self.output_blocks = nn.ModuleList(Block(2 * high, high, settings) for _, high in rising)
        self.last_emb = nn.Sequential(nn.ReLU(), nn.Linear(settings["network.embedding"], widths[0]))

    def features(self, x, embedding):
        kept = []
        for block in self.feature_blocks:
            kept.append(block(x, embedding))
            x = F.max_pool2d(kept[-1], 2)
        x = self.bottleneck(x, embedding)
        for upsample, block, skip in zip(self.upsamples, self.output_blocks, reversed(kept)):
            x = block(torch.cat([skip, upsample(x)], 1), embedding)
        return x + self.last_emb(embedding)[:, :, None, None]


def network_of(about):
    """The module for a file's metadata, with untrained weights. Its parameters have the names of the file."""
    settings = about["settings"]
    schedule = settings["diffusion.schedule"]
    if schedule not in SCHEDULES:
        raise ValueError(f"unknown noise schedule '{schedule}'; this script knows {', '.join(SCHEDULES)}")
    is_unet = settings["network.architecture"] == "unet"
    channels = about["image"][0]
    width = settings["network.widths"][0] if is_unet else settings["network.width"]

    class Network(UNetBody if is_unet else ResNetBody):
        def __init__(self):
            super().__init__(channels, settings)
            self.settings, self.image, self.n_classes = settings, about["image"], about["n_classes"]
            embedding = settings["network.embedding"] if is_unet else width
            self.embedding = Embedding(embedding, self.n_classes, settings["network.time_scale"])
            if settings["network.attention"] != "none":
                self.attention = Attention(width, settings)
            if settings["network.readout"] == "relu":
                self.readout = nn.Conv2d(width, width, 1)
            last = convolution(width, channels, settings["network.last_kernel"], settings["network.padding"])
            if is_unet:
                self.output_conv = last
            elif settings["network.group_norm"]:
                self.down_projection = nn.Sequential(nn.GroupNorm(GROUPS, width), last)
            else:
                self.down_projection = last

        def forward(self, t, x, label=None):
            """The predicted noise in x at times t, [B]."""
            features = self.features(x, self.embedding(t, label))
            if hasattr(self, "attention"):
                features = self.attention(features)
            if hasattr(self, "readout"):
                features = F.relu(self.readout(features))
            out = (self.output_conv if is_unet else self.down_projection)(features)
            if settings["network.output"] == "noise":
                return out
            signal, sigma = (level[:, None, None, None] for level in signal_and_noise(schedule, t))
            return sigma * x + signal * out

    return Network()


def load(path):
    """The network of an exported file, ready for sampling."""
    tensors, metadata = read_safetensors(path)
    if "mosaic" not in metadata:
        raise ValueError(f"'{path}' has no metadata 'mosaic': write it with 'mosaic export RUN --weights {path}'")
    about = json.loads(metadata["mosaic"])
    if about["format"] != 1:
        raise ValueError(f"'{path}' has format {about['format']}; this script reads 1")
    network = network_of(about)
    network.load_state_dict(tensors, strict=True)
    return network.eval().requires_grad_(False)


def denoise(network, t, x, label=None):
    """The clean estimate and the noise that belongs to it, at time t (a number)."""
    times = torch.full((len(x),), float(t), dtype=x.dtype, device=x.device)
    signal, sigma = signal_and_noise(network.settings["diffusion.schedule"], times[:1])
    clean = (x - sigma * network(times, x, label)) / signal
    if network.settings["network.clamp"]:
        clean = clean.clamp(-1, 1)
    return clean, (x - signal * clean) / sigma


def sample(network, seeds, label=None, steps=None):
    """Samples from standard-normal seeds by deterministic DDIM, from t = 1 down to 0."""
    steps = steps or network.settings["diffusion.sampling_steps"]
    schedule = network.settings["diffusion.schedule"]
    x = seeds
    for i in range(steps, 0, -1):
        clean, noise = denoise(network, step_time(schedule, i, steps), x, label)
        after = torch.tensor([step_time(schedule, i - 1, steps)], dtype=x.dtype, device=x.device)
        signal, sigma = signal_and_noise(schedule, after)
        x = signal * clean + sigma * noise
    return x


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("input", help="safetensors with 'seeds', or with --t 'x'")
    parser.add_argument("output")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--t", type=float)
    parser.add_argument("--label", type=int, help="class of all images; by default seed i has class i mod n")
    arguments = parser.parse_args()
    network = load(arguments.weights).double()
    given, metadata = read_safetensors(arguments.input)
    x = given["x" if arguments.t else "seeds"].double()
    label = None
    if network.n_classes and arguments.label is not None:
        label = torch.full((len(x),), arguments.label)
    elif network.n_classes:
        label = (torch.arange(len(x)) + int(metadata.get("first_seed", 0))) % network.n_classes
    if arguments.t:
        clean, noise = denoise(network, arguments.t, x, label)
        write_safetensors(arguments.output, {"x0": clean, "eps": noise})
    else:
        write_safetensors(arguments.output, {"samples": sample(network, x, label, arguments.steps)})


if __name__ == "__main__":
    main()
