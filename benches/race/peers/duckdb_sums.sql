-- The sums that rerate's hot path makes, as well as DuckDB can make them (2.0.0, CLI not needed).
-- Input: {path}, a JSONL log of canonical records. Records of one identity (project_id, request_id): the last by
-- (timestamp, totalTokenCount) counts. Two results, as temp tables:
--   cells    day (Pacific) x project x model x usage tier x service tier x outcome x context band x meter x modality -> quantity;
--            the meter 'requests' counts requests. Modalities: what the details leave over is text.
--   traffic  day x project x model -> requests, input tokens (prompt + tool), and the busiest second of each, from sums by second.
-- Run (replace the placeholder by the path, then every statement in turn; nothing is written):
--   python -c "import duckdb,sys; c=duckdb.connect(); s=open('duckdb_sums.sql').read().replace('{path}',sys.argv[1]); [c.execute(x) for x in c.extract_statements(s)]; print(c.sql('from cells'), c.sql('from traffic'))" log.jsonl
-- Why so (4M records, 2 cores): arg_max by identity took 11 s for the dedupe alone and a window over all rows hashes every row's strings, so only
-- identities whose 64-bit hash occurs twice go through the exact window; lists of structs are dear to keep, so they are folded to integers while read, and summed
-- apart for the third of the rows that has any; one statement with materialized CTEs beat temp tables. Six other shapes took the same CPU within 8 %.
-- Left out, in DuckDB's favour: bad counts, duplicate keys, fractions under a microsecond, further tie-breaks, labels and tools, cached tokens without details
-- beyond the prompt's text, output files. Pacific days are right for 2026 only.
set preserve_insertion_order = false;
create temp macro nontext(l, m) as case when len(l) > 1 or l[1].modality <> 'TEXT' then
  case when l[1].modality = m then l[1].tokenCount else 0 end
  + case when l[2].modality = m then l[2].tokenCount else 0 end
  + case when l[3].modality = m then l[3].tokenCount else 0 end
  + case when l[4].modality = m then l[4].tokenCount else 0 end
  + case when l[5].modality = m then l[5].tokenCount else 0 end end;
