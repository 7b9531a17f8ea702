/*
summary = "How each channel performed day by day."
grain = "one row per day, channel and currency; no row for a day without metrics"
checks = ["select date, lower(channel), currency from answer group by date, lower(channel), currency having count(*) > 1"]

[params.start]
type = "date"
default = "today-29d"
doc = "First day, in the store's time zone."

[params.end]
type = "date"
default = "today+1d"
doc = "Day after the last, in the store's time zone."

[params.channel]
type = "text"
doc = "One channel, in any case; every channel where it is not given."
*/

-- Revenue and conversions are those that the channels report themselves; attribution/by_channel credits the
-- store's own orders. Unique visitors are added day by day: a visitor of two days counts twice.
with
store as (
    select
        coalesce(max(timezone), 'UTC') as timezone,
        coalesce(max(upper(trim(currency))), '') as currency
    from stores
),

channel_metrics as (
    select
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
    where
        date >= $start
        and date < $end
        and ($channel is null or lower(coalesce(nullif(trim(channel), ''), '(unknown)')) = lower(trim($channel)))
),

-- One spelling for all days: the first.
spellings as (
    select
        lower(channel) as channel_key,
        first_value(channel order by date, source, campaign, channel) as channel
    from channel_metrics
    group by lower(channel)
),

daily_sums as (
    select
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
    group by date, lower(channel), currency
)

select
    date,
    spellings.channel,
    nullif(currency, '') as currency,
    sessions,
    pageviews,
    unique_visitors,
    impressions,
    clicks,
    engagements,
    conversions,
    revenue,
    cost,
    revenue - cost as profit,
    safe_ratio(cast(revenue as double), cast(cost as double)) as roas,
    safe_ratio(cast(revenue - cost as double), cast(cost as double)) as roi,
    safe_ratio(cast(cost as double), cast(conversions as double)) as cpa,
    safe_ratio(cast(cost as double), cast(clicks as double)) as cpc,
    safe_ratio(cast(conversions as double), cast(sessions as double)) as conversion_rate,
    safe_ratio(cast(clicks as double), cast(impressions as double)) as click_through_rate,
    safe_ratio(cast(engagements as double), cast(impressions as double)) as engagement_rate,
    safe_ratio(cast(bounces as double), cast(sessions as double)) as bounce_rate,
    safe_ratio(cast(session_seconds as double), cast(sessions as double)) as session_seconds_mean
from daily_sums
inner join spellings
    on daily_sums.channel_key = spellings.channel_key
order by date, spellings.channel, currency
