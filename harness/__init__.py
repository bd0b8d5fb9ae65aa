"""The skeleton: rollout -> credit -> update, blind to algorithms and environments."""

import signal
import sys

__version__ = "0.1.0"

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # `python -m harness.COMMAND` is about to import its libraries, which takes seconds: until the command
    # itself runs (`harness.terminal`), Ctrl-C ends it without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
