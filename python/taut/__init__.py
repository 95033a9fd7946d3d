"""taut: deep models inside a budget of memory, compute and bandwidth. The command `taut` does the work.

`python -m taut.report RUN...` makes an HTML page of plots from runs and sweeps.
"""

__version__ = "0.1.0"