create temp table sums as
with r as materialized (
  select hash(project_id, request_id) as h, project_id, request_id, epoch_us(timestamp) as ts, model, status::smallint as status,
    lower(coalesce(u.serviceTier, service_tier, 'standard')) as service_tier, coalesce(usage_tier, 'unknown') as usage_tier,
    coalesce(u.promptTokenCount, 0) as p, coalesce(u.candidatesTokenCount, 0) as c, coalesce(u.thoughtsTokenCount, 0) as th,
    coalesce(u.cachedContentTokenCount, 0) as h0, coalesce(u.toolUsePromptTokenCount, 0) as t, coalesce(u.totalTokenCount, 0) as total,
    nontext(u.promptTokensDetails, 'IMAGE') as pi, nontext(u.promptTokensDetails, 'AUDIO') as pa, nontext(u.promptTokensDetails, 'VIDEO') as pv, nontext(u.promptTokensDetails, 'DOCUMENT') as pd,
    nontext(u.cacheTokensDetails, 'IMAGE') as hi, nontext(u.cacheTokensDetails, 'AUDIO') as ha, nontext(u.cacheTokensDetails, 'VIDEO') as hv, nontext(u.cacheTokensDetails, 'DOCUMENT') as hd,
    nontext(u.candidatesTokensDetails, 'IMAGE') as ci, nontext(u.candidatesTokensDetails, 'AUDIO') as ca, nontext(u.candidatesTokensDetails, 'VIDEO') as cv, nontext(u.candidatesTokensDetails, 'DOCUMENT') as cd,
    nontext(u.toolUsePromptTokensDetails, 'IMAGE') as ti, nontext(u.toolUsePromptTokensDetails, 'AUDIO') as ta, nontext(u.toolUsePromptTokensDetails, 'VIDEO') as tv, nontext(u.toolUsePromptTokensDetails, 'DOCUMENT') as td
  from (select *, usageMetadata as u from read_json('{path}', format='newline_delimited', columns={request_id:'VARCHAR', timestamp:'TIMESTAMP', project_id:'VARCHAR', model:'VARCHAR', status:'INTEGER', service_tier:'VARCHAR', usage_tier:'VARCHAR',
    usageMetadata:'STRUCT(promptTokenCount BIGINT, candidatesTokenCount BIGINT, totalTokenCount BIGINT, thoughtsTokenCount BIGINT, cachedContentTokenCount BIGINT, toolUsePromptTokenCount BIGINT, serviceTier VARCHAR,
      promptTokensDetails STRUCT(modality VARCHAR, tokenCount BIGINT)[], cacheTokensDetails STRUCT(modality VARCHAR, tokenCount BIGINT)[], candidatesTokensDetails STRUCT(modality VARCHAR, tokenCount BIGINT)[], toolUsePromptTokensDetails STRUCT(modality VARCHAR, tokenCount BIGINT)[])'}))),
dup as materialized (select h from r group by h having count(*) > 1),
w as (
  select * from r anti join dup using (h) union all
  select * from r semi join dup using (h) qualify row_number() over (partition by project_id, request_id order by ts desc, total desc) = 1),
k as (select *, ((ts - if(ts < 1772964000000000 or ts >= 1793523600000000, 28800000000, 25200000000)) // 86400000000)::integer as day from w),
cells as (
  select day, project_id, model, usage_tier, service_tier, status, case when p > 200000 then 200000 when p > 128000 then 128000 else 0 end as band, th > 0 as thinks,
    count(*) as n, sum(p) as p, sum(h0) as h0, sum(c) as c, sum(t) as t,
    sum(case when th > 0 and p + c + t = total then 0 else th end) as th,
    sum(greatest(total - p - c - t - case when th > 0 and p + c + t = total then 0 else th end, 0)) as x
  from k group by all),
nt as (select day, project_id, model, usage_tier, service_tier, status, case when p > 200000 then 200000 when p > 128000 then 128000 else 0 end as band, th > 0 as thinks, sum(pi) as pi, sum(pa) as pa, sum(pv) as pv, sum(pd) as pd, sum(hi) as hi, sum(ha) as ha, sum(hv) as hv, sum(hd) as hd, sum(ci) as ci, sum(ca) as ca, sum(cv) as cv, sum(cd) as cd, sum(ti) as ti, sum(ta) as ta, sum(tv) as tv, sum(td) as td from k where coalesce(pi,hi,ci,ti) is not null group by all),
seconds as (select project_id, model, day, ts // 1000000 as s, count(*) as n, sum(p + t)::bigint as tokens from k group by all),
traffic as (select day, project_id, model, sum(n) as requests, sum(tokens) as tokens, max(n) as peak_requests, max(tokens) as peak_tokens from seconds group by all)
select 1 as what, cells, null as traffic, null as nt from cells union all select 2, null, traffic, null from traffic union all select 3, null, null, nt from nt;
create temp table traffic as select unnest(traffic) from sums where what = 2;
create temp table cells as
with c0 as (select unnest(cells) from sums where what = 1),
n as (select unnest(nt) from sums where what = 3),
m as (select day, project_id, model, usage_tier, service_tier, status, band, n, p, h0, c, t, if(thinks, 'output_thinking', 'output') as om, th, x,
    coalesce(pi,0) as pi1, coalesce(pa,0) as pa1, coalesce(pv,0) as pv1, coalesce(pd,0) as pd1, coalesce(hi,0) as hi1, coalesce(ha,0) as ha1, coalesce(hv,0) as hv1, coalesce(hd,0) as hd1,
    ti, ta, tv, td, ci, ca, cv, cd from c0 left join n using (day, project_id, model, usage_tier, service_tier, status, band, thinks)),
l as (select day, project_id, model, usage_tier, service_tier, status, band, unnest([
  {meter: 'requests', modality: 'any', q: n::hugeint}, {meter: 'unexplained', modality: 'any', q: x},
  {meter: 'input', modality: 'text', q: (p - pi1 - pa1 - pv1 - pd1) - (h0 - hi1 - ha1 - hv1 - hd1)},
  {meter: 'input', modality: 'image', q: pi1 - hi1}, {meter: 'input', modality: 'audio', q: pa1 - ha1}, {meter: 'input', modality: 'video', q: pv1 - hv1}, {meter: 'input', modality: 'document', q: pd1 - hd1},
  {meter: 'input_cached', modality: 'text', q: h0 - hi1 - ha1 - hv1 - hd1},
  {meter: 'input_cached', modality: 'image', q: hi1}, {meter: 'input_cached', modality: 'audio', q: ha1}, {meter: 'input_cached', modality: 'video', q: hv1}, {meter: 'input_cached', modality: 'document', q: hd1},
  {meter: 'input_tool', modality: 'text', q: t - coalesce(ti,0) - coalesce(ta,0) - coalesce(tv,0) - coalesce(td,0)},
  {meter: 'input_tool', modality: 'image', q: ti}, {meter: 'input_tool', modality: 'audio', q: ta}, {meter: 'input_tool', modality: 'video', q: tv}, {meter: 'input_tool', modality: 'document', q: td},
  {meter: om, modality: 'text', q: c + th - coalesce(ci,0) - coalesce(ca,0) - coalesce(cv,0) - coalesce(cd,0)},
  {meter: om, modality: 'image', q: ci}, {meter: om, modality: 'audio', q: ca}, {meter: om, modality: 'video', q: cv}, {meter: om, modality: 'document', q: cd}]) as e from m)
select date '1970-01-01' + day as day, project_id, regexp_replace(model, '^(models/|publishers/google/models/)', '') as model, usage_tier, service_tier,
  case when status = 429 then 'throttled' when status = 499 then 'cancelled' when status >= 500 then 'server_error' when status >= 400 then 'client_error' else 'ok' end as outcome,
  band, e.meter as meter, e.modality as modality, sum(e.q)::bigint as quantity
from l where e.q <> 0 group by all;
