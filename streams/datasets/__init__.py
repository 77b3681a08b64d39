"""Recorded labelled data sets: label spaces and one small file per on-disk layout."""
