"""Training: optimisers, training steps, job lists, devices and checkpoints."""
