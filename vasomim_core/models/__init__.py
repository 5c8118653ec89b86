"""Networks: the masked autoencoder, the segmentor S, the finetuned segmentation models, and how they are stored."""
