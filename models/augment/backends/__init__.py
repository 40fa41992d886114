"""Writers of text behind one protocol: servers, transformers, our own models, templates."""
