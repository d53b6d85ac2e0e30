"""Exit codes, and the errors that are one line."""

__all__ = ["BAD_INPUT", "BROKEN_PIPE", "INTERRUPTED", "USER_ERRORS"]

BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
# What bad input, a full disk, a loss that is not finite or a missing package raise; anything else is a fault of fastnet and
# shows as such.
USER_ERRORS = (ValueError, OSError, FloatingPointError, MemoryError, ModuleNotFoundError)
