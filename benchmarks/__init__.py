"""Numbers with their conditions, and the assembled command line."""
