/*
summary = "How each channel's metrics rate against a sourced benchmark of its industry."
grain = "one row per channel, currency and metric that the channel has"
checks = [
    "select lower(channel), currency, metric from answer group by lower(channel), currency, metric having count(*) > 1",
    "select * from answer where rating <> 'not rated' and source is null",
]

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

[params.industry]
type = "text"
doc = "The industry to compare with; the store's own where it is not given."
*/

-- A benchmark of the store's own table beats a seed; then a complete one beats one with gaps, the channel's own
-- one for all channels, the industry's own one for all industries, and the newer the older. Amounts are compared
-- in their own currency only. A seed must measure the same thing: a rate per follower or per recipient is another
-- than one per impression or session, and a lead is not a purchase.
with
store as (
    select
        coalesce(max(upper(trim(currency))), '') as currency,
        lower(trim(coalesce($industry, max(industry), 'all'))) as industry
    from stores
),

candidates as (
    select
        1 as origin_rank,
        lower(trim(channel)) as channel_key,
        metric,
        industry,
        cast(poor as double) as poor,
        cast(average as double) as average,
        cast(good as double) as good,
        cast(excellent as double) as excellent,
        direction,
        unit,
        source,
        as_of
    from benchmarks
    union all
    select
        2 as origin_rank,
        lower(trim(channel)) as channel_key,
        metric,
        industry,
        cast(poor as double) as poor,
        cast(average as double) as average,
        cast(good as double) as good,
        cast(excellent as double) as excellent,
        direction,
        unit,
        source,
        as_of
    from benchmark_seeds
),

fitting_benchmarks as (
    select
        *,
        case
            when lower(trim(industry)) = (select store.industry from store) then 1
            when starts_with(lower(trim(industry)), (select store.industry from store) || ' ') then 2
            when lower(trim(industry)) = 'all' then 3
            when starts_with(lower(trim(industry)), 'all ') then 4
        end as industry_rank
    from candidates
    where
        origin_rank = 1
        or metric = 'roas'
        or (metric = 'conversion_rate' and unit in ('percent', 'percent of sessions'))
        or (metric = 'engagement_rate' and unit = 'percent of impressions')
        or (metric = 'cpa' and lower(industry) not like '%lead%')
),

channel_metrics as (
    select
        coalesce(nullif(trim(channel), ''), '(unknown)') as channel,
        date,
        source,
        campaign,
        coalesce(upper(trim(currency)), (select store.currency from store)) as currency,
        coalesce(sessions, 0) as sessions,
        coalesce(impressions, 0) as impressions,
        coalesce(engagements, 0) as engagements,
        coalesce(conversions, 0) as conversions,
        coalesce(revenue, 0) as revenue,
        coalesce(cost, 0) as cost
    from metrics
    where
        date >= $start
        and date < $end
        and ($channel is null or lower(coalesce(nullif(trim(channel), ''), '(unknown)')) = lower(trim($channel)))
),

channel_sums as (
    select
        lower(channel) as channel_key,
        first_value(channel order by date, source, campaign, channel) as channel,
        currency,
        cast(sum(sessions) as double) as sessions,
        cast(sum(impressions) as double) as impressions,
        cast(sum(engagements) as double) as engagements,
        cast(sum(conversions) as double) as conversions,
        cast(sum(revenue) as double) as revenue,
        cast(sum(cost) as double) as cost
    from channel_metrics
    group by lower(channel), currency
),

measured as (
    select
        channel_sums.channel_key,
        channel_sums.channel,
        channel_sums.currency,
        names.metric,
        case names.metric
            when 'conversion_rate' then safe_ratio(conversions, sessions)
            when 'cpa' then safe_ratio(cost, conversions)
            when 'engagement_rate' then safe_ratio(engagements, impressions)
            when 'roas' then safe_ratio(revenue, cost)
        end as value
    from channel_sums
    cross join (
        select column1 as metric
        from (values ('conversion_rate'), ('cpa'), ('engagement_rate'), ('roas'))
    ) as names
),

ranked as (
    select
        measured.channel_key,
        measured.currency,
        measured.metric,
        fitting_benchmarks.poor,
        fitting_benchmarks.average,
        fitting_benchmarks.good,
        fitting_benchmarks.excellent,
        fitting_benchmarks.direction,
        fitting_benchmarks.unit,
        fitting_benchmarks.industry,
        fitting_benchmarks.source,
        fitting_benchmarks.as_of,
        row_number() over (
            partition by measured.channel_key, measured.currency, measured.metric
            order by
                fitting_benchmarks.origin_rank,
                poor + average + good + excellent is null,
                fitting_benchmarks.channel_key = 'all',
                fitting_benchmarks.industry_rank,
                coalesce(fitting_benchmarks.source like '%quality C%', false),
                fitting_benchmarks.as_of desc nulls last,
                fitting_benchmarks.source,
                fitting_benchmarks.industry,
                poor,
                average,
                good,
                excellent
        ) as preference
    from measured
    inner join fitting_benchmarks
        on measured.metric = fitting_benchmarks.metric
    where
        measured.value is not null
        and fitting_benchmarks.industry_rank is not null
        and (
            fitting_benchmarks.channel_key = measured.channel_key
            or fitting_benchmarks.channel_key = 'all'
        )
        and (
            measured.metric <> 'cpa'
            or fitting_benchmarks.unit is null
            or starts_with(upper(fitting_benchmarks.unit), measured.currency)
        )
),

rated as (
    select
        measured.channel,
        measured.currency,
        measured.metric,
        measured.value,
        -- Benchmarks of rates are published in percent.
        case when starts_with(lower(ranked.unit), 'percent') then measured.value * 100 else measured.value end
            as benchmark_value,
        ranked.poor,
        ranked.average,
        ranked.good,
        ranked.excellent,
        ranked.direction,
        ranked.unit,
        ranked.industry,
        ranked.source,
        ranked.as_of
    from measured
    left join ranked
        on
            measured.channel_key = ranked.channel_key
            and measured.currency = ranked.currency
            and measured.metric = ranked.metric
            and ranked.preference = 1
    where measured.value is not null
)

select
    channel,
    nullif(currency, '') as currency,
    metric,
    value,
    coalesce(rate_metric(benchmark_value, poor, average, good, excellent, direction), 'not rated') as rating,
    benchmark_value,
    unit,
    poor,
    average,
    good,
    excellent,
    direction,
    industry,
    source,
    as_of
from rated
order by channel, currency, metric
