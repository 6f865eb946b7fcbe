"""How fast a job goes on, and when it will be done, in words."""

from napari_xpcs.progress import Progress


class Pace:
    """How quickly a job goes on, from the start of what it does now.

    A job that does one thing after the other starts to count anew for each, and what it did
    before its first count, such as compiling, tells nothing about the rest.
    """

    def __init__(self) -> None:
        self._last = Progress(0, 0)
        self._from = Progress(0, 0)
        self._since = 0.0
        self.rate = 0.0

    def text(self, progress: Progress, now: float) -> str:
        """Return how far the job is at the time ``now`` (s), its rate and the time that is left.

        >>> pace = Pace()
        >>> pace.text(Progress(0, 1000, "frames"), 5.0)
        'frames ...'
        >>> pace.text(Progress(200, 1000, "frames"), 7.0)
        '200 of 1000 frames, 100 per s, 8 s left'
        """
        last, self._last = self._last, progress
        another = (progress.total, progress.what) != (last.total, last.what)
        if another or progress.done <= self._from.done:
            self._from, self._since = progress, now
        done, seconds = progress.done - self._from.done, now - self._since
        if done <= 0 or seconds <= 0:
            return f"{progress.what} ..."
        self.rate = done / seconds
        left = (progress.total - progress.done) / self.rate
        return (
            f"{progress.done} of {progress.total} {progress.what}, {rate_text(self.rate)} per s, "
            f"{time_text(left)} left"
        )

    def end(self, now: float) -> None:
        """Take the rate of all that was done last; a short job may have told nothing between.

        >>> pace = Pace()
        >>> pace.text(Progress(0, 1000, "compiling"), 0.0)
        'compiling ...'
        >>> pace.text(Progress(0, 1000, "frames"), 20.0)
        'frames ...'
        >>> pace.end(22.0)
        >>> pace.rate
        500.0
        """
        done, seconds = self._last.total - self._from.done, now - self._since
        if done > 0 and seconds > 0:
            self.rate = done / seconds


def time_text(seconds: float) -> str:
    """Return a duration as people say it.

    >>> time_text(8.2), time_text(200.0), time_text(7500.0)
    ('8 s', '3 min 20 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def rate_text(rate: float) -> str:
    """Return a rate with three digits that count, and no exponent.

    >>> rate_text(0.1234), rate_text(100.0), rate_text(1084.2)
    ('0.123', '100', '1080')
    """
    return f"{float(f'{rate:.3g}'):.10g}"
