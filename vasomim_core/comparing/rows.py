"""The rows of a comparison: what each is, its settings under the common protocol, and where it leaves its paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vasomim_core.comparing.settings import Ablation, Comparison
from vasomim_core.config import MaskedPretraining, PretrainConfig, Pretraining, Training
from vasomim_core.errors import ConfigError
from vasomim_core.methods.settings import (
    AMTConfig,
    CheXWorldConfig,
    DINOConfig,
    MoCoV3Config,
    settings_of,
)

Kind = Literal["filter", "scratch", "pretrained"]
SMALL = {"decoder_width": 192, "decoder_depth": 2, "decoder_heads": 6}
"""The decoder beside a ViT-Ti; with larger encoders each method has its own default."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: on the command line and in the folder.
        title: in the table.
        kind: the filter, a network from scratch, or one that was pretrained.
        method: of pretraining; empty = none.
        settings: changes of the method's own settings.
        deviations: where it leaves its paper, a sentence each; what holds for all rows is not said here.
        architecture: what is finetuned.
    """

    name: str
    title: str
    kind: Kind = "pretrained"
    method: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    architecture: Literal["vit", "unet"] = "vit"


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row("frangi", "Filter", "filter", deviations=("Sato's filter, as the released code computes it.",)),
        Row("unet", "U-Net, from scratch", "scratch", architecture="unet"),
        Row("mocov3", "MoCo v3", method="mocov3", deviations=("Of colour jitter brightness and contrast alone.",)),
        Row(
            "dino",
            "DINO",
            method="dino",
            deviations=("4,096 prototypes instead of 65,536.", "Of colour jitter brightness and contrast alone."),
        ),
        Row("mae", "MAE", method="mae"),
        Row("simmim", "SimMIM", method="simmim"),
        Row("amt", "AMT", method="amt", deviations=("Attention is cropped along with the frame.",)),
        Row("deblurring", "DeblurringMIM", method="deblurring", deviations=("Finetuned on sharp frames.",)),
        Row("crossmae", "CrossMAE", method="crossmae"),
        Row("hpm", "HPM", method="hpm"),
        Row("chexworld", "CheXWorld", method="chexworld"),
        Row("vasomim", "VasoMIM", method="vasomim", deviations=("Anatomy by the robust extraction.",)),
    )
}
"""The published table, top to bottom."""

TABLE: dict[str, Row] = {**ROWS, "vit": Row("vit", "ViT, from scratch", "scratch")}
"""What can be asked for: with it stands the network that the methods pretrain, without pretraining."""

VARIANTS: dict[Ablation, tuple[Row, ...]] = {
    "components": (
        Row("neither", "neither", method="vasomim", settings={"sampler": "uniform", "consistency": 0.0}),
        Row("consistency", "L_cons alone, β 0 → 0", method="vasomim", settings={"beta_end": 0.0}),
        Row("guidance", "guidance alone", method="vasomim", settings={"consistency": 0.0}),
    ),
    "schedule": (
        Row("consistency", "L_cons alone, β 0 → 0", method="vasomim", settings={"beta_end": 0.0}),
        Row("schedule-0-1", "β 0 → 1", method="vasomim", settings={"beta_end": 1.0}),
        Row("schedule-1-1", "β 1 → 1", method="vasomim", settings={"beta_start": 1.0, "beta_end": 1.0}),
    ),
}
"""What is compared with VasoMIM itself, which is both components and β 0 → 0.5; runs that two share are done once."""


def rows_of(methods: Sequence[str], ablation: Iterable[Ablation]) -> list[Row]:
    """The rows of a comparison, each once: those of the table, then the variants.

    Raises:
        ConfigError: there is no such row.
    """
    unknown = [name for name in methods if name not in TABLE]
    if unknown:
        raise ConfigError(f"no row is called {unknown[0]!r:.60}; choose of {', '.join(TABLE)}")
    chosen = {name: row for name, row in TABLE.items() if name in (methods or ROWS)}
    variants = [row for kind in VARIANTS if kind in set(ablation) for row in VARIANTS[kind]]
    if variants:
        chosen.setdefault("vasomim", ROWS["vasomim"])
    return [*chosen.values(), *{row.name: row for row in variants}.values()]


def pretraining(row: Row, comparison: Comparison, run: Path, epochs: int, segmentor: Path | None) -> Pretraining:
    """The settings of a row's pretraining under the common protocol.

    Crops, batch, encoder and epochs are the comparison's; the peak learning rate is the method's for this batch, and
    all else is its own.

    Args:
        row: a pretrained one.
        comparison: the protocol.
        run: its run folder.
        epochs: as many.
        segmentor: a trained S for methods that take one.
    """
    kind = settings_of(row.method)
    base = kind(data=run.parent, run=run, encoder=comparison.encoder, input_size=comparison.input_size)
    own: Training = base.training
    training = replace(
        own,
        epochs=epochs,
        batch_size=comparison.batch_size,
        learning_rate=kind.rate(comparison.batch_size),
        device=comparison.device,
        save_every=100,
    )
    changes: dict[str, Any] = {"training": training, **_fitted(base, comparison), **row.settings}
    if isinstance(base, PretrainConfig) and segmentor is not None:
        changes["segmentor"] = str(segmentor)
    return replace(base, **changes)


def takes_segmentor(row: Row) -> bool:
    """Whether its pretraining asks a segmentor S."""
    return row.method == "vasomim" and row.settings.get("consistency", 1.0) > 0


def _fitted(base: Pretraining, comparison: Comparison) -> dict[str, Any]:
    """What a small encoder and small crops change of a method's own settings."""
    changes: dict[str, Any] = {}
    if comparison.encoder == "tiny" and isinstance(base, MaskedPretraining):
        deep = base.decoder_depth > 4  # CrossMAE's depth is its idea
        changes |= {**SMALL, "decoder_depth": base.decoder_depth} if deep else SMALL
    if comparison.encoder == "tiny" and isinstance(base, CheXWorldConfig):
        changes |= {"predictor_width": 192, "predictor_heads": 6}
    if isinstance(base, DINOConfig):  # as large beside the crops as 96 px beside 224
        patches = max(1, round(base.small_size / 224 * comparison.input_size / base.patch_size))
        changes["small_size"] = patches * base.patch_size
    return changes


def tokens_seen(config: Pretraining) -> int:
    """Patch tokens of one frame that the learning encoder takes in at a step, without class tokens."""
    whole = (config.input_size // config.patch_size) ** 2
    if isinstance(config, DINOConfig):
        return 2 * whole + config.small_views * (config.small_size // config.patch_size) ** 2
    if isinstance(config, MoCoV3Config):
        return 2 * whole
    if isinstance(config, CheXWorldConfig):
        # Two crops; a context block of .875 in the mean, less what four targets of .175 cover of it.
        return round(2 * whole * 0.875 * (1 - 0.175) ** 4)
    if isinstance(config, AMTConfig):
        return round(whole * (1 - config.mask_ratio - config.throw_ratio))
    return round(whole * (1 - config.mask_ratio)) if isinstance(config, MaskedPretraining) else whole
