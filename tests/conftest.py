"""What all tests in Python share."""

import signal


def pytest_configure():
    """Signals mean what they mean at a terminal, also to tests that run in the background or under nohup.

    A process started there ignores some of them, and so does every process that it starts.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
