"""What `harness.status` shows: a sweep's directory read without touching it, summed up, and drawn."""
