"""A procedural labelled street world, its weather, and the sequences played in it."""
