"""A log by seed, awkward on purpose: few names so that identities collide, times around midnight,
clock changes and price changes, every spelling and every reason for which a line is refused.

A log is of one of three kinds: dense traffic of two days, all edges of the books, or days and weeks of paid
use with caches, grounding and credits. About seven records of ten are good. Records that only the last,
arbitrary word could tell apart (equal in all that decides which record of an identity counts, but not
equal) are left out.
"""

import json
import random
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import random_accounts
import tokens
from random_caches import EVENTS, RandomCaches, unsettled
from record import CHANNELS, GRPC_STATUS, QUANTITY_METERS, AnotherService, Number, Settings, judge, parse_status
from replay import identity, rank
from tokens import Refused

PACIFIC = ZoneInfo("America/Los_Angeles")
ZONES = ("Europe/Berlin", "America/New_York", "America/Los_Angeles", "Asia/Kolkata", "UTC")
NANOS = 10**9
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

CACHE_NAME = r"cachedContents/[0-9a-z]+"

POPULAR_MODELS = (
    "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite", "gemini-3-flash-preview", "gemini-3-pro-preview",
    "gemini-flash-latest", "gemini-2.0-flash", "gemini-3.6-flash", "gemini-1.5-pro", "gemini-embedding-001",
    "gemini-2.5-flash-image", "deep-research-pro-preview-12-2025", "veo-3.1-generate-preview",
    "imagen-4.0-generate-001",
)  # fmt: skip
UNKNOWN_MODELS = ("gemini-9", "Gemini-2.5-Flash", "gpt-5", "gemini-2.5-flash ", "模型")
TUNED_MODELS = ("tunedModels/support-7", "tunedModels/models/odd-8", "tunedModels/lost-9", "tunedModels/")
SPECIAL_DAYS = (
    date(2026, 3, 8), date(2026, 11, 1), date(2025, 11, 2), date(2025, 3, 9), date(2026, 6, 1), date(2026, 1, 1),
    date(2024, 2, 29),
)  # fmt: skip
FAR_DAYS = (date(1970, 1, 1), date(1970, 1, 2), date(2011, 7, 4), date(2099, 12, 31), date(2261, 12, 31))
# Just before clocks change, months end, allowances and usage tiers get new lines, and storage new prices.
MONTHS_BEGIN = (
    date(2026, 3, 6), date(2026, 10, 30), date(2025, 10, 31), date(2026, 1, 3), date(2026, 3, 30), date(2026, 8, 11),
    date(2026, 8, 26), date(2026, 12, 30), date(2026, 6, 30), date(2025, 10, 16),
)  # fmt: skip
POOL_MODELS = (
    "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro", "gemini-3-flash-preview", "gemini-3-pro-preview",
    "gemini-3.1-pro-preview", "gemini-3.5-flash", "gemini-3.6-flash", "gemini-2.0-flash",
)  # fmt: skip
GROUNDING_METERS = (
    "grounding_search_prompt", "grounding_search_query", "grounding_maps_prompt", "grounding_maps_query",
)  # fmt: skip
PROJECTS = ("p1", "p2", 'a,"b"', "prøj", "p 3", "P1", "p1 ")
MODALITIES = {
    "text": ("TEXT", "text", "MODALITY_TEXT", "Modality_Text", "MODALITY_UNSPECIFIED", "unspecified", "", None, 1),
    "image": ("IMAGE", "image", "modality_image", 2),
    "video": ("VIDEO", "Video", 3),
    "audio": ("AUDIO", "MODALITY_AUDIO", 4),
    "document": ("DOCUMENT", "document", 5),
}  # fmt: skip
SERVICE_TIERS = (
    "standard", "STANDARD", "SERVICE_TIER_STANDARD", "service_tier_unspecified", "Unspecified", "batch", "BATCH",
    "SERVICE_TIER_BATCH", "flex", "Flex", "SERVICE_TIER_FLEX", "priority", "Service_Tier_Priority", "", None,
)  # fmt: skip
INFERENCE = (
    "generateContent", "streamGenerateContent", "batchGenerateContent", "bidiGenerateContent",
    "interactions.create", "chat.completions", "generateAnswer", "embedContent", "batchEmbedContents",
    "asyncBatchEmbedContent", "embeddings", "predict", "predictLongRunning",
)  # fmt: skip
OTHER_METHODS = (
    "countTokens", "cachedContents.create", "cachedContents.patch", "cachedContents.delete", "cachedContents.get",
    "cachedContents.list", "models.get", "files.upload", "operations.get", "batches.get", "tunedModels.create",
)  # fmt: skip
DEFAULT_METHODS = ("", None, "generateContent")
OUR_SERVICE = "generativelanguage.googleapis.com"
FAILURES = (400, 401, 403, 404, 428, 429, 429, 429, 430, 498, 499, 500, 501, 503, 504, 599, "failed")


class Raw(str):
    """JSON text that stands in the log as it is."""


class Pairs(list):
    """An object as (key, value), so that a key can stand twice."""


