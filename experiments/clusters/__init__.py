"""Where to train on many machines: one file a kind of cluster, to start from."""
