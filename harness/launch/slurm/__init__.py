"""`launcher=slurm`: cells in job arrays. The truth is what the cells wrote; SLURM only says what is alive."""
