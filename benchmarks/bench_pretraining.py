"""One pretraining step as the product takes it against the same model written plainly.

Plainly: masks drawn sample by sample, fp32, attention spelled out, an optimiser without fused kernels. On the CPU with
ViT-S and a batch of 32; on CUDA, where there is a device, with ViT-B and a batch of 256, and the share of the
device's peak that is reached.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from bench_masking import per_sample
from timing import compare
from timm.layers import set_fused_attn

from vasomim_core.masking.sampling import vascular_distribution
from vasomim_core.models import objectives
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.unext import UNeXt
from vasomim_core.models.vasomim import VasoMIM
from vasomim_core.training.optimisation import decayed_groups, native_bf16

BETA = 0.25
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "4090": 165e12}  # dense bf16, FLOP/s, vendors' data sheets


def plain_step(model: VasoMIM, images: torch.Tensor, anatomy: torch.Tensor, optimiser: torch.optim.Optimizer) -> None:
    """Guided mask per sample, gather by index, both losses, fp32."""
    f = vascular_distribution(anatomy.cpu(), 16)
    mask = per_sample(f, BETA).to(images.device)
    autoencoder = model.autoencoder
    tokens = autoencoder.patch_embed(images) + autoencoder.pos_embed[:, 1:]
    first = autoencoder.cls_token + autoencoder.pos_embed[:, :1]
    visible = torch.stack([torch.cat([first[0], t[~m]]) for t, m in zip(tokens, mask, strict=True)])
    encoded = autoencoder.decoder_embed(autoencoder.norm(autoencoder.blocks(visible)))
    whole = []
    for code, m in zip(encoded, mask, strict=True):
        row = autoencoder.mask_token[0].repeat(len(m), 1)
        row[~m] = code[1:]
        whole.append(torch.cat([code[:1], row]))
    x = torch.stack(whole) + autoencoder.decoder_pos_embed
    for block in autoencoder.decoder_blocks:
        x = block(x)
    predicted = autoencoder.decoder_pred(autoencoder.decoder_norm(x))[:, 1:]
    target, mean, std = objectives.normalised_patches(images, 16)
    loss = objectives.reconstruction_loss(predicted, target, mask)
    drawn = objectives.reassemble(predicted, mean, std, 16, images.shape[-2:])
    loss = loss + objectives.consistency_loss(model.segmentor(drawn), model.segmentor(images).detach())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    loss.item()


def our_step(
    model: Callable[..., objectives.Tensor],
    images: torch.Tensor,
    anatomy: torch.Tensor,
    optimiser: torch.optim.Optimizer,
    bf16: bool,
) -> None:
    """The loop's step: one vectorised draw, mixed precision, fused kernels, no synchronisation."""
    noise = torch.rand((2, len(images), 196), device=images.device)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        losses = model(images, anatomy, noise, BETA)
    losses.loss.backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    if images.device.type == "cuda":
        torch.cuda.synchronize()


def build(size: str, device: torch.device, fused: bool) -> tuple[VasoMIM, torch.optim.Optimizer]:
    """The published decoder (512 × 8) on CUDA; on the CPU the one of the default settings (256 × 4)."""
    set_fused_attn(fused)
    torch.manual_seed(0)
    decoder = (512, 8, 16) if device.type == "cuda" else (256, 4, 8)
    model = VasoMIM(MaskedAutoencoder(size, 224, 16, *decoder), UNeXt()).to(device).train()
    groups = decayed_groups(model.autoencoder, 0.05)
    return model, torch.optim.AdamW(groups, lr=1e-4, fused=fused, foreach=False if not fused else None)


def flops_per_step(size: str, batch: int) -> float:
    """Forward and backward (3×) of the encoder on half and the decoder on all tokens; a multiply–add counts as two."""
    width, depth = {"small": (384, 12), "base": (768, 12)}[size]
    tokens, visible, decoder = 196, 98, 512

    def block(d: int, n: int) -> float:
        return 24 * n * d * d + 4 * n * n * d

    ends = 2 * tokens * 768 * (width + decoder)  # patch embedding and prediction
    forward = depth * block(width, visible + 1) + 8 * block(decoder, tokens + 1) + ends
    return 3 * forward * batch


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--variants", action="store_true", help="also time compile, channels-last and fp32 alone")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--batch", type=int, help="images in a step; by default what suits the device")
    given = options.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size, batch, target = ("base", 256, 2) if device.type == "cuda" else ("small", 32, 1)
    batch = given.batch or batch
    images = torch.randn(batch, 3, 224, 224, device=device)
    anatomy = torch.rand(batch, 224, 224, device=device) > 0.95
    plain, plain_optimiser = build(size, device, fused=False)
    ours, our_optimiser = build(size, device, fused=True)
    bf16 = native_bf16(device)

    def reference() -> None:
        plain_step(plain, images, anatomy, plain_optimiser)

    name = f"one pretraining step, ViT-{size}, batch {batch}, {device.type}"
    way = ("bf16, fused" if bf16 else "fp32, fused", lambda: our_step(ours, images, anatomy, our_optimiser, bf16))
    ratio = compare(name, way, ("plain", reference), target, given.repeats)
    if device.type == "cuda":
        import time

        began = time.perf_counter()
        for _ in range(10):
            our_step(ours, images, anatomy, our_optimiser, bf16)
        seconds = (time.perf_counter() - began) / 10
        peak = next((v for k, v in PEAK.items() if k in torch.cuda.get_device_name()), None)
        if peak:
            share = flops_per_step(size, batch) / seconds / peak
            print(
                f"  {seconds * 1000:.0f} ms a step, {100 * share:.0f} % of the device's bf16 peak; ratio {ratio:.1f}×"
            )
    if given.variants:
        fast = ("bf16, fused", way[1])
        compare("  fp32", ("fp32, fused", lambda: our_step(ours, images, anatomy, our_optimiser, False)), fast)
        last = images.to(memory_format=torch.channels_last)
        compare("  channels-last", ("channels-last", lambda: our_step(ours, last, anatomy, our_optimiser, bf16)), fast)
        compiled = torch.compile(ours)
        compare("  compile", ("compiled", lambda: our_step(compiled, images, anatomy, our_optimiser, bf16)), fast)


if __name__ == "__main__":
    main()
