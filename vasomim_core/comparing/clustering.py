"""How well the tokens of a frozen encoder part vessel from background, before anything is finetuned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from timm.models.vision_transformer import VisionTransformer

from vasomim_core.data.augment import cut_out
from vasomim_core.errors import ConfigError
from vasomim_core.files import open_ordinary, write_json
from vasomim_core.labels.labelled import LabelledFrame
from vasomim_core.models.encoder import Encoder
from vasomim_core.models.preprocessing import normalise
from vasomim_core.models.registry import load_model

Tokens = NDArray[np.float32]
VESSEL = 0.1
"""Share of its pixels from which a patch is of vessel; one without any is background, the others are left out. At
128 px a patch is an eighth of the frame, and a trunk that crosses it covers little more."""
EACH = 1000
"""Tokens of either kind in a sample."""
SAMPLES = 5


@dataclass(frozen=True)
class Clustering:
    """Three scores of the partition of patch tokens into vessel and background: means over samples, and their spread.

    The tokens are those of the last block after the encoder's LayerNorm, of whole frames brought to the size of the
    pretraining crops; each sample has as many of vessel as of background, distances are Euclidean.

    Attributes:
        silhouette: in [−1, 1], higher is better (Rousseeuw 1987).
        silhouette_spread: standard deviation over samples.
        calinski_harabasz: above 0, higher is better (Caliński and Harabasz 1974).
        calinski_harabasz_spread: standard deviation over samples.
        davies_bouldin: above 0, lower is better (Davies and Bouldin 1979).
        davies_bouldin_spread: standard deviation over samples.
        tokens: in each sample.
        samples: drawn.
    """

    silhouette: float
    silhouette_spread: float
    calinski_harabasz: float
    calinski_harabasz_spread: float
    davies_bouldin: float
    davies_bouldin_spread: float
    tokens: int
    samples: int = SAMPLES


@torch.inference_mode()
def tokens_of(model: Path, frames: Sequence[LabelledFrame], side: int, device: str) -> tuple[Tokens, Tokens]:
    """The patch tokens of vessel and of background, float32 (n, D) each.

    Args:
        model: an encoder's file.
        frames: with their masks.
        side: to which a frame is brought, in px.
        device: auto, cpu or cuda.

    Raises:
        ConfigError: the model is no pretrained ViT.
    """
    loaded = load_model(model, device)
    network, preprocessing = loaded.network, loaded.card.preprocessing
    if not isinstance(network, VisionTransformer):
        raise ConfigError(f"{loaded.name} is no pretrained ViT: give a model of `vasomim pretrain`")
    patch = int(loaded.card.options["patch_size"])
    kinds: tuple[list[Tokens], list[Tokens]] = ([], [])
    for one in frames:
        frame, mask = one.frame(), one.mask()
        box = (0, 0, frame.shape[1], frame.shape[0])
        image, found = cut_out(frame, mask.astype(np.uint8) * np.uint8(255), box, side)
        rows = side // patch
        share = (found > 127).reshape(rows, patch, rows, patch).mean(axis=(1, 3)).ravel()
        images = normalise(torch.from_numpy(image.copy())[None].to(loaded.device), preprocessing)
        # timm's own way through a ViT knows no relative positions.
        tokens = network(images) if isinstance(network, Encoder) else network.forward_features(images)
        tokens = tokens[0, 1:].float().cpu().numpy()
        kinds[0].append(tokens[share >= VESSEL])
        kinds[1].append(tokens[share == 0])
    return np.concatenate(kinds[0]), np.concatenate(kinds[1])


def clustering(vessel: Tokens, background: Tokens, seed: int = 0) -> Clustering:
    """Score the partition on several balanced samples.

    Args:
        vessel: (n, D).
        background: (m, D).
        seed: of the samples.

    Raises:
        ConfigError: fewer than two tokens of a kind, or scikit-learn is missing.
    """
    try:
        from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score
    except ImportError as error:
        raise ConfigError("--clustering needs scikit-learn: pip install scikit-learn") from error
    each = min(EACH, len(vessel), len(background))
    if each < 2:
        raise ConfigError("the frames that are reported on have too few patches of vessel or of background to cluster")
    scores = (silhouette_score, calinski_harabasz_score, davies_bouldin_score)
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(SAMPLES):
        parts = [kind[rng.choice(len(kind), each, replace=False)] for kind in (vessel, background)]
        tokens, which = np.concatenate(parts), np.repeat([1, 0], each)
        rows.append([score(tokens, which) for score in scores])
    means, spreads = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
    names = ("silhouette", "calinski_harabasz", "davies_bouldin")
    values = dict(zip(names, map(float, means), strict=True))
    around = {f"{name}_spread": float(spread) for name, spread in zip(names, spreads, strict=True)}
    return Clustering(**values, **around, tokens=2 * each, samples=SAMPLES)


def write_clustering(path: Path, found: Clustering) -> None:
    """Keep the scores of an encoder."""
    write_json(path, asdict(found))


def read_clustering(path: Path) -> Clustering:
    """The scores that were kept."""
    with open_ordinary(path) as file:
        return Clustering(**json.load(file))
