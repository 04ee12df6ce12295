"""What all notebooks share."""

import os
import sys


def _end(kind, error, trace):
    """As of `commands.terminal`, while a command is still being imported, which takes seconds."""
    if kind is not KeyboardInterrupt:
        return sys.__excepthook__(kind, error, trace)
    print("\nInterrupted.", file=sys.stderr, flush=True)
    os._exit(130)


_called = "".join(sys.argv[:1])
if _called == "-m" or os.path.basename(_called).startswith("video-resnet"):  # Python is looking for a command
    sys.excepthook = _end
