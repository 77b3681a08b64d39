"""What the learner is fed: labelled source samples, recent target frames, mixing. Knows nothing of time or threads."""
