"""Models without training by gradient: n-grams, languages of known entropy."""
