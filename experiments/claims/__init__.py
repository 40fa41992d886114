"""The talk's claims and the rules that decide their verdicts, by subject."""
