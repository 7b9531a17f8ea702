/*
summary = "The paths that customers took: how many converted, what they brought, and how long they took."
grain = "one row per path and currency of its orders; one without currency for a path that never converted"
rules = true
checks = [
    "select path, currency from answer group by path, currency having count(*) > 1",
    "select * from answer where conversion_rate < 0 or conversion_rate > 1",
    "select 1 as too_much from answer having sum(conversion_share) > 1 + 1e-9",
]

[params.start]
type = "date"
doc = "First day of entries, in the store's time zone; from the beginning where it is not given."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."

[params.limit]
type = "int"
default = 100
doc = "The most rows."
*/

-- Channels are in lower case. Revenue is net of the refunds that were booked in the range. A journey without conversion
-- has no currency: those of a path stand beside each of its rows, and the conversion rate is that of all its
-- currencies, so that neither may be added over rows. A journey without a touch is seen only where it converted: it has
-- no rate.
with
paths as (
    select
        path,
        channels,
        touch_count,
        currency,
        conversions,
        revenue,
        seconds_to_convert,
        non_conversions,
        conversions > 0 or revenue <> 0 as has_entries
    from journey_paths(start => $start, "end" => $end)
),

compared as (
    select
        path,
        channels,
        touch_count,
        currency,
        conversions,
        safe_ratio(conversions, sum(conversions) over ()) as conversion_share,
        revenue,
        case when touch_count > 0 then safe_ratio(cast(seconds_to_convert as double) / 3600, conversions) end as hours_to_convert_mean,
        sum(conversions) over (partition by channels) as path_conversions,
        sum(non_conversions) over (partition by channels) as non_conversions,
        has_entries or not bool_or(has_entries) over (partition by channels) as is_shown
    from paths
)

select
    path,
    currency,
    touch_count,
    conversions,
    conversion_share,
    revenue,
    hours_to_convert_mean,
    non_conversions,
    case when touch_count > 0 then safe_ratio(path_conversions, path_conversions + non_conversions) end as conversion_rate
from compared
where is_shown
order by conversions desc, non_conversions desc, path, currency
limit $limit
