"""Text environments behind one protocol: `envs.base`."""
