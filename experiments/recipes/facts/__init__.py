"""What keeps EntiGraph's reader from learning all that the text states."""
