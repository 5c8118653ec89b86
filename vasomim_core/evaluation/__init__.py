"""How good and how honest a model is: scores of masks, calibration of probabilities."""
