"""One cell on several devices of one machine."""
