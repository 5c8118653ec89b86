"""Work that goes on beside the window: threads, and the inference child that holds the models."""
