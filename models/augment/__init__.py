"""New data from old: rephrasing, EntiGraph, synthetic bootstrapped pre-training, their quality.

Where things are:

    records, chunks, documents     texts in: read one by one, cut where they do not fit
    prompts, requests, outcomes    what is asked of a writer, and what becomes of its answer
    backends/                      writers: OpenAI-compatible servers, transformers, ours, templates
    ledger, asking, output         every answer is paid for once and written down at once; resume
    rephrase, entigraph            methods that ask a writer: generators of records
    embeddings, hidden_states      documents as unit vectors
    neighbors, approximate         exact search, FAISS; pairs of related documents
    synthesizer, pipeline          learn p(d2 | d1), judge it, sample it; from texts to texts
    prototypes                     a corpus as a nonparametric language model
    minhash, quality, comparison   what synthetic texts are like, beside real ones
"""
