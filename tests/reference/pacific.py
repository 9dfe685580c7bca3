"""Instants and the days of Los Angeles (Q4), the only zone that reports know."""

from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")
NANOS = 10**9


class Instant(int):
    """Seconds since 1970, printed as an instant."""


def day_of(instant):
    """Q4. The calendar day of an instant in nanoseconds."""
    return datetime.fromtimestamp(instant // NANOS, PACIFIC).date()


def midnight(day):
    """The second with which a day begins."""
    return int(datetime.combine(day, time(), PACIFIC).timestamp())


def days_between(first, last):
    """All days from the first to the last, both included."""
    return [date.fromordinal(number) for number in range(first.toordinal(), last.toordinal() + 1)]


def next_day(day):
    return day + timedelta(days=1)


def hour_of(instant):
    """The begin of an instant's hour, with the offset that Pacific clocks had."""
    hour = datetime.fromtimestamp(instant // NANOS // 3600 * 3600, PACIFIC)
    return hour.isoformat(timespec="minutes")


def printed_instant(instant):
    second, fraction = divmod(instant, NANOS)
    text = datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{fraction:09}".rstrip("0") if fraction else "") + "Z"
