"""One small file per algorithm: its place in the factor space, its rollout plan, its credit."""
