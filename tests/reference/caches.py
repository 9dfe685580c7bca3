"""Explicit caches (C7): from create, patch and delete to the token-seconds of a day.

Knows times and tokens; prices are `charge`'s.
"""

from dataclasses import dataclass

from guide import Guided
from pacific import NANOS, day_of, midnight, next_day
from record import CHANNELS, STORAGE_WITH_CACHE, USAGE_TIERS

DEFAULT_LIFE = 3600
DAYS_REMEMBERED = 7


@dataclass
class Cache:
    """One life of a name: from its start to its end, in whole seconds."""

    create: Guided
    start: int
    end: int

    def seconds_on(self, day):
        return max(0, min(self.end, midnight(next_day(day))) - max(self.start, midnight(day)))

    def token_seconds_on(self, day):
        return self.create.request.cache.tokens * self.seconds_on(day)


class Caches:
    """The last life of each name, by project and name, and the lives that aren't over."""

    def __init__(self):
        self.by_name = {}
        self.living = []

    def live_through(self, day, guided):
        """Moves on by a day. Gives what was stored, as (guided, token-seconds), and the events of unknown caches."""
        unknown = [g for g in in_order(guided) if not self.apply(g)]
        stored = [(c.create.stored_on(day), c.token_seconds_on(day)) for c in self.living]
        if self.living:
            tomorrow = midnight(next_day(day))
            self.living = [cache for cache in self.living if cache.end > tomorrow]
        return [(g, quantity) for g, quantity in stored if quantity], unknown

    def apply(self, event):
        """One event. False for a patch or delete of a cache that nobody saw, or that ended long ago."""
        facts, second = event.request.cache, event.request.instant // NANOS
        name = (event.request.project_id, facts.name)
        cache = self.by_name.get(name)
        lives = cache is not None and second < cache.end
        if event.request.method == "cachedContents.create":
            if not lives:
                expires = second + DEFAULT_LIFE if facts.expires is None else facts.expires // NANOS
                self.by_name[name] = Cache(event, second, max(second, expires))
                self.living.append(self.by_name[name])
            return True
        if cache is None or (event.day - day_of(cache.end * NANOS)).days > DAYS_REMEMBERED:
            return False
        if lives and event.request.method == "cachedContents.delete":
            cache.end = second
        elif lives and facts.expires is not None:
            cache.end = max(second, facts.expires // NANOS)
        return True


def in_order(guided):
    """The cache events among a day's requests, those of one instant in the fixed order."""
    events = [g for g in guided if g.request.went_well and g.request.method in STORAGE_WITH_CACHE]
    return sorted(events, key=place)


def place(event):
    request, facts = event.request, event.request.cache
    return (
        request.instant, STORAGE_WITH_CACHE.index(request.method), facts.expires is not None, facts.expires or 0,
        facts.tokens or 0, request.model or "", USAGE_TIERS.index(event.usage_tier), CHANNELS.index(request.channel),
    )  # fmt: skip
