"""The settings of every training job: one frozen dataclass each, the single source of forms, options and run files.

A field has one name everywhere. Its help line stands in the class docstring, its range, unit and whether it is
folded away stand in a `Ui` beside its type, its default beside its name. `--config RUN/config.yaml` repeats a run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args, get_type_hints

from vasomim_core.schema import Ui, check, fields, from_dict, shown, to_dict

__all__ = [
    "Architecture",
    "Config",
    "Device",
    "EncoderSize",
    "FinetuneConfig",
    "MaskedPretraining",
    "Mode",
    "PretrainConfig",
    "Pretraining",
    "Sampler",
    "SegmentorConfig",
    "Share",
    "Training",
    "Ui",
    "Variety",
    "Vessels",
    "card_settings",
    "check",
    "fields",
    "from_dict",
    "shown",
    "to_dict",
]

Share = Annotated[float, Ui(min=0, max=1, step=0.05)]
Mode = Literal["as-released", "robust"]
Sampler = Literal["anatomy", "top-k", "uniform"]
EncoderSize = Literal["tiny", "small", "base", "large"]
Architecture = Literal["vit", "unet", "resunet", "effunet", "effunet-small", "unext"]
Variety = Literal["usual", "wide", "mixed"]
Vessels = Literal["every", "main"]
Device = Annotated[str, Ui(advanced=True)]
if TYPE_CHECKING:
    # `_Run` makes a path of text and a name of a path: with "| Any" a checker takes both, and reads the field as kept.
    AnyPath = Path | Any
    AnyName = str | Any
else:
    AnyPath, AnyName = Path, str


@dataclass(frozen=True)
class Training:
    """How a network is trained, whatever the job.

    Attributes:
        epochs: passes over the training frames.
        batch_size: frames per optimiser step, all processes and accumulated parts together.
        accumulate: parts into which a batch is split to save memory; only batch normalisation sees a difference.
        learning_rate: peak learning rate, at this batch size.
        schedule: "cosine" (linear warm-up, then half a cosine, per step), "poly" ((1 − e/E)^0.9 per epoch) or "step"
            (warm-up, then constant, a tenth of it from 7/8 of the run on).
        warmup: share of all steps over which the learning rate rises from 0.
        weight_decay: AdamW's, not applied to biases and 1-D tensors.
        betas: AdamW's (β1, β2).
        clip: largest norm of the gradient; None = unlimited.
        ema: decay of the exponential moving average of the weights; None = off.
        precision: "auto" = bf16 where the processor computes it natively, else fp32.
        device: "auto" = CUDA where there is one, else CPU.
        workers: processes that load frames; None = 0 on CPU, up to 8 on CUDA.
        compile: let torch.compile fuse the network (CUDA; takes a minute at the start).
        deterministic: only repeatable kernels on CUDA too (slower; CPU runs always repeat).
        seed: of everything drawn: weights, order, crops, masks.
        log_every: steps between two entries of the loss in events.jsonl.
        save_every: steps between two saved states; a killed run resumes from the last.
    """

    epochs: Annotated[int, Ui(min=1, max=10_000)] = 100
    batch_size: Annotated[int, Ui(min=1, max=65_536, unit="frames")] = 32
    accumulate: Annotated[int, Ui(min=1, max=4096, advanced=True)] = 1
    learning_rate: Annotated[float, Ui(min=1e-8, max=1, step=1e-5)] = 1e-3
    schedule: Annotated[Literal["cosine", "poly", "step"], Ui(advanced=True)] = "cosine"
    warmup: Annotated[float, Ui(min=0, max=0.5, step=0.01, advanced=True)] = 0.05
    weight_decay: Annotated[float, Ui(min=0, max=1, step=0.01, advanced=True)] = 0.05
    betas: Annotated[tuple[float, float], Ui(min=0, max=0.9999, step=0.001, advanced=True)] = (0.9, 0.95)
    clip: Annotated[float | None, Ui(min=1e-3, max=1000, step=0.1, advanced=True)] = None
    ema: Annotated[float | None, Ui(min=0, max=0.99999, step=0.001, advanced=True)] = None
    precision: Annotated[Literal["auto", "fp32", "bf16"], Ui(advanced=True)] = "auto"
    device: Device = "auto"
    workers: Annotated[int | None, Ui(min=0, max=64, advanced=True)] = None
    compile: Annotated[bool, Ui(advanced=True)] = False
    deterministic: Annotated[bool, Ui(advanced=True)] = False
    seed: Annotated[int, Ui(min=0, max=2**31 - 1)] = 0
    log_every: Annotated[int, Ui(min=1, max=100_000, unit="steps", advanced=True)] = 10
    save_every: Annotated[int, Ui(min=1, max=1_000_000, unit="steps", advanced=True)] = 200


class _Run:
    """The settings of one run."""

    def __post_init__(self) -> None:
        """Take a path that is given as text, and a model that is given as a path."""
        for name, hint in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if isinstance(value, str) and Path in (hint, *get_args(hint)):
                object.__setattr__(self, name, Path(value))
            elif isinstance(value, Path) and str in (hint, *get_args(hint)):
                object.__setattr__(self, name, str(value))


@dataclass(frozen=True)
class SegmentorConfig(_Run):
    """Train the segmentor S on pseudo-labels: the anatomy that the filter finds, no manual label.

    Attributes:
        data: folder (searched through) or file of angiograms, or a data set of `vasomim assemble`.
        run: folder for this run; must not hold another one.
        anatomy: how pseudo-labels are extracted from vesselness.
        input_size: side of the training crops.
        training: how it is trained.
    """

    data: AnyPath
    run: AnyPath
    anatomy: Mode = "robust"
    input_size: Annotated[int, Ui(min=32, max=1024, step=32, unit="px")] = 224
    training: Training = field(
        default_factory=lambda: Training(
            epochs=200, learning_rate=1e-3, schedule="poly", warmup=0.0, weight_decay=0.0, betas=(0.9, 0.999)
        )
    )


@dataclass(frozen=True)
class Pretraining(_Run):
    """What every method of pretraining is told; its own settings stand in a subclass (`methods.settings`).

    Attributes:
        data: folder (searched through) or file of angiograms, or a data set of `vasomim assemble`.
        run: folder for this run; must not hold another one.
        encoder: size of the ViT.
        input_size: side of the training crops.
        patch_size: side of a patch.
        training: how it is trained.
    """

    method: ClassVar[str]
    """Its name on the command line and in run files."""
    whole_batches: ClassVar[bool] = False
    """Its loss compares the frames of a batch with one another, so that a batch cannot be computed in parts."""

    data: AnyPath
    run: AnyPath
    encoder: EncoderSize = "small"
    input_size: Annotated[int, Ui(min=32, max=1024, step=32, unit="px")] = 224
    patch_size: Annotated[int, Ui(min=4, max=64, unit="px", advanced=True)] = 16
    training: Training = field(
        default_factory=lambda: Training(epochs=200, batch_size=64, learning_rate=5e-4, warmup=0.05)
    )

    @classmethod
    def rate(cls, batch: int) -> float:
        """The peak learning rate for a batch of so many frames, where a preset chooses the batch.

        Unless a method says otherwise, that of the published runs, which were those of a batch of 64.
        """
        return 5e-4


@dataclass(frozen=True)
class MaskedPretraining(Pretraining):
    """What the methods are told that hide patches from the encoder and let a decoder draw them.

    Attributes:
        decoder_width: channels of the decoder.
        decoder_depth: blocks of the decoder.
        decoder_heads: attention heads of the decoder.
        mask_ratio: γ, the share of patches that is masked.
    """

    decoder_width: Annotated[int, Ui(min=16, max=2048, advanced=True)] = 256
    decoder_depth: Annotated[int, Ui(min=1, max=24, advanced=True)] = 4
    decoder_heads: Annotated[int, Ui(min=1, max=32, advanced=True)] = 8
    mask_ratio: Annotated[float, Ui(min=0.05, max=0.95, step=0.05)] = 0.75


@dataclass(frozen=True)
class PretrainConfig(MaskedPretraining):
    """VasoMIM: patches that hold vessels are masked, and the reconstruction must show the same vessels.

    MAE is `--method mae`, and so is `--sampler uniform --consistency 0 --mask-ratio 0.75`.

    Attributes:
        sampler: how patches are chosen: by anatomy, the largest (top-k), or uniformly.
        beta_start: guidance strength β_0 at the start.
        beta_end: guidance strength β_E at the end.
        co_guidance: mix the segmentor's view into the anatomy (extended paper).
        consistency: weight of the anatomical consistency loss; 0 = off.
        anatomy: how anatomy is extracted from vesselness.
        segmentor: name or path of a trained segmentor S; None = train one first, in RUN/segmentor.
        segmentor_epochs: epochs of that training.
    """

    method: ClassVar[str] = "vasomim"

    mask_ratio: Annotated[float, Ui(min=0.05, max=0.95, step=0.05)] = 0.5
    sampler: Sampler = "anatomy"
    beta_start: Share = 0.0
    beta_end: Share = 0.5
    co_guidance: Annotated[bool, Ui(advanced=True)] = False
    consistency: Annotated[float, Ui(min=0, max=100, step=0.1)] = 1.0
    anatomy: Mode = "robust"
    segmentor: Annotated[AnyName | None, Ui(advanced=True)] = None
    segmentor_epochs: Annotated[int, Ui(min=1, max=10_000, advanced=True)] = 40


@dataclass(frozen=True)
class FinetuneConfig(_Run):
    """Finetune a segmentation model on labelled frames.

    Attributes:
        labels: curated label set, ARCADE split folder, or folder with images/ and masks/.
        run: folder for this run; must not hold another one.
        val: labelled frames to choose the best epoch on; None = a tenth of the labelled ones, at least
            three if there are nine, split by group.
        init: model to start from, by name or path (pretrained encoder or segmentation model); None = from scratch.
        architecture: network: ViT with a pyramid decoder, U-Net, U-Net with residual units, U-Net over EfficientNet
            (two sizes), or UNeXt-S; that of `init` where it is a segmentation model.
        encoder: size of the ViT; that of `init` where there is one.
        patch_size: side of a ViT's patch; that of `init` where there is one.
        width: channels at the finest level of the ViT's decoder or of a U-Net.
        fraction: share of the labelled frames to use; the subset changes with the seed.
        frame_size: longer side to which frames are scaled, in training and later in use.
        input_size: side of the training crops.
        augment: random scale, rotation, flip, grey levels, noise and blur.
        variety: how far that goes; "wide" also turns frames upside down and takes other rooms' grey levels, sizes,
            collimators, wires and clips, at the price of a longer training; "mixed" does so in every other view.
        categories: the categories of an ARCADE split (or another COCO file) are classes, not all of them vessel alike.
        complete: every visible vessel is labelled; off = the labels hold main branches, and what a filter or the
            teacher finds beside them is learned as other branches.
        synthetic: share of each batch that is drawn, with complete labels and a catheter.
        contrast: share of the labelled views into which synthetic vessels are drawn.
        synthetic_frames: drawn for each of these two, once for the run.
        unlabelled: angiograms without labels, of which the teacher's surest pixels are learned.
        unlabelled_share: share of each batch that they are.
        teacher: segmentation model, by name or path, that knows other branches, for unlabelled frames and in the place
            of the filter.
        leave_out: folder whose file names are those of frames that must not be learned from.
        dice_weight: w in (1 − w)·BCE + w·Dice.
        cldice_weight: weight of soft clDice, which asks for unbroken centrelines, on top of that; 0 = off.
        layer_decay: factor of the learning rate from one ViT block to the one below it.
        drop_path: stochastic depth of the ViT.
        validate_every: epochs between two validations.
        patience: validations without a gain after which the run ends; None = go on to the last epoch.
        training: how it is trained.
    """

    labels: AnyPath
    run: AnyPath
    val: AnyPath | None = None
    init: AnyName | None = None
    architecture: Architecture = "vit"
    encoder: Annotated[EncoderSize, Ui(advanced=True)] = "small"
    patch_size: Annotated[int, Ui(min=4, max=32, unit="px", advanced=True)] = 16
    width: Annotated[int, Ui(min=4, max=128, advanced=True)] = 16
    fraction: Annotated[float, Ui(min=0.001, max=1, step=0.05)] = 1.0
    frame_size: Annotated[int, Ui(min=32, max=4096, step=32, unit="px")] = 512
    input_size: Annotated[int, Ui(min=32, max=2048, step=32, unit="px")] = 256
    augment: bool = True
    variety: Annotated[Variety, Ui(advanced=True)] = "usual"
    categories: Annotated[bool, Ui(advanced=True)] = False
    complete: Annotated[bool, Ui(advanced=True)] = True
    synthetic: Annotated[float, Ui(min=0, max=0.9, step=0.05, advanced=True)] = 0.0
    contrast: Annotated[float, Ui(min=0, max=1, step=0.05, advanced=True)] = 0.0
    synthetic_frames: Annotated[int, Ui(min=1, max=100_000, unit="frames", advanced=True)] = 600
    unlabelled: Annotated[Path | None, Ui(advanced=True)] = None
    unlabelled_share: Annotated[float, Ui(min=0, max=0.9, step=0.05, advanced=True)] = 0.3
    teacher: Annotated[str | None, Ui(advanced=True)] = None
    leave_out: Annotated[Path | None, Ui(advanced=True)] = None
    dice_weight: Annotated[float, Ui(min=0, max=1, step=0.05, advanced=True)] = 0.5
    cldice_weight: Annotated[float, Ui(min=0, max=10, step=0.1, advanced=True)] = 0.0
    layer_decay: Annotated[float, Ui(min=0.1, max=1, step=0.05, advanced=True)] = 0.75
    drop_path: Annotated[float, Ui(min=0, max=0.9, step=0.05, advanced=True)] = 0.1
    validate_every: Annotated[int, Ui(min=1, max=1000, unit="epochs", advanced=True)] = 1
    patience: Annotated[int | None, Ui(min=1, max=1000, advanced=True)] = None
    training: Training = field(
        default_factory=lambda: Training(epochs=100, batch_size=8, learning_rate=1e-3, betas=(0.9, 0.999), clip=1.0)
    )


Config = SegmentorConfig | Pretraining | FinetuneConfig


def card_settings(config: Any) -> dict[str, Any]:
    """The settings as a model file keeps them: without any path, since the name of a folder may name a person."""
    named = {"init", "segmentor", "teacher"}  # a model's name or its path
    method = {"method": config.method} if isinstance(config, Pretraining) else {}
    return method | {
        k: v for k, v in to_dict(config).items() if k not in named and not isinstance(getattr(config, k), Path)
    }
