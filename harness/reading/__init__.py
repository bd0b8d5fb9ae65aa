"""One reader of a cell's directory, for plans, launchers, boards, trackers and reports.

A cell is in one of the states of `harness.reading.cell.State`, whoever asks. What differs is how closely a
finished cell is looked at: the board, which must be quick, asks whether its files are there (`cell`); who
runs cells, or computes with their numbers, compares checksums (`whole`).
"""
