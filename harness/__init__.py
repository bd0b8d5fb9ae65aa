"""The skeleton: rollout -> credit -> update, blind to algorithms and environments."""

__version__ = "0.1.0"
