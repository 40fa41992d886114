"""The result of a fit: its values, text and HTML reports, plots and files."""