@dataclass
class RandomLog:
    """What one seed makes: the lines in their order, the accounts file and what replay is told."""

    lines: list
    accounts: str = ""
    usage_tier: str | None = None
    project: str | None = None
    time_zone: str | None = None
    window: tuple = (None, None)
    newlines: list = field(default_factory=list)

    def files(self, rng):
        """The log in one to three files, one of them sometimes given twice."""
        cuts = sorted(rng.randrange(len(self.lines) + 1) for _ in range(rng.choice((0, 0, 1, 2))))
        bounds = [0, *cuts, len(self.lines)]
        contents = [self.text(first, last, rng) for first, last in zip(bounds, bounds[1:])]
        if rng.random() < 0.2:
            contents.append(rng.choice(contents))
        return {f"part-{number}.jsonl": content for number, content in enumerate(contents)}

    def text(self, first, last, rng):
        """Some lines as bytes: sometimes with a byte order mark, or without the last newline."""
        joined = b"".join(
            line + newline for line, newline in zip(self.lines[first:last], self.newlines[first:last])
        )
        mark = b"\xef\xbb\xbf" if rng.random() < 0.2 else b""
        return mark + (joined.rstrip(b"\n") if rng.random() < 0.3 else joined)


def make(seed, books, records=2000):
    return Maker(seed, books, records).make()


