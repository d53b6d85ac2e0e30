"""Settings for all tests."""

import os

# Python processes that tests start import the installed package, not the checkout's sources in the working directory.
os.environ["PYTHONSAFEPATH"] = "1"
