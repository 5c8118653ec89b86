"""Where the angiograms of these tests lie in the world, and which of their frames is shown."""

PLACES = {
    "still": {},
    "scaled still": {"scale": (0.3, 0.3), "translate": (40, -15)},
    "cine": {},
    "scaled cine": {"scale": (2, 0.5, 0.5), "translate": (7, 100, -30)},
}
FRAME = 5
