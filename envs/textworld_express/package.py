"""Which package is played."""

from envs.engines.java import JavaPackage

PACKAGE = JavaPackage("textworld_express", "textworld-express", "1.1.0", "textworld-express.jar")
