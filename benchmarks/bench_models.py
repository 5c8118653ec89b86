"""The packaged segmentation models: size on disk, and the time for a 512² frame against a plain U-Net's."""

from __future__ import annotations

import torch
from timing import compare, smallest

from vasomim_core.models.catalogue import WEIGHTS, Preprocessing
from vasomim_core.models.prediction import probability
from vasomim_core.models.registry import load_model
from vasomim_core.models.segmentation import unet
from vasomim_core.synthetic import synthesize


def main() -> None:
    little = smallest(__doc__)
    frame = synthesize(0, size=64 if little else 512).frame
    plain, whole = unet().eval(), Preprocessing()
    print(f"{torch.get_num_threads()} threads, fp32, with scaling and calibration")
    for path in sorted(WEIGHTS.glob("*.safetensors")):
        model = load_model(path, "cpu")
        if model.card.kind != "segmentation model":
            continue
        values = sum(parameter.numel() for parameter in model.network.parameters())
        compare(
            f"{path.stem}, {path.stat().st_size / 1e6:.1f} MB, {values / 1e6:.2f} M values",
            ("predict", lambda model=model: model.predict(frame)),
            ("U-Net of width 32", lambda: probability(plain, whole, frame)),
            repeats=1 if little else 7,
        )


if __name__ == "__main__":
    main()
