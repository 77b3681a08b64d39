"""Reads events and scores them; never steers a run."""
