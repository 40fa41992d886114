"""Problems of a table of runs, found before a law is fitted."""
