"""Synthetic text from real text: rephrasing, EntiGraph, synthetic bootstrapped pre-training.

The folders::

    texts/      records read one by one and cut into chunks; near-duplicates
    writing/    prompts, requests, answers recorded in a ledger, output folders; the methods
                rephrase and entigraph
    backends/   text generators: OpenAI-compatible servers, transformers, models of this package,
                templates
    sbp/        embeddings, pairs of related documents, the synthesizer of p(d2 | d1)
    quality/    measures of synthetic text compared with real text
"""
