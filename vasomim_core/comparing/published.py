"""The published table: DSC and clDice in percent, means of three seeds. Source: VasoMIM (AAAI 2026), its poster."""

from __future__ import annotations

Scores = tuple[float, float]

PUBLISHED: dict[str, dict[str, Scores]] = {
    "ARCADE": {
        "frangi": (41.30, 40.91),
        "unet": (58.27, 59.70),
        "mocov3": (60.99, 62.68),
        "dino": (65.86, 67.84),
        "mae": (68.17, 69.89),
        "simmim": (66.92, 68.93),
        "amt": (68.15, 69.77),
        "deblurring": (68.60, 70.21),
        "crossmae": (62.40, 64.23),
        "hpm": (66.82, 68.49),
        "chexworld": (67.95, 70.31),
        "vasomim": (68.85, 70.56),
    },
    "CAXF": {
        "frangi": (64.01, 65.73),
        "unet": (78.72, 82.68),
        "mocov3": (77.76, 80.91),
        "dino": (80.13, 82.90),
        "mae": (83.53, 87.37),
        "simmim": (82.24, 85.77),
        "amt": (83.47, 87.40),
        "deblurring": (83.85, 87.78),
        "crossmae": (80.07, 83.45),
        "hpm": (82.61, 86.18),
        "chexworld": (80.64, 82.65),
        "vasomim": (84.49, 88.33),
    },
    "XCAV": {
        "frangi": (58.46, 57.15),
        "unet": (68.63, 63.47),
        "mocov3": (70.85, 63.97),
        "dino": (72.28, 66.36),
        "mae": (76.43, 72.58),
        "simmim": (75.10, 69.98),
        "amt": (76.51, 72.60),
        "deblurring": (77.02, 73.58),
        "crossmae": (72.25, 65.94),
        "hpm": (75.48, 70.79),
        "chexworld": (73.74, 67.13),
        "vasomim": (77.52, 74.18),
    },
}

ABLATION: dict[str, dict[str, float]] = {
    "ARCADE": {
        "neither": 68.00,
        "consistency": 68.45,
        "guidance": 68.30,
        "vasomim": 68.85,
        "schedule-0-1": 68.52,
        "schedule-1-1": 65.36,
    },
    "CAXF": {
        "neither": 83.15,
        "consistency": 84.03,
        "guidance": 83.96,
        "vasomim": 84.49,
        "schedule-0-1": 84.24,
        "schedule-1-1": 81.17,
    },
}
"""DSC of VasoMIM's variants; "consistency" is also the schedule 0 → 0, "vasomim" the schedule 0 → 0.5."""

NAMES = {"arcade": "ARCADE", "syntax": "ARCADE", "caxf": "CAXF", "xcav": "XCAV"}


def published_as(name: str) -> str | None:
    """The data set of the published table that a folder's name stands for."""
    return NAMES.get(name.casefold())