class Maker:
    def __init__(self, seed, books, records):
        self.rng = random.Random(seed)
        self.books = books
        self.records = records
        rng = self.rng
        self.time_zone = rng.choice(ZONES) if rng.random() < 0.3 else None
        self.project = rng.choice(PROJECTS) if rng.random() < 0.3 else None
        self.usage_tier = rng.choice((None, None, None, "free", "tier1", "tier3", "unknown"))
        # A busy log has few projects, models and days, priced ones, and dense traffic.
        kind = rng.choices(("busy", "edges", "months"), (3, 3, 4))[0]
        self.busy, self.months = kind == "busy", kind == "months"
        self.projects = rng.sample(PROJECTS, rng.randint(1, 2 if self.busy else 4))
        self.days = self.pick_busy_days() if self.busy else self.pick_months_days() if self.months else []
        self.models = (
            self.pick_busy_models() if self.busy else self.pick_months_models() if self.months else self.pick_models()
        )
        self.days = self.days or self.pick_days()
        if self.months and self.chance(0.8):
            self.usage_tier = None
        # How large quantities are, and how often a burst is throttled.
        self.grounding = rng.choice(((0, 1, 4, 10), (1, 30, 80), (1, 80, 150)))
        if self.months:
            self.grounding = rng.choice(((1, 80, 150), (1, 200, 500, 900), (1, 200, 700, 1499, 1500, 1501, 5000)))
        self.throttling = rng.choice((0, 0.2, 0.5)) if self.busy else 0
        self.rush = [self.instant_on(rng.choice(self.days)) // NANOS for _ in range(3)]
        self.upgrades = [self.instant_on(rng.choice(self.days)) for _ in range(3)]
        self.ids = [f"id-{number}" for number in range(max(2, records // 2))] + ["模", "a b", "ID-1", "0"]
        self.made = []
        self.caches = RandomCaches(self)

    def chance(self, probability):
        return self.rng.random() < probability

    def make(self):
        lines, newlines, known = [], [], {}
        settings = Settings(self.books.methods, self.project, self.time_zone)
        while len(lines) < self.records:
            line = self.line()
            if self.is_full_tie(line, settings, known):
                continue
            lines.append(line)
            newlines.append(b"\r\n" if self.chance(0.05) else b"\n")
        return RandomLog(
            lines, random_accounts.make(self, TUNED_MODELS[:2]), self.usage_tier, self.project, self.time_zone, self.window(), newlines
        )  # fmt: skip

    def is_full_tie(self, line, settings, known):
        """Whether another record equals this one in rank but not in facts, or in facts as far as they are settled."""
        try:
            request = judge(line, settings)
        except (Refused, AnotherService):
            return False
        if request.request_id is None or request.usage_less:
            return False
        name = identity(request)
        if request.cache is not None and known.setdefault(name, unsettled(request)) != unsettled(request):
            return True
        return known.setdefault((name, rank(request, self.books)), request.facts()) != request.facts()

    # --- what a log is about -------------------------------------------------------

    def pick_models(self):
        rng, books = self.rng, self.books
        models = [rng.choice(POPULAR_MODELS) for _ in range(3)]
        models += rng.sample(sorted(books.priced_models), 3) + rng.sample(sorted(books.models), 1)
        models += rng.sample(sorted(books.aliases.lines), 2)
        models += [rng.choice(UNKNOWN_MODELS), *rng.sample(TUNED_MODELS, 2)]
        return models

    def pick_busy_days(self):
        first = date(2025, 9, 1) + timedelta(days=self.rng.randrange(500))
        if self.chance(0.3):
            first = self.rng.choice(SPECIAL_DAYS[:5])
        return [first, first + timedelta(days=1)]

    def pick_busy_models(self):
        """Models that have a price on the days, and an alias."""
        priced = {
            key[0] for key, lines in self.books.schedules.lines.items() if min(lines) <= self.days[0]
        }  # fmt: skip
        in_force = [a for a, lines in self.books.aliases.lines.items() if min(lines) <= self.days[-1]]
        return [*self.rng.sample(sorted(priced), 3), self.rng.choice(sorted(in_force)), *TUNED_MODELS[:1]]

    def pick_months_days(self):
        """A few days, over a few days or weeks; sometimes with a gap of more than 31 days."""
        rng = self.rng
        first = rng.choice(MONTHS_BEGIN) + timedelta(days=rng.randrange(-1, 3))
        span = rng.choice((2, 3, 4, 6, 9, 14, 30))
        numbers = {0, *rng.sample(range(1, span + 1), min(span, rng.randint(1, 5)))}
        if self.chance(0.2):
            numbers.add(span + rng.choice((31, 32, 33, 40, 70)))
        return [first + timedelta(days=number) for number in sorted(numbers)]

    def pick_months_models(self):
        """Models with pools and caches, an alias, and some that can't be priced."""
        rng = self.rng
        others = (rng.choice(UNKNOWN_MODELS), rng.choice(TUNED_MODELS[:3]), *rng.sample(sorted(self.books.priced_models), 1))
        return [*rng.sample(POOL_MODELS, 4), "gemini-flash-latest", rng.choice(others)]

    def pick_days(self):
        """Days around facts of the books that change, around clock changes, and a few far ones."""
        rng, days = self.rng, [self.rng.choice(SPECIAL_DAYS)]
        changes = [since for key, lines in self.books.schedules.lines.items() for since in lines
                   if key[0] in self.models]  # fmt: skip
        changes += [s for name in self.models for s in self.books.aliases.lines.get(name, ())]
        changes += [d for n in self.models if (m := self.books.models.get(n)) for d in (m.released, m.retired) if d]
        for _ in range(4):
            days.append(rng.choice(changes) + timedelta(days=rng.choice((-1, 0, 0, 1))))
        days.append(date(2025, 1, 1) + timedelta(days=rng.randrange(730)))
        if self.chance(0.2):
            days.append(rng.choice(FAR_DAYS))
        return days

    def window(self):
        """Both ends, one or none; with both all days between them are published, so they are few."""
        if self.chance(0.4 if self.months else 0.7):
            return (None, None)
        around = [day for day in self.days if 1971 < day.year < 2200] or self.days
        first = self.rng.choice(around)
        last = self.rng.choice([day for day in around if 0 <= (day - first).days < 45])
        last += timedelta(days=self.rng.choice((0, 0, 1, 3)))
        first -= timedelta(days=self.rng.choice((0, 0, 1, 3)))
        return self.rng.choice(((first, last), (first, last), (first, None), (None, last), (first, first)))

    # --- times -----------------------------------------------------------------------

    def instant_on(self, day):
        """An instant of a Pacific day, often at a bad moment, in nanoseconds."""
        rng = self.rng
        midnight = datetime.combine(day, time(), PACIFIC) - EPOCH
        start = midnight.days * 86_400 + midnight.seconds
        second = rng.choice((
            rng.randrange(-2, 3), 12 * 3600 + rng.randrange(90), 12 * 3600 + rng.randrange(-60, 3600),
            7200 + rng.randrange(-3, 4), 3600 + rng.randrange(-3, 4), rng.randrange(86_400),
        ))  # fmt: skip
        fraction = rng.choice((0, 0, 0, 500_000_000, 1, 999_999_999, 123_456_000, rng.randrange(NANOS)))
        return (start + second) * NANOS + fraction

    def instant(self):
        if self.chance(0.1):
            return self.rng.choice(self.upgrades) + self.rng.choice((0, -1, 1, 1000, -1000, NANOS))
        if self.busy and self.chance(0.7):
            second = self.rng.choice(self.rush) + self.rng.choice((0, 59, 60, 61, self.rng.randrange(-90, 400)))
            return second * NANOS + self.rng.randrange(NANOS)
        return self.instant_on(self.rng.choice(self.days))

    def timestamp(self, instant):
        """An instant as RFC 3339, with any offset and as many digits as it needs, or more."""
        rng = self.rng
        second, fraction = divmod(instant, NANOS)
        if self.time_zone and self.chance(0.5):
            local = (EPOCH + timedelta(seconds=second)).astimezone(ZoneInfo(self.time_zone))
            offset = ""
        else:
            minutes = rng.choice((0, 0, 0, -420, -480, 330, 1439, -1439))
            local = (EPOCH + timedelta(seconds=second)).astimezone(timezone(timedelta(minutes=minutes)))
            offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
            offset = rng.choice("ZZz") if minutes == 0 and self.chance(0.9) else offset
        digits = f"{fraction:09}".rstrip("0")
        if self.chance(0.2):
            digits = f"{fraction:09}" + rng.choice(("", "9", "999", "000", "0"))
        text = local.strftime(f"%Y-%m-%d{rng.choice('TTTt ')}%H:%M:%S")
        return text.rjust(19, "0") + (f".{digits}" if digits else "") + offset

    # --- lines -------------------------------------------------------------------------

    def line(self):
        """A record as bytes: new, or an earlier one with something changed; sometimes damaged."""
        if self.chance(0.01):
            return self.rng.choice((b"", b" ", b"\t\r", b"  \t"))
        if self.made and self.chance(0.2 if self.busy or self.months else 0.35):
            record = self.changed(dict(self.rng.choice(self.made)))
        else:
            record = self.record()
        self.made.append(record)
        record = dict(record)
        if self.chance(0.03):
            record["service"] = self.rng.choice((OUR_SERVICE, "aiplatform.googleapis.com", "x", "", None))
        damages = 0
        while self.chance(0.08 if self.busy or self.months else 0.17) and damages < 3:
            damages += 1
            record = self.damaged(record)
        line = self.dump(record).encode("utf-8", "surrogatepass")
        return self.broken(line) if self.chance(0.04) else line

    def record(self):
        rng = self.rng
        if self.chance(0.2 if self.months else 0.05):
            return self.cache_event()
        method = rng.choice((*DEFAULT_METHODS, *DEFAULT_METHODS, "generateContent", rng.choice(INFERENCE)))
        if self.chance(0.12):
            method = rng.choice(OTHER_METHODS)
        inference = method in DEFAULT_METHODS or method in INFERENCE
        instant = self.instant()
        model = rng.choice(self.models)
        record = {
            "request_id": rng.choice(self.ids) if self.chance(0.97) else rng.choice((None, "")),
            "timestamp": self.timestamp(instant),
            "instant": instant,
            "project_id": rng.choice(self.projects),
            "model": self.spelled_model(model),
            "status": self.status(),
            "method": method,
        }
        if self.project and self.chance(0.3):
            record["project_id"] = rng.choice((None, ""))
        if not inference and self.chance(0.4) and method != "cachedContents.create":
            record["model"] = None
        self.add_names(record, model)
        if self.chance(0.97) and (inference or self.chance(0.3)):
            record["usageMetadata"] = self.usage(method)
        if self.chance(0.3 if self.months else 0.1):
            record["quantities"] = self.quantities(model)
        if self.throttling and self.chance(self.throttling):
            record["status"] = 429
        if str(method).startswith("cachedContents."):
            record["cached_content"] = self.cached_content(record["request_id"])
        return record

    def cache_event(self):
        event, model = self.caches.event(), self.rng.choice(self.models)
        record = {"model": self.spelled_model(model), "status": self.status() if self.chance(0.2) else 200, **event}
        record["timestamp"] = self.timestamp(event["instant"])
        if event["method"] != EVENTS[0] and self.chance(0.6):
            record["model"] = None
        if self.project and self.chance(0.3):
            record["project_id"] = self.rng.choice((None, ""))
        self.add_names(record, model)
        return record

    def add_names(self, record, model):
        """Fields that most records don't have."""
        rng = self.rng
        record["service_tier"] = rng.choice(SERVICE_TIERS) if self.chance(0.3) else None
        if self.chance(0.5 if self.busy else 0.08 if self.months else 0.25):
            record["usage_tier"] = rng.choice(("free", "tier1", "tier2", "tier3", "unknown", "", None))
        if self.chance(0.15):
            record["channel"] = rng.choice((*CHANNELS, "", None))
        if self.chance(0.05 if self.busy or self.months else 0.2):
            record["model_version"] = self.spelled_model(
                rng.choice((*self.models, *sorted(self.books.models)[:40], "", "x-001"))
            )
        if self.chance(0.7 if model.startswith("tuned") else 0.05):
            record["base_model"] = self.spelled_model(rng.choice((*self.models, "gemini-1.5-flash-001", "")))
        if self.chance(0.2):
            record["tools"] = rng.choice((
                [], ["google_search"], ["google_search", "google_search"], ["url_context"], [""], None, "",
                ["google_search", "url_context"], ["url_context", "google_search"], [None, "google_search"],
                ["GOOGLE_SEARCH"],
            ))  # fmt: skip
        self.change_aside(record)

    def change_aside(self, record):
        """What no figure depends on."""
        rng = self.rng
        record["labels"] = rng.choice((None, {}, "", {"team": "a"}, {"team": "", "": "b"}, {"team": None}))
        record["region"] = rng.choice((None, "us", "eu", ""))
        record["api_key_id"] = rng.choice((None, "k1", "k2"))
        record["latency_ms"] = rng.choice((None, 12, 3.5, Raw("1e3"), -1))
        record["prompt"] = rng.choice((None, "x", [1, {"a": None}], Pairs([("a", 1), ("a", 2)]), Raw("1e999")))

    def spelled_model(self, model):
        if model and not model.startswith("tunedModels/") and self.chance(0.15):
            return self.rng.choice(("models/", "publishers/google/models/", "a/models/b/models/")) + model
        return model

    def status(self):
        rng = self.rng
        if self.chance(0.72):
            return rng.choice((200, 200, 200, 200, "200", "OK", 201, 204, 299, Raw("200.0"), Raw("200.00")))
        status = rng.choice(FAILURES)
        if self.chance(0.3):
            return rng.choice([name for name in GRPC_STATUS if name != "OK"])
        if isinstance(status, int) and self.chance(0.2):
            return rng.choice((str(status), Raw(f"{status}.0")))
        return status

    def cached_content(self, request_id):
        """The same for all records of an id."""
        of_id = random.Random(f"{request_id}")
        content = {"name": f"cachedContents/{of_id.choice('abcde')}", "total_tokens": of_id.randrange(5000)}
        if of_id.random() < 0.5:
            content["expire_time"] = "2026-06-02T00:00:00.5Z"
        return content

    def quantities(self, model):
        """Of any meters, or of those that the model has a pool for."""
        rng = self.rng
        meters = rng.sample(GROUNDING_METERS if self.chance(0.5) else QUANTITY_METERS, rng.randint(0, 3))
        if self.chance(0.7):
            meters = [meter for meter in GROUNDING_METERS if self.books.allowances.knows((model, meter))]
        return {meter: self.spelled_count(rng.choice((*self.grounding, None))) for meter in meters}

    # --- tokens ------------------------------------------------------------------------

    def usage(self, method):
        rng = self.rng
        prompt = rng.choice((0, 1, 7, rng.randrange(3000), rng.randrange(3000)))
        if self.chance(0.15):
            edge = rng.choice((128_000, 200_000, 1_048_576, 2_097_152, 32_768))
            prompt = edge + rng.choice((-1, 0, 1))
        cached = rng.choice((0, 0, 0, prompt, prompt // 2, rng.randint(0, prompt)))
        candidates = rng.choice((0, 5, rng.randrange(2000), rng.randrange(2000)))
        thoughts = rng.choice((0, 0, 0, 3, candidates, candidates // 2, rng.randrange(3000)))
        tool = rng.choice((0, 0, 0, 0, 9, rng.randrange(500)))
        parts = prompt + candidates + tool
        total = rng.choice((
            parts + thoughts, parts + thoughts, parts + thoughts, parts, None, parts + thoughts, parts + thoughts,
            rng.choice((parts + thoughts + 7, parts - 1, 0, parts + thoughts // 2)),
        ))  # fmt: skip
        live = method == "bidiGenerateContent" or self.chance(0.1)
        usage = {
            "promptTokenCount": prompt,
            "cachedContentTokenCount": cached,
            "responseTokenCount" if live and self.chance(0.7) else "candidatesTokenCount": candidates,
            "thoughtsTokenCount": thoughts,
            "toolUsePromptTokenCount": tool,
            "totalTokenCount": None if total is None else max(0, total),
        }
        usage = {name: self.spelled_count(n) for name, n in usage.items() if n or self.chance(0.3)}
        if live and self.chance(0.1):
            usage |= {"candidatesTokenCount": candidates, "responseTokenCount": rng.choice((0, None, 3))}
        self.add_details(usage, prompt, cached, candidates, tool, live)
        if self.chance(0.1):
            usage["serviceTier"] = rng.choice(SERVICE_TIERS)
        if self.chance(0.02):
            usage["trafficType"] = rng.choice(("ON_DEMAND", "", None, 1, {}, False))
        return usage

    def add_details(self, usage, prompt, cached, candidates, tool, live):
        prompt_by = self.split(prompt) if self.chance(0.4) else {"text": prompt}
        if len(prompt_by) > 1 or self.chance(0.1):
            name = "promptTokenDetails" if self.chance(0.1) else "promptTokensDetails"
            usage[name] = self.details(prompt_by)
        if cached and self.chance(0.5):
            cached_by, left = {}, cached
            for modality, n in self.rng.sample(sorted(prompt_by.items()), len(prompt_by)):
                cached_by[modality] = min(n, left)
                left -= cached_by[modality]
            usage["cacheTokensDetails"] = self.details(cached_by)
        if self.chance(0.25):
            name = "responseTokensDetails" if live and self.chance(0.7) else "candidatesTokensDetails"
            usage[name] = self.details(self.split(candidates))
        if tool and self.chance(0.3):
            usage["toolUsePromptTokensDetails"] = self.details(self.split(tool))

    def split(self, total):
        """A total by modality."""
        names = self.rng.sample(sorted(MODALITIES), self.rng.randint(1, 4))
        by = {}
        for name in names[:-1]:
            by[name] = self.rng.randint(0, total)
            total -= by[name]
        return by | {names[-1]: total}

    def details(self, by):
        """A details list: whole or leaving something over, sometimes too much."""
        rng, items = self.rng, []
        for modality, n in by.items():
            for part in (n // 2, n - n // 2) if self.chance(0.1) else (n,):
                item = {"modality": rng.choice(MODALITIES[modality]), "tokenCount": self.spelled_count(part)}
                items.append({name: value for name, value in item.items() if value or self.chance(0.7)})
        if self.chance(0.15):
            items.pop()
        if self.chance(0.03):
            items.append({"modality": "AUDIO", "tokenCount": rng.choice((1, 0, 2**40))})
        if self.chance(0.05):
            items.append(rng.choice(({}, None, "", {"x": 1})))
        return items

    def spelled_count(self, n):
        if n is None or self.chance(0.85):
            return n
        zeros = [Raw("-0"), Raw("-0.0"), None, "", "00"] if n == 0 else []
        return self.rng.choice([Raw(f"{n}.0"), Raw(f"{n}.000"), str(n), f"00{n}", *zeros])

    # --- changes that make duplicates, chunks and retries ------------------------------

    def changed(self, record):
        """An earlier record again: the same, later, with more tokens, with another fact, or aside of facts."""
        rng = self.rng
        for _ in range(rng.choice((1, 1, 1, 2))):
            change = rng.choice((
                self.change_aside, self.change_aside, self.change_time, self.change_time, self.change_tokens,
                self.change_tokens, self.change_fact, self.change_fact, self.drop_usage, self.change_spelling,
                self.change_status, self.caches.change,
            ))  # fmt: skip
            change(record)
        return record

    def change_time(self, record):
        instant = record["instant"] + self.rng.choice((0, 1, -1, 500_000_000, NANOS, -NANOS, 3600 * NANOS))
        instant = max(0, instant)
        record["instant"], record["timestamp"] = instant, self.timestamp(instant)

    def change_tokens(self, record):
        """A stream's chunks add up; sometimes only one count grows."""
        usage = record.get("usageMetadata")
        if isinstance(usage, dict):
            usage = dict(usage)
            grown = self.rng.choice((
                ("candidatesTokenCount", "totalTokenCount"), ("totalTokenCount",), ("cachedContentTokenCount",),
                ("promptTokenCount", "totalTokenCount"), ("thoughtsTokenCount",), ("candidatesTokenCount",),
            ))  # fmt: skip
            for name in grown:
                if isinstance(usage.get(name), int):
                    usage[name] += self.rng.choice((1, 5, 0))
            if self.chance(0.2) and isinstance(usage.get("candidatesTokenCount"), int):
                usage["candidatesTokenCount"] = max(0, usage["candidatesTokenCount"] - self.rng.randrange(9))
            record["usageMetadata"] = usage

    def change_fact(self, record):
        rng = self.rng
        name = rng.choice((
            "model", "method", "service_tier", "usage_tier", "channel", "tools", "quantities", "model_version",
            "base_model", "project_id",
        ))  # fmt: skip
        other = self.record()
        if name == "method" and not rng.choice(INFERENCE) == other["method"]:
            other["method"] = rng.choice(INFERENCE)
        if name in other:
            record[name] = other[name]

    def change_spelling(self, record):
        """The same instant and status, written in another way; the same total as a text."""
        record["timestamp"] = self.timestamp(record["instant"])
        status = record["status"]
        status = parse_status(Number(str(status)) if isinstance(status, (int, Raw)) else status)
        names = [name for name, code in GRPC_STATUS.items() if code == status]
        record["status"] = self.rng.choice((status, f"{status}", *names))
        usage = record.get("usageMetadata")
        if isinstance(usage, dict) and isinstance(usage.get("totalTokenCount"), int):
            record["usageMetadata"] = usage | {"totalTokenCount": str(usage["totalTokenCount"])}

    def drop_usage(self, record):
        record["usageMetadata"] = self.rng.choice((None, None, "", {}))
        if self.chance(0.7):
            record["quantities"] = self.rng.choice((None, {}, {"image": None}, ""))

    def change_status(self, record):
        """Another status, sometimes the one that a gRPC name is easily taken for."""
        record["status"] = self.rng.choice((self.status(), self.rng.choice(FAILURES)))

    # --- damage --------------------------------------------------------------------------

    def damaged(self, record):
        """A record with one fault more; the fault may lie where nobody reads."""
        rng = self.rng
        damage = rng.choice((
            self.lose_field, self.mistype_field, self.mistype_field, self.double_key, self.double_key,
            self.misspell, self.misspell, self.misspell, self.miscount, self.miscount, self.damage_details,
            self.damage_cache, self.damage_quantities,
        ))  # fmt: skip
        return damage(record)

    def lose_field(self, record):
        name = self.rng.choice(("timestamp", "status", "project_id", "model", "usageMetadata", "cached_content"))
        return record | {name: self.rng.choice((None, ""))}

    def mistype_field(self, record):
        rng = self.rng
        name = rng.choice((
            "request_id", "timestamp", "project_id", "model", "method", "status", "usageMetadata", "service_tier",
            "usage_tier", "channel", "service", "api_key_id", "region", "base_model", "model_version", "latency_ms",
            "labels", "quantities", "tools", "cached_content",
        ))  # fmt: skip
        return record | {name: rng.choice((5, True, [], {}, [5], "x", {"a": 5}, ["x"], Raw("1.5")))}

    def double_key(self, record):
        """A key twice: at the top, in an object that is read, or where nobody looks."""
        rng = self.rng
        name = rng.choice(("", "", "usageMetadata", "labels", "quantities", "cached_content", "details"))
        if name == "details":
            usage = record.get("usageMetadata")
            if not isinstance(usage, dict):
                return record
            key = rng.choice(("modality", "tokenCount", "x"))
            item = Pairs([(key, rng.choice((None, 1))), (key, 1), ("modality", "TEXT")][: rng.randint(2, 3)])
            return record | {"usageMetadata": usage | {rng.choice(tokens.DETAILS): [item]}}
        inner = record if name == "" else record.get(name)
        if name and not isinstance(inner, dict):
            inner = {"x": None}
        pairs = Pairs(inner.items())
        keys = [key for key, _ in pairs if key != "instant"] + ["x", "trafficType", "totalTokenCount", "image"]
        key = rng.choice(keys)
        value = rng.choice((None, "", 1, "x", dict(pairs).get(key)))
        pairs.insert(rng.randrange(len(pairs) + 1), (key, value))
        if key not in dict(inner.items()):
            pairs.append((key, rng.choice((None, 1))))
        return Doubled(pairs) if name == "" else record | {name: pairs}

    def misspell(self, record):
        rng = self.rng
        name, values = rng.choice((
            ("timestamp", (
                "2026-06-01", "2026-06-01T12:00:00", "2026-06-01T12:00:60Z", "2026-02-29T00:00:00Z", "x",
                "2026-06-01T24:00:00Z", "1969-12-31T23:59:59.999Z", "2262-01-01T00:00:00Z", "2026-06-01T12:00:00.Z",
                "2026-06-01T12:00:00+0200", "2026-06-01T12:00:00Z ", "2026-06-01T12:00:00+24:00",
                "1969-12-31T23:00:00-02:00", "1970-01-01T00:30:00+01:00", "2262-01-01T00:00:00+01:00",
                "2261-12-31T23:59:59-00:01", "２026-06-01T12:00:00Z", "2026-06-01T12:00:00,5Z", "0000-01-01T00:00:00Z",
                "2026-06-01T12:00:00-07:60", "2026-11-01T01:30:00", "2026-03-08T02:30:00", "2026-03-29T02:30:00",
                "2026-10-25T02:30:00.123456789123", "1970-01-01T00:00:00", "2261-12-31T23:59:59.999999999",
                "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59",
            )),
            ("status", (
                100, 302, 399, 600, 0, -200, 65_736, "302", "0200", "ok", "Failed", " 200", "200.0", "2e2", Raw("2e2"),
                Raw("200.5"), Raw("2.0E2"), "+200", "２00", 10**30, Raw("-0"), "UNKNOWN_CODE", True, [], {}, "FAILED",
                "failed", "CANCELLED",
            )),
            ("method", ("GenerateContent", "generatecontent", "x", "models.generateContent", "cachedContents")),
            ("usage_tier", ("Free", "tier4", "TIER1", "paid", " free")),
            ("channel", ("API", "studio", "ai-studio")),
            ("service_tier", ("turbo", "SERVICE_TIER_", "standard ", "service_tier_service_tier_flex", "batch_")),
            ("serviceTier", ("turbo", "SERVICE_TIER_", 5, [], "batch", "ON_DEMAND")),
            ("model", ("models/", "publishers/models/", "tunedModels", "models/tunedModels/x")),
        ))  # fmt: skip
        value = rng.choice(values)
        if name != "serviceTier":
            return record | {name: value}
        usage = record.get("usageMetadata")
        return record | {"usageMetadata": (usage if isinstance(usage, dict) else {}) | {name: value}}

    def bad_count(self):
        return self.rng.choice((
            -1, 1.5, Raw("1e3"), Raw("1E0"), 2**40 + 1, 2**64, Raw("9" * 400), Raw("-0.5"), "1.0", "x", "+5", " 5",
            "-1", "1e3", "１", True, [], {}, Raw("0.0000000000000000000001"), "9" * 30, 2**40, "1_000",
        ))  # fmt: skip

    def miscount(self, record):
        usage = record.get("usageMetadata")
        if not isinstance(usage, dict):
            return record
        name = self.rng.choice(tokens.COUNTS)
        return record | {"usageMetadata": usage | {name: self.bad_count()}}

    def damage_details(self, record):
        rng = self.rng
        usage = record.get("usageMetadata")
        if not isinstance(usage, dict):
            return record
        modality = rng.choice((
            "OTHER", "ANY", "MODALITY_", "MODALITY_MODALITY_TEXT", 0, 6, -1, Raw("1.0"), Raw("1.5"), Raw("1e0"), "1",
            True, [], {}, "TEXT ", "TEXT",
        ))  # fmt: skip
        item = {"modality": modality, "tokenCount": rng.choice((1, self.bad_count(), 0))}
        details = rng.choice(([item], [item], [item, item], "x", {}, 5, [5], ["x"], [[]], [True], item))
        return record | {"usageMetadata": usage | {rng.choice(tokens.DETAILS): details}}

    def damage_quantities(self, record):
        meter = self.rng.choice(("image", "images", "", "input", "unexplained", "song", "cache_storage"))
        quantities = record.get("quantities")
        kept = quantities if isinstance(quantities, dict) and self.chance(0.5) else {}
        return record | {"quantities": kept | {meter: self.rng.choice((1, None, "", self.bad_count()))}}

    def damage_cache(self, record):
        """Under an id of its own, or else most of these would be left out as not settled."""
        rng = self.rng
        content = record.get("cached_content")
        content = dict(content) if isinstance(content, dict) else {"name": "cachedContents/a", "total_tokens": 1}
        name = rng.choice(("name", "expire_time", "total_tokens"))
        content[name] = rng.choice((None, "", 5, "x", True, self.bad_count(), "2026-06-02T00:00:00", []))
        method = rng.choice(("cachedContents.create", "cachedContents.patch", "countTokens", None))
        changed = {"cached_content": content, "request_id": f"cache-{rng.getrandbits(40)}"}
        return record | changed | ({"method": method} if self.chance(0.7) else {})

    def broken(self, line):
        """Bytes that are no JSON object, or one with a fault where nobody reads."""
        rng = self.rng
        body = line[:-1].rstrip()
        return rng.choice((
            line[: rng.randrange(1, len(line))], line + b"}", line + b" x", line + line, b"[" + line + b"]",
            line + b",", b"null", b'"x"', b"5", b"true", b"[]", b"NaN", b"nul", b"{", b"\x0c", b"{}", b" {} ",
            b"\xef\xbb\xbf" + line, b"\xff" + line, line.replace(b"id", b"\xc3\x28", 1), b"5 6", b"[1,]",
            *(body + b', "x": ' + fault + b"}" for fault in (
                b"NaN", b"Infinity", b"-Infinity", b"01", b"1.", b".5", b"-", b"+1", b"1e", b"0x1", b"'a'", b'"\\x"',
                b'"\\u12"', b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\u0041"', b'"\\ud83d\\ude00"', b'"a\tb"',
                b'"\x01"', b'"\x7f"', b'"\\u0000"', b"tru", b"True", b"[1 2]", b"{1:2}", b'{"a"}', b'{"a":}', b"",
                b"[" * 126 + b"]" * 126, b"[" * 127 + b"]" * 127, b"[" * 128 + b"]" * 128, b"[" * 3000,
                b'{"\\ud800": 1}', b'{"a": 1, "a": 2}', b'"' + b"[{" * 300 + b'"', b"1e999", b"1" * 5000, b'"\\"[["',
                b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xc0\x80"', b"1/**/", b"\x0b1", b"\xc2\xa01",
                b'"\\u00zz"', b'"\\uD83D\\uDE0"', b'"\\u+123"', b'"\\u 123"', b'"\xe2\x80\xa8"', b'"\\/"', b"\r1\t",
            )),
        ))  # fmt: skip

    # --- JSON as it may be written -----------------------------------------------------

    def dump(self, value):
        if isinstance(value, (dict, Pairs, Doubled)):
            pairs = list(value.items() if isinstance(value, dict) else value)
            pairs = [(k, v) for k, v in pairs if k != "instant" and (v is not None or self.chance(0.1))]
            if isinstance(value, dict) and self.chance(0.2):
                self.rng.shuffle(pairs)
            space = " " if self.chance(0.2) else ""
            return "{" + ("," + space).join(f"{self.dump(k)}{space}:{self.dump(v)}" for k, v in pairs) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(self.dump, value)) + "]"
        if isinstance(value, str) and not isinstance(value, Raw):
            return self.dump_text(value)
        return value if isinstance(value, Raw) else json.dumps(value)

    def dump_text(self, text):
        """A string, now and then with escapes that it doesn't need."""
        if text and self.chance(0.02):
            at = self.rng.randrange(len(text))
            escaped = "".join(f"\\u{unit:04x}" for unit in utf16(text[at]))
            return json.dumps(text[:at])[:-1] + escaped + json.dumps(text[at + 1 :])[1:]
        return json.dumps(text, ensure_ascii=self.chance(0.3))


class Doubled(Pairs):
    """A record with a key twice, which further changes leave as it is."""

    def get(self, key):
        return None

    def items(self):
        return list(self)

    def __or__(self, other):
        return Doubled([*((k, v) for k, v in self if k not in other), *other.items()])


def utf16(character):
    units = character.encode("utf-16-be")
    return [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
