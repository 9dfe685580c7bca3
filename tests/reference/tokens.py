"""From the API's usageMetadata to token meters and modalities (design section 4)."""

import re
from collections import Counter
from dataclasses import dataclass, field

MODALITIES = ("text", "image", "video", "audio", "document")  # the proto's numbers 1 to 5
# The order in which cached tokens without details come off the prompt's modalities.
CACHED_FROM = ("text", "image", "video", "document", "audio")

COUNTS = (
    "promptTokenCount", "cachedContentTokenCount", "candidatesTokenCount", "responseTokenCount",
    "toolUsePromptTokenCount", "thoughtsTokenCount", "totalTokenCount",
)  # fmt: skip
DETAILS = (
    "promptTokensDetails", "promptTokenDetails", "cacheTokensDetails", "candidatesTokensDetails",
    "responseTokensDetails", "toolUsePromptTokensDetails",
)  # fmt: skip


class Refused(Exception):
    """A line that goes to suspense, with its reason."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


@dataclass
class Tokens:
    """The tokens of one request. `meters` holds what isn't 0, by meter and modality."""

    prompt: int = 0
    cached: int = 0
    tool: int = 0
    output: int = 0
    thoughts: int = 0
    total: int | None = None
    total_mismatch: bool = False
    meters: dict = field(default_factory=dict)

    def facts(self):
        return (
            self.total, self.cached, self.output, self.prompt, self.tool, self.thoughts,
            tuple(sorted(self.meters.items())),
        )  # fmt: skip


def read_counts(usage, count):
    """All counts of a usageMetadata, its details as (modality, tokens). `count` refuses what is none."""
    if usage is None:
        return {}
    counts = {name: count(usage.get(name)) for name in COUNTS}
    for name in DETAILS:
        items = usage.get(name)
        if items is not None:
            counts[name] = [(i.get("modality"), count(i.get("tokenCount")) or 0) for i in items if i]
    return counts


def read_modalities(usage):
    """unknown_modality: every details list, as tokens by modality."""
    return {name: sum_by_modality(usage[name]) for name in DETAILS if name in usage}


def sum_by_modality(items):
    tokens = Counter()
    for modality, quantity in items:
        tokens[plain_modality(modality)] += quantity
    return tokens


def plain_modality(value):
    """Any case, with or without MODALITY_, or the proto's numbers; unspecified is text."""
    if value is None:
        return "text"
    if isinstance(value, str):
        name = re.sub(r"^modality_", "", value.lower())
        name = "text" if name == "unspecified" else name
    else:
        number = value.whole()
        name = MODALITIES[number - 1] if number is not None and 1 <= number <= 5 else None
    if name not in MODALITIES:
        raise Refused("unknown_modality")
    return name


def weigh(usage, details, method):
    """Section 4: the meters of a request, and what its total says about them."""
    prompt = usage.get("promptTokenCount") or 0
    cached = usage.get("cachedContentTokenCount") or 0
    tool = usage.get("toolUsePromptTokenCount") or 0
    candidates = first_given(usage, "candidatesTokenCount", "responseTokenCount") or 0
    thoughts = usage.get("thoughtsTokenCount") or 0
    total = usage.get("totalTokenCount")
    added = 0 if thoughts_inside(usage, method, prompt, candidates, tool, thoughts) else thoughts
    refuse_inconsistent(cached <= prompt)

    by_meter = {}
    prompt_by = spread(prompt, first_given(details, "promptTokensDetails", "promptTokenDetails"))
    cached_by = spread_cached(cached, details.get("cacheTokensDetails"), prompt_by)
    by_meter["input"] = {m: prompt_by[m] - cached_by[m] for m in MODALITIES}
    by_meter["input_cached"] = cached_by
    by_meter["input_tool"] = spread(tool, details.get("toolUsePromptTokensDetails"))
    output_by = spread(candidates, first_given(details, "candidatesTokensDetails", "responseTokensDetails"))
    output_by["text"] += added
    by_meter["output_thinking" if thoughts else "output"] = output_by

    parts = prompt + candidates + tool + added
    by_meter["unexplained"] = {"any": max(0, (total or 0) - parts)}
    meters = {(meter, m): n for meter, by in by_meter.items() for m, n in by.items() if n}
    return Tokens(
        prompt, cached, tool, candidates + added, thoughts, total,
        total_mismatch=total is not None and total < parts, meters=meters,
    )  # fmt: skip


def thoughts_inside(usage, method, prompt, candidates, tool, thoughts):
    """Whether the candidates hold the thoughts already: the total says so, and it isn't the Live API."""
    live = method == "bidiGenerateContent" or any(
        usage.get(name) is not None for name in ("responseTokenCount", "responseTokensDetails")
    )
    total = usage.get("totalTokenCount")
    return not live and total is not None and thoughts <= candidates and prompt + candidates + tool == total


def spread(total, details):
    """What details leave over of their total is text."""
    by = Counter(details or {})
    left = total - sum(by.values())
    refuse_inconsistent(left >= 0)
    by["text"] += left
    return by


def spread_cached(cached, details, prompt_by):
    """Cached tokens without details come off the prompt's modalities in a fixed order."""
    by = Counter(details or {})
    left = cached - sum(by.values())
    refuse_inconsistent(left >= 0)
    refuse_inconsistent(all(by[m] <= prompt_by[m] for m in MODALITIES))
    for modality in CACHED_FROM:
        taken = min(left, prompt_by[modality] - by[modality])
        by[modality] += taken
        left -= taken
    return by


def refuse_inconsistent(holds):
    """inconsistent_counts: cached above prompt, details above their total, a negative input."""
    if not holds:
        raise Refused("inconsistent_counts")


def first_given(counts, *spellings):
    return next((counts[name] for name in spellings if counts.get(name) is not None), None)
