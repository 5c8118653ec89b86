"""Networks: the masked autoencoder, the segmentor S, the finetuned segmenters, and how they are stored."""
