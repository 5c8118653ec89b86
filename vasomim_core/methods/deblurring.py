"""DeblurringMIM: a masked autoencoder that also has to sharpen: it sees a blurred frame and draws the sharp one.

Source: Kang et al., Deblurring Masked Autoencoder is Better Recipe for Ultrasound Image Recognition, MICCAI 2023.
The input is blurred (Gaussian, σ 1.1 px at the frame's own size), the target is the same crop of the sharp frame; γ is
0.75, uniform; the loss is the mean squared error over all patches, visible ones too, in plain pixels.

There, frames are blurred before they are segmented as well; here finetuning sees sharp frames, as with every method.
"""

from __future__ import annotations

from torch import Tensor

from vasomim_core.methods.losses import raw_patches
from vasomim_core.methods.mae import MaskedMethod
from vasomim_core.methods.masks import uniform
from vasomim_core.methods.method import Batch, Moment
from vasomim_core.methods.settings import DeblurringConfig
from vasomim_core.methods.views import BlurredCrop


class Deblurring(MaskedMethod[DeblurringConfig]):
    """Uniform masks on a blurred crop; every patch of the sharp crop is the target."""

    def view(self) -> BlurredCrop:
        """The same crop blurred ("frame") and sharp ("target")."""
        return BlurredCrop(self.config.input_size, self.config.sigma)

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """Mean squared error over all patches and pixels."""
        images = self.images(batch["frame"])
        mask = uniform(moment.noise(self.patches, images.device)[0], self.masked)
        predicted = self.autoencoder(images, mask, self.masked)
        target = raw_patches(self.images(batch["target"]), self.config.patch_size)
        return {"loss": (predicted.float() - target).square().mean()}
