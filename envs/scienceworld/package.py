"""Which package is played."""

from envs.engines.java import JavaPackage

PACKAGE = JavaPackage("scienceworld", "scienceworld", "1.2.3", "scienceworld.jar")
