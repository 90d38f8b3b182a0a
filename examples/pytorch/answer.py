"""Lets any PyTorch denoiser answer the questions of `mosaic external DIR`, so that `mosaic compare --external DIR` compares it
with theory.

    from answer import answer
    answer("DIR", model, predicts="eps")                 # model(x, t) or model(x, t, labels) is the predicted noise

`predicts` is what the model returns for `x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps`:

    "eps"   the noise eps
    "x0"    the clean image
    "v"     sqrt(abar) eps - sqrt(1 - abar) x_0

`time(t, abar)` makes the model's second argument of the time t in [0, 1] and abar, both tensors of one value per image. Without
it, the model gets t. `ddpm_time(alphas_cumprod)` is for models that were trained on numbered steps: the step of the nearest abar.
`maps()`, if given, returns the attention weights [B, heads, P, P] of the last call (P = H W pixels of the image).

Images are [B, C, H, W] in [-1, 1]. Needs PyTorch and NumPy.
"""

import os

import numpy as np
import torch


def ddpm_time(alphas_cumprod):
    """The number of the training step with the nearest abar, for models of discrete DDPM schedules."""
    alphas_cumprod = torch.as_tensor(alphas_cumprod, dtype=torch.float64)

    def time(t, abar):
        return (abar.double()[:, None] - alphas_cumprod[None, :]).abs().argmin(1)

    return time


def clean_image(output, x, abar, predicts):
    """x0hat from what the model returned."""
    abar = abar.reshape(-1, 1, 1, 1)
    signal, sigma = abar.sqrt(), (1 - abar).sqrt()
    if predicts == "eps":
        return (x - sigma * output) / signal
    if predicts == "x0":
        return output
    if predicts == "v":
        return signal * x - sigma * output
    raise ValueError(f"predicts is {predicts!r}; it must be 'eps', 'x0' or 'v'")


@torch.no_grad()
def answer(directory, model, predicts="eps", time=None, maps=None, batch=64, device="cpu", clamp=False):
    """Writes DIR/answers.npz: samples, trajectories, and estimates at the noised images of DIR/questions.npz."""
    questions = np.load(os.path.join(directory, "questions.npz"))
    time = time or (lambda t, abar: t)

    def denoise(x, t, abar, labels, clamp=clamp):
        n = len(x)
        t, abar = (torch.full((n,), float(v)) if np.ndim(v) == 0 else torch.as_tensor(v).float() for v in (t, abar))
        more = () if labels is None else (torch.as_tensor(labels).to(device),)
        output = model(x.to(device), time(t, abar).to(device), *more).cpu()
        x0 = clean_image(output, x, abar, predicts)
        return x0.clamp(-1, 1) if clamp else x0

    answers = {"noise": questions["noise"], "t": questions["t"], "abar": questions["abar"]}
    labels = questions["labels"] if "labels" in questions else None
    if labels is not None:
        answers["labels"] = labels
    noise = torch.as_tensor(questions["noise"])
    abar = torch.as_tensor(questions["abar"])  # of the steps, cleanest first
    n, n_steps = len(noise), len(abar)
    states = np.zeros((n, n_steps, *noise.shape[1:]), np.float32)
    x0hat, samples = np.zeros_like(states), np.zeros_like(questions["noise"])
    attention = None
    for first in range(0, n, batch):
        part = slice(first, first + batch)
        x = noise[part]
        for i in reversed(range(n_steps)):
            states[part, i] = x
            x0 = denoise(x, questions["t"][i], abar[i], None if labels is None else labels[part])
            x0hat[part, i] = x0
            if maps is not None:
                found = maps().float().cpu().numpy()
                if attention is None:
                    attention = np.zeros((n, n_steps, *found.shape[1:]), np.float16)
                attention[part, i] = found
            # DDIM (eta = 0) to the next smaller time; abar(0) = 1.
            next_abar = abar[i - 1] if i > 0 else torch.ones((), dtype=abar.dtype)
            eps = (x - abar[i].sqrt() * x0) / (1 - abar[i]).sqrt()
            x = (next_abar.sqrt() * x0 + (1 - next_abar).sqrt() * eps).float()
        samples[part] = x
    answers.update(samples=samples, states=states, x0hat=x0hat)
    if attention is not None:
        answers["attention"] = attention
    noised = torch.as_tensor(questions["noised"])
    if len(noised):
        noised_x0hat = np.zeros_like(questions["noised"])
        labels = questions["noised_labels"] if "noised_labels" in questions else None
        for first in range(0, len(noised), batch):
            part = slice(first, first + batch)
            times, abars = questions["noised_t"][part], questions["noised_abar"][part]
            # Errors are compared with floors, which are those of estimates without a clamp.
            of_part = None if labels is None else labels[part]
            noised_x0hat[part] = denoise(noised[part], times, abars, of_part, clamp=False)
        answers.update(noised=questions["noised"], noised_t=questions["noised_t"], noised_x0hat=noised_x0hat)
    path = os.path.join(directory, "answers.npz")
    np.savez(path, **answers)
    return path
