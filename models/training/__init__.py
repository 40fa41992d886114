"""Training: optimizers, training steps, job lists, devices and checkpoints."""
