"""What a sweep is going to do and to cost, before anything runs."""
