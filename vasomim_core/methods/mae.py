"""MAE: the encoder sees a quarter of the patches, and a decoder draws the others.

Source: He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022. γ = 0.75 uniform; the loss is the mean
squared error on masked patches, each target patch with zero mean and unit variance.
"""

from __future__ import annotations

from typing import Any, TypeVar

from torch import Tensor

from vasomim_core.config import MaskedPretraining
from vasomim_core.masking.sampling import masked_count
from vasomim_core.methods.masks import uniform
from vasomim_core.methods.method import Batch, Method, Moment
from vasomim_core.models import objectives
from vasomim_core.models.mae import MaskedAutoencoder

M = TypeVar("M", bound=MaskedPretraining)


def autoencoder_options(config: MaskedPretraining) -> dict[str, Any]:
    """What the autoencoder of these settings is built with."""
    return {
        "encoder": config.encoder,
        "input_size": config.input_size,
        "patch_size": config.patch_size,
        "decoder_width": config.decoder_width,
        "decoder_depth": config.decoder_depth,
        "decoder_heads": config.decoder_heads,
    }


class MaskedMethod(Method[M]):
    """A method around a masked autoencoder: what MAE, AMT, HPM, DeblurringMIM and VasoMIM have in common."""

    autoencoder: MaskedAutoencoder

    def __init__(self, config: M):
        super().__init__(config)
        self.autoencoder = MaskedAutoencoder(**autoencoder_options(config))
        self.patches = self.autoencoder.patch_embed.num_patches
        self.masked = masked_count(self.patches, config.mask_ratio)

    def keeps(self) -> MaskedAutoencoder:
        """The encoder's half of the autoencoder."""
        return self.autoencoder

    def fuse(self) -> None:
        """The autoencoder as a whole."""
        self.autoencoder.compile()


class MAE(MaskedMethod[MaskedPretraining]):
    """Uniform masks, normalised targets, loss on what was hidden."""

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """Mean squared error on the masked patches."""
        images = self.images(batch["frame"])
        mask = uniform(moment.noise(self.patches, images.device)[0], self.masked)
        predicted = self.autoencoder(images, mask, self.masked)
        target, _, _ = objectives.normalised_patches(images, self.config.patch_size)
        return {"loss": objectives.reconstruction_loss(predicted, target, mask)}

    def kept(self) -> dict[str, Tensor]:
        """All of the autoencoder, so that its drawings can be looked at."""
        return dict(self.autoencoder.state_dict())

    def described(self) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
        """An autoencoder, whose masks are uniform."""
        masking = {"sampler": "uniform", "co_guidance": False, "consistency": 0.0}
        return "autoencoder", "mae", autoencoder_options(self.config), masking
