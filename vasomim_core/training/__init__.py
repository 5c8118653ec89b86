"""Training: one loop, three jobs (segmentor, pretrain, finetune), and the events that tell of them."""
