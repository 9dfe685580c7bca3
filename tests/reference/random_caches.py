"""Events of caches for a random log: few names, at the moments that decide a cache's life.

A create, patch or delete often comes at another event's instant or at an end of a cache, a nanosecond or a second
beside it, or 7 and 8 days after; names are used again, and some caches nobody ever saw created.
"""

import random

NANOS = 10**9
HOUR = 3600
DAY = 86_400
NAMES = tuple(f"cachedContents/{letter}" for letter in "abcde")
NOBODY = "cachedContents/nobody"
CREATE, PATCH, DELETE = EVENTS = ("cachedContents.create", "cachedContents.patch", "cachedContents.delete")
LATEST = 9_214_646_399  # 2261-12-31T23:59:59Z, the last second that a timestamp may have


class RandomCaches:
    def __init__(self, maker):
        self.maker = maker
        self.rng = maker.rng
        self.names = self.rng.sample(NAMES, self.rng.randint(2, len(NAMES)))
        self.known = {}  # by project and name: instants of events and ends, in nanoseconds
        self.made = 0

    def event(self):
        """The fields of a record that make it an event of a cache; `instant` in nanoseconds."""
        rng, chance = self.rng, self.maker.chance
        project, name = rng.choice(self.maker.projects), rng.choice(self.names)
        name = NOBODY if chance(0.03) else name
        known = self.known.setdefault((project, name), [])
        instant = self.moment(known)
        method = rng.choice(
            (CREATE, CREATE, CREATE, PATCH, PATCH, DELETE) if known else (CREATE, CREATE, PATCH, DELETE)
        )
        self.made += 1
        request_id = f"event-{self.made}" if chance(0.8) else rng.choice(self.maker.ids)
        fields = {
            "request_id": request_id, "instant": instant, "project_id": project, "method": method,
            "cached_content": self.content(method, name, instant, request_id),
        }  # fmt: skip
        if method == CREATE and chance(0.3):
            tokens = fields["cached_content"].pop("total_tokens") if chance(0.7) else self.tokens()
            fields["usageMetadata"] = {"totalTokenCount": tokens}
        known += [instant, *self.ends(fields)]
        return fields

    def moment(self, known):
        """Beside an event or an end, or at any time of the log."""
        rng, chance = self.rng, self.maker.chance
        if not known or chance(0.4):
            return self.maker.instant()
        beside = rng.choice(
            (0, 0, 0, 1, -1, NANOS, -NANOS, 500_000_000, 30 * NANOS, 1800 * NANOS, HOUR * NANOS)
        )
        if chance(0.1):
            beside += rng.choice((DAY, 7 * DAY, 8 * DAY)) * NANOS
        return min(max(0, rng.choice(known) + beside), LATEST * NANOS)

    def content(self, method, name, instant, request_id):
        """Of a patch and a delete the tokens hang on the request's id: whether they are facts isn't said."""
        content = {"name": name}
        of_id = random.Random(f"{request_id}")
        if method == CREATE:
            content["total_tokens"] = self.tokens()
        elif of_id.random() < 0.4:
            content["total_tokens"] = of_id.randrange(5000)
        if method != DELETE:
            content["expire_time"] = self.expiry(method, instant)
        return content

    def tokens(self):
        return self.rng.choice(
            (0, 1, 7, 1000, 32_768, 123_457, 1_000_000, 1_048_576, self.rng.randrange(10**7))
        )

    def expiry(self, method, instant):
        """None, or a time, often soon, sometimes days later, now and then at or before the event."""
        rng = self.rng
        if self.maker.chance(0.25 if method == CREATE else 0.15):
            return None
        life = rng.choice((
            0, 1, 59, HOUR // 2, HOUR, HOUR, 5 * HOUR, 12 * HOUR, DAY - 1, DAY, DAY + 1, 2 * DAY, 3 * DAY, 10 * DAY,
            -1, -HOUR, rng.randrange(4 * DAY),
        ))  # fmt: skip
        if self.maker.chance(0.05):
            life = rng.choice((30 * DAY, 45 * DAY, 400 * DAY))
        expires = min(max(0, instant + life * NANOS), LATEST * NANOS)
        return self.maker.timestamp(expires if self.maker.chance(0.7) else expires // NANOS * NANOS)

    def ends(self, fields):
        """When a cache might end after an event, as far as a guess goes."""
        instant = fields["instant"]
        if fields["method"] == CREATE and fields["cached_content"].get("expire_time") is None:
            yield instant + HOUR * NANOS
        if fields["method"] != DELETE and self.maker.chance(0.5):
            yield instant + self.rng.choice((HOUR, HOUR, 12 * HOUR, DAY)) * NANOS

    def change(self, record):
        """Another name, end or number of tokens under the same id: an amended line, not a duplicate."""
        if record.get("method") not in (CREATE, PATCH) or not isinstance(record.get("cached_content"), dict):
            return
        content = dict(record["cached_content"])
        what = self.rng.choice(("name", "expire_time", "total_tokens"))
        if what == "name":
            content["name"] = self.rng.choice(self.names)
        elif what == "expire_time":
            content["expire_time"] = self.expiry(record["method"], record["instant"])
        elif record["method"] == CREATE:
            content["total_tokens"] = self.tokens()
        record["cached_content"] = content


def unsettled(request):
    """What the rules leave open of a cache's facts; records of one identity that differ in it aren't compared."""
    facts = request.cache
    if facts is None or facts == type(facts)(None, None, None):
        return ()
    if not request.went_well or request.method not in EVENTS:
        return (request.method, facts)
    below_a_second = None if facts.expires is None else facts.expires % NANOS
    if request.method == CREATE:
        return (below_a_second,)
    return (below_a_second, facts.tokens, facts.expires if request.method == DELETE else None)
