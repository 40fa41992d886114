"""EntiGraph on a synthetic world in which every fact is known."""
