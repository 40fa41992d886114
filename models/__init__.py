"""Everything that trains or samples: text, tokens, language models, ensembles."""
