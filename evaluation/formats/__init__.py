"""Other projects' files as `evaluation.records`, and back without a loss."""
