"""Saves networks of Kamb & Ganguli's classes in every way in which PyTorch saves them, with their outputs.

    python3 make_fixtures.py OUT [MODELS]

MODELS is a directory with `models.py` of https://github.com/Kambm/convolutional_diffusion. The files in `fixtures` were
made with it (commit 6a87f3f, PyTorch 2.15). Without it, modules of examples/pytorch under the public names stand in, so
that the test runs wherever PyTorch is.
"""

import inspect
import os
import sys
import types
import warnings

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../examples/pytorch"))
import load_mosaic_weights as ours


def public(folder):
    """The published classes. `models.py` imports a plotting library that it does not use."""
    sys.path.insert(0, folder)
    for unused in ("matplotlib", "matplotlib.pyplot"):
        sys.modules.setdefault(unused, types.ModuleType(unused))
    import models

    def resnet(channels, width, mode, layers, last, norm=None):
        return models.MinimalResNet(channels, width, mode, norm, num_layers=layers, lastksize=last)

    def unet(channels, widths, width, mode, last, classes=None):
        conditional = classes is not None
        return models.MinimalUNet(channels, widths, mode, conditional, classes, width, lastksize=last)

    return resnet, unet, lambda network: models.DDIM(pretrained_backbone=network, in_channels=1)


def stand_ins():
    """Our own modules, pickled under the names of the published ones."""
    models = sys.modules["models"] = types.ModuleType("models")

    def publish(cls, name):
        cls.__module__, cls.__name__, cls.__qualname__ = "models", name, name
        setattr(models, name, cls)

    publish(ours.Embedding, "EmbeddingModule")
    publish(ours.Block, "UBlock")
    ddim = type("DDIM", (torch.nn.Module,), {})
    publish(ddim, "DDIM")

    def network(name, channels, classes, **settings):
        defaults = {"diffusion.schedule": "cosine", "network.time_scale": 1.0, "network.attention": "none",
                    "network.readout": "linear", "network.output": "noise"}
        about = {"image": [channels], "n_classes": classes, "settings": defaults}
        about["settings"].update({f"network.{key}": value for key, value in settings.items()})
        made = ours.network_of(about)
        publish(type(made), name)
        return made

    def resnet(channels, width, mode, layers, last, norm=None):
        return network("MinimalResNet", channels, None, architecture="resnet", width=width, padding=mode,
                       kernels=[3] * layers, last_kernel=last, group_norm=norm is not None)

    def unet(channels, widths, width, mode, last, classes=None):
        return network("MinimalUNet", channels, classes, architecture="unet", widths=widths, embedding=width,
                       padding=mode, last_kernel=last, group_norm=False)

    def wrapped(inner):
        outer = ddim()
        outer.backbone = inner
        return outer

    return resnet, unet, wrapped


def main(out, folder=None):
    torch.manual_seed(0)
    resnet, unet, ddim = public(folder) if folder else stand_ins()
    x, t, label = torch.randn(2, 1, 8, 8, dtype=torch.float64), 0.4, 2
    expected = {"x": x}

    # Files of the older format would hold the source text of every class.
    sources = inspect.getsourcelines

    def source_of_no_module(what):
        if isinstance(what, type) and issubclass(what, torch.nn.Module):
            raise OSError("left out")
        return sources(what)

    inspect.getsourcelines = source_of_no_module
    warnings.simplefilter("ignore")

    def save(name, network, saved, older=False):
        torch.save(saved, os.path.join(out, f"{name}.pt"), _use_new_zipfile_serialization=not older)
        network = network.double().eval()
        torch.set_default_dtype(torch.float64)
        with torch.no_grad():
            times, labels = torch.full((2,), t, dtype=torch.float64), torch.full((2,), label)
            expected[name] = network(times, x, label=labels)
        torch.set_default_dtype(torch.float32)
        network.float()

    small = resnet(1, 16, "zeros", 1, 3).half()
    save("resnet_module", small, small)
    normal = resnet(1, 16, "circular", 1, 1, norm="GroupNorm").half()
    save("resnet_normalised_module_older", normal, normal, older=True)
    classes = unet(1, [2, 4], 8, "circular", 1, classes=3)
    save("unet_ddim_older", classes, ddim(classes), older=True)
    plain = unet(1, [2, 4], 8, "zeros", 3)
    averaged = {name: tensor.bfloat16() for name, tensor in plain.state_dict().items()}
    other = {name: tensor + 1 for name, tensor in plain.state_dict().items()}
    checkpoint = {"epoch": 3, "model": other, "ema_model": averaged, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}}
    rounded = unet(1, [2, 4], 8, "zeros", 3)
    rounded.load_state_dict({name: tensor.float() for name, tensor in averaged.items()})
    save("checkpoint_bfloat16", rounded, checkpoint)
    # Views of one storage, some of them transposed.
    flat = torch.cat([tensor.flatten() for tensor in plain.state_dict().values()]).double()
    views, at = {}, 0
    for name, tensor in plain.state_dict().items():
        views[f"module.backbone.{name}"] = flat[at : at + tensor.numel()].view(tensor.shape)
        if tensor.dim() == 2:
            views[f"module.backbone.{name}"] = tensor.double().t().contiguous().t()
        at += tensor.numel()
    save("state_dict_views", plain, views)
    torch.save([3, 3, 5, 7], os.path.join(out, "scales_list.pt"))
    torch.save(torch.tensor([3, 3, 5, 7], dtype=torch.int), os.path.join(out, "scales_tensor.pt"))
    ours.write_safetensors(os.path.join(out, "expected.safetensors"), expected)


if __name__ == "__main__":
    main(*sys.argv[1:])
