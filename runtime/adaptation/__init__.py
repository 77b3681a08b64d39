"""The learner and its methods, one file each."""
