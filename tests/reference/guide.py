"""What books and accounts say of a request: its day, usage tier, base model, band, outcome."""

from dataclasses import dataclass, replace
from datetime import date

from pacific import day_of
from record import Request


@dataclass
class Guided:
    """A request with what books and accounts say of it."""

    request: Request
    day: date
    usage_tier: str
    base_model: str | None
    band: int
    method: object
    outcome: object
    quota_model: str | None

    @property
    def pricing_tier(self):
        return {"free": "free", "unknown": "unknown"}.get(self.usage_tier, "paid")

    @property
    def in_inference(self):
        return self.method.kind == "inference"

    def stored_on(self, day):
        """C7. A cache is charged as its create, at the day's price; a cache has no service tier."""
        request = replace(self.request, service_tier="standard")
        return replace(self, request=request, day=day, band=0)


def guide(request, books, accounts, usage_tier):
    """The record's own usage tier wins, then the accounts file's and the command line's."""
    day = day_of(request.instant)
    own = request.usage_tier or accounts.usage_tier(request.project_id, request.instant, usage_tier)
    base_model = find_base_model(request, books, accounts, day)
    # Q1. Counted under the model as logged where the limit book knows that, else under its base.
    own_quota = request.model and books.has_own_quota(request.model, own, day)
    return Guided(
        request=request,
        day=day,
        usage_tier=own,
        base_model=base_model,
        band=books.context_band(request.tokens.prompt),
        method=books.methods[request.method],
        outcome=books.outcome(request.status),
        quota_model=request.model if own_quota else base_model,
    )


def find_base_model(request, books, accounts, day):
    """C5 and section 3: a tuned model's base is named; another's is what answered, when known."""
    model = request.model
    if request.tuned:
        start = request.base_model or accounts.tuned_models.get(model) or model
    else:
        version = request.model_version
        start = version if version and books.knows_model(version) else model
    return start and books.follow_aliases(start, day)
