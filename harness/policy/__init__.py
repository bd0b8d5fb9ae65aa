"""Policies: tokenizer, prompts, the embedded model, its critic, and the warm start."""
