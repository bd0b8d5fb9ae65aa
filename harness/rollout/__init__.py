"""Episodes: the generation engine, the scheduler, and branching."""
