/*
summary = "Each channel's day: every count and amount of its metrics, added."
grain = "one row per store, day, channel and currency"
materialize = true
checks = [
    "select store_id, date, lower(channel), currency from answer group by store_id, date, lower(channel), currency having count(*) > 1",
    "select * from (select coalesce(sum(revenue), 0) as revenue, coalesce(sum(cost), 0) as cost, coalesce(sum(sessions), 0) as sessions from answer) as rollup cross join (select coalesce(sum(revenue), 0) as raw_revenue, coalesce(sum(cost), 0) as raw_cost, coalesce(sum(sessions), 0) as raw_sessions from metrics) as raw where revenue <> raw_revenue or cost <> raw_cost or sessions <> raw_sessions",
]
*/

-- Unique visitors are added over the sources of a day: a visitor of two sources counts twice.
with
store as (
    select
        coalesce(max(timezone), 'UTC') as timezone,
        coalesce(max(upper(trim(currency))), '') as currency
    from stores
),

channel_metrics as (
    select
        store_id,
        coalesce(nullif(trim(channel), ''), '(unknown)') as channel,
        date,
        source,
        campaign,
        coalesce(upper(trim(currency)), (select store.currency from store)) as currency,
        sessions,
        pageviews,
        unique_visitors,
        session_seconds,
        bounces,
        impressions,
        clicks,
        engagements,
        conversions,
        revenue,
        cost
    from metrics
),

spellings as (
    select
        lower(channel) as channel_key,
        first_value(channel order by date, source, campaign, channel) as channel
    from channel_metrics
    group by lower(channel)
),

daily_sums as (
    select
        store_id,
        date,
        lower(channel) as channel_key,
        currency,
        sum(coalesce(sessions, 0)) as sessions,
        sum(coalesce(pageviews, 0)) as pageviews,
        sum(coalesce(unique_visitors, 0)) as unique_visitors,
        sum(coalesce(session_seconds, 0)) as session_seconds,
        sum(coalesce(bounces, 0)) as bounces,
        sum(coalesce(impressions, 0)) as impressions,
        sum(coalesce(clicks, 0)) as clicks,
        sum(coalesce(engagements, 0)) as engagements,
        sum(coalesce(conversions, 0)) as conversions,
        sum(coalesce(revenue, 0)) as revenue,
        sum(coalesce(cost, 0)) as cost
    from channel_metrics
    group by store_id, date, lower(channel), currency
)

select
    store_id,
    date,
    spellings.channel,
    nullif(currency, '') as currency,
    sessions,
    pageviews,
    unique_visitors,
    session_seconds,
    bounces,
    impressions,
    clicks,
    engagements,
    conversions,
    cast(revenue as decimal(28, 4)) as revenue,
    cast(cost as decimal(28, 4)) as cost
from daily_sums
inner join spellings
    on daily_sums.channel_key = spellings.channel_key
order by store_id, date, spellings.channel, currency
