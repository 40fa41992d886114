"""From a table of runs to a law's global optimum: loss, derivatives, search."""
