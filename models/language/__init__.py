"""Trained language models: sampling, distillation, Hugging Face exchange."""
