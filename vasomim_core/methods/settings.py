"""What each pretraining method is told, with the defaults of its paper, and `METHODS`, the list of all methods.

torch is not loaded here: a window draws its forms from these classes, the command line its options, and a run's
config.yaml is one of them written down. What all methods have in common stands in `config.Pretraining`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Annotated, Any, ClassVar

from vasomim_core.config import MaskedPretraining, PretrainConfig, Pretraining, Share, Training, Ui
from vasomim_core.errors import ConfigError

Momentum = Annotated[float, Ui(min=0, max=1, step=0.0001, advanced=True)]
Width = Annotated[int, Ui(min=8, max=65_536, advanced=True)]


@dataclass(frozen=True)
class MAEConfig(MaskedPretraining):
    """MAE: most patches are hidden, drawn uniformly, and the decoder draws them, each in its own contrast."""

    method: ClassVar[str] = "mae"


@dataclass(frozen=True)
class SimMIMConfig(Pretraining):
    """SimMIM: blocks of the frame are covered with a learned token, and one linear layer draws their pixels.

    Attributes:
        mask_ratio: γ, the share of blocks that is covered.
        block_size: side of a block, a multiple of the patch size.
        layer_scale: what the LayerScale of every block of the ViT starts from.
    """

    method: ClassVar[str] = "simmim"

    mask_ratio: Annotated[float, Ui(min=0.05, max=0.95, step=0.05)] = 0.6
    block_size: Annotated[int, Ui(min=4, max=256, unit="px")] = 32
    layer_scale: Annotated[float, Ui(min=1e-6, max=1, step=1e-5, advanced=True)] = 0.1
    training: Training = field(
        default_factory=lambda: Training(
            epochs=200,
            batch_size=64,
            learning_rate=SimMIMConfig.rate(64),
            schedule="step",
            betas=(0.9, 0.999),
            clip=5.0,
        )
    )

    @classmethod
    def rate(cls, batch: int) -> float:
        """1e-4 · batch / 512."""
        return 1e-4 * batch / 512


@dataclass(frozen=True)
class AMTConfig(MaskedPretraining):
    """AMT: what the encoder attends to is masked; of the rest a part is thrown away, and the remainder is seen.

    Attributes:
        throw_ratio: the share of patches that is neither seen nor drawn.
        uniform_ratio: of these first epochs the masks are uniform, and MAE's.
        uniform_share: share of the epochs that are.
        refresh: share of the epochs after which the attention to every frame is computed anew.
    """

    method: ClassVar[str] = "amt"

    mask_ratio: Annotated[float, Ui(min=0.05, max=0.95, step=0.05)] = 0.45
    throw_ratio: Annotated[float, Ui(min=0, max=0.9, step=0.05)] = 0.4
    uniform_ratio: Annotated[float, Ui(min=0.05, max=0.95, step=0.05, advanced=True)] = 0.75
    uniform_share: Annotated[float, Ui(min=0, max=1, step=0.05, advanced=True)] = 0.1
    refresh: Annotated[float, Ui(min=0.001, max=1, step=0.05, advanced=True)] = 0.1


@dataclass(frozen=True)
class HPMConfig(MaskedPretraining):
    """HPM: a second decoder predicts how hard each patch is; more and more of the hardest are masked.

    Attributes:
        beta_start: share of the masked patches that are the hardest, at the start.
        beta_end: the same at the end.
        ranking: weight of the ranking loss.
        ema_start: decay of the slow copy that says what is hard, at first.
        ema_end: the same after `ema_epochs`.
        ema_epochs: epochs over which it rises.
    """

    method: ClassVar[str] = "hpm"

    beta_start: Share = 0.0
    beta_end: Share = 0.5
    ranking: Annotated[float, Ui(min=0, max=100, step=0.1)] = 1.0
    ema_start: Momentum = 0.999
    ema_end: Momentum = 0.9999
    ema_epochs: Annotated[int, Ui(min=1, max=10_000, unit="epochs", advanced=True)] = 100


@dataclass(frozen=True)
class DeblurringConfig(MaskedPretraining):
    """DeblurringMIM: MAE whose input is blurred and whose target is sharp, on all patches.

    Attributes:
        sigma: of the Gaussian, in pixels of a frame scaled down to 512 px.
    """

    method: ClassVar[str] = "deblurring"

    sigma: Annotated[float, Ui(min=0.1, max=20, step=0.1)] = 1.1


@dataclass(frozen=True)
class CrossMAEConfig(MaskedPretraining):
    """CrossMAE: masked patches are drawn one by one from what is seen, without a look at each other.

    Its decoder is as deep as published, and as wide as with a ViT-S; with a ViT-B it has 512 channels and 16 heads.

    Attributes:
        predict_ratio: the share of all patches that is drawn, at most `mask_ratio`.
    """

    method: ClassVar[str] = "crossmae"

    decoder_depth: Annotated[int, Ui(min=1, max=24, advanced=True)] = 12
    predict_ratio: Annotated[float, Ui(min=0.01, max=0.95, step=0.01)] = 0.25


@dataclass(frozen=True)
class CheXWorldConfig(Pretraining):
    """CheXWorld: from a part of one distorted crop, features of the clean frame are predicted, there and in another.

    Attributes:
        targets: blocks of patches to be predicted.
        target_scale: smallest and largest share of the patches in one.
        target_aspect: smallest and largest height over width of one.
        context_scale: the same for the block that is seen, less the targets.
        crop_scale: smallest and largest share of the frame in a crop.
        jitter: brightness and contrast of the distorted crop are multiplied by 1 ± this.
        predictor_width: channels of the predictor.
        predictor_depth: blocks of the predictor.
        predictor_heads: attention heads of the predictor.
        ema_start: decay of the slow copy, the one that is kept, at first.
        ema_end: the same at the end.
    """

    method: ClassVar[str] = "chexworld"

    targets: Annotated[int, Ui(min=1, max=16, advanced=True)] = 4
    target_scale: Annotated[tuple[float, float], Ui(min=0.01, max=1, step=0.05, advanced=True)] = (0.15, 0.2)
    target_aspect: Annotated[tuple[float, float], Ui(min=0.1, max=10, step=0.05, advanced=True)] = (0.75, 1.5)
    context_scale: Annotated[tuple[float, float], Ui(min=0.05, max=1, step=0.05, advanced=True)] = (0.75, 1.0)
    crop_scale: Annotated[tuple[float, float], Ui(min=0.01, max=1, step=0.05, advanced=True)] = (0.3, 1.0)
    jitter: Annotated[float, Ui(min=0, max=0.9, step=0.05, advanced=True)] = 0.4
    predictor_width: Width = 384
    predictor_depth: Annotated[int, Ui(min=1, max=24, advanced=True)] = 6
    predictor_heads: Annotated[int, Ui(min=1, max=32, advanced=True)] = 12
    ema_start: Momentum = 0.996
    ema_end: Momentum = 1.0
    training: Training = field(
        default_factory=lambda: Training(
            epochs=200, batch_size=64, learning_rate=2e-4, betas=(0.9, 0.999), clip=1.0, warmup=0.05
        )
    )

    @classmethod
    def rate(cls, batch: int) -> float:
        """2e-4, whatever the batch."""
        return 2e-4


@dataclass(frozen=True)
class MoCoV3Config(Pretraining):
    """MoCo v3: two views of a frame must be more alike than those of different frames.

    Attributes:
        temperature: τ, by which similarities are divided.
        momentum: m of the slow copy at the start, from which it rises to 1.
        hidden: channels inside the two heads.
        output: channels of what is compared.
        freeze_patches: the patch embedding stays as it was drawn, for stability.
    """

    method: ClassVar[str] = "mocov3"
    whole_batches: ClassVar[bool] = True

    temperature: Annotated[float, Ui(min=0.01, max=2, step=0.01)] = 0.2
    momentum: Momentum = 0.99
    hidden: Width = 4096
    output: Width = 256
    freeze_patches: Annotated[bool, Ui(advanced=True)] = True
    training: Training = field(
        default_factory=lambda: Training(
            epochs=200,
            batch_size=64,
            learning_rate=MoCoV3Config.rate(64),
            weight_decay=0.1,
            betas=(0.9, 0.999),
            warmup=0.1,
        )
    )

    @classmethod
    def rate(cls, batch: int) -> float:
        """1.5e-4 · batch / 256."""
        return 1.5e-4 * batch / 256


@dataclass(frozen=True)
class DINOConfig(Pretraining):
    """DINO: a student that sees small views of a frame must say what its slow copy says of large ones.

    Attributes:
        small_views: small views of each frame, besides two large ones.
        small_size: their side, a multiple of the patch size.
        prototypes: K, the number of outputs; 65,536 were published, for a million pictures.
        head_width: channels inside the head.
        bottleneck: channels before the last layer.
        teacher_temperature: τ_t, which sharpens what the teacher says.
        student_temperature: τ_s.
        centre_momentum: how much of the centre of what the teacher says stays at each step.
        momentum: decay of the teacher at the start, from which it rises to 1.
        weight_decay_end: weight decay at the end; at the start it is that of the training.
        frozen_epochs: first epochs in which the last layer does not learn.
    """

    method: ClassVar[str] = "dino"

    small_views: Annotated[int, Ui(min=0, max=32)] = 8
    small_size: Annotated[int, Ui(min=16, max=512, unit="px")] = 96
    prototypes: Annotated[int, Ui(min=2, max=1_000_000, advanced=True)] = 4096
    head_width: Width = 2048
    bottleneck: Width = 256
    teacher_temperature: Annotated[float, Ui(min=0.001, max=2, step=0.01, advanced=True)] = 0.04
    student_temperature: Annotated[float, Ui(min=0.001, max=2, step=0.01, advanced=True)] = 0.1
    centre_momentum: Momentum = 0.9
    momentum: Momentum = 0.996
    weight_decay_end: Annotated[float, Ui(min=0, max=1, step=0.01, advanced=True)] = 0.4
    frozen_epochs: Annotated[int, Ui(min=0, max=1000, unit="epochs", advanced=True)] = 1
    training: Training = field(
        default_factory=lambda: Training(
            epochs=200,
            batch_size=64,
            learning_rate=DINOConfig.rate(64),
            weight_decay=0.04,
            betas=(0.9, 0.999),
            clip=3.0,
            warmup=0.1,
        )
    )

    @classmethod
    def rate(cls, batch: int) -> float:
        """5e-4 · batch / 256."""
        return 5e-4 * batch / 256


@dataclass(frozen=True)
class Entry:
    """One method: its settings, and its class in the room as "module:Class", which is not imported before it runs."""

    settings: type[Pretraining]
    learner: str


METHODS: dict[str, Entry] = {
    entry.settings.method: entry
    for entry in (
        Entry(PretrainConfig, "vasomim_core.methods.vasomim:GuidedMAE"),
        Entry(MAEConfig, "vasomim_core.methods.mae:MAE"),
        Entry(SimMIMConfig, "vasomim_core.methods.simmim:SimMIM"),
        Entry(AMTConfig, "vasomim_core.methods.amt:AMT"),
        Entry(HPMConfig, "vasomim_core.methods.hpm:HPM"),
        Entry(DeblurringConfig, "vasomim_core.methods.deblurring:Deblurring"),
        Entry(CrossMAEConfig, "vasomim_core.methods.crossmae:CrossMAE"),
        Entry(CheXWorldConfig, "vasomim_core.methods.chexworld:CheXWorld"),
        Entry(MoCoV3Config, "vasomim_core.methods.mocov3:MoCoV3"),
        Entry(DINOConfig, "vasomim_core.methods.dino:DINO"),
    )
}
"""All pretraining methods by name. A new one is a line here, and a file."""


def settings_of(method: object) -> type[Pretraining]:
    """The settings class of a method.

    Raises:
        ConfigError: there is no such method.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ConfigError(f"no pretraining method is called {method!r:.60}; choose one of {', '.join(METHODS)}")
    return METHODS[method].settings


def learner_of(config: Pretraining) -> Any:
    """The class (a `method.Method`) that learns by these settings; only here torch is loaded."""
    module, _, name = METHODS[config.method].learner.partition(":")
    return getattr(import_module(module), name)
