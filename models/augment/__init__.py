"""New data from old: rephrasing, EntiGraph, synthetic bootstrapped pre-training, their quality."""
