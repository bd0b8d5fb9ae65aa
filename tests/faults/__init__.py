"""Kills and breaks whole cells at every file operation, and compares what is left with a calm run.

watch.py     sees a process's file operations, and makes one of them go wrong
zygote.py    a process that has imported everything and forks the cells, so that each takes half a second
cells.py     the cells, their attempts, and what must be the same bytes in the end
power.py     what a disk may hold after the power has failed, by a model of a file system
__main__.py  everything at once: the table in docs/reliability.md
"""
