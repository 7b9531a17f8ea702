/*
summary = "Each channel's period beside the period of equal length immediately before it."
grain = "one row per channel and currency that has metrics in either period"
checks = [
    "select lower(channel), currency from answer group by lower(channel), currency having count(*) > 1",
    "select * from answer where previous_revenue = 0 and revenue_change_rate is not null",
]

[params.start]
type = "date"
default = "today-29d"
doc = "First day, in the store's time zone."

[params.end]
type = "date"
default = "today+1d"
doc = "Day after the last, in the store's time zone."
*/

-- Both periods are half-open and do not overlap: [start - (end - start), start) and [start, end). A change
-- rate is a fraction of the previous value's size; it is null where that is zero. A ratio that one of the periods does
-- not have has no change and no direction.
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
        date >= $start as is_current,
        coalesce(sessions, 0) as sessions,
        coalesce(conversions, 0) as conversions,
        coalesce(revenue, 0) as revenue,
        coalesce(cost, 0) as cost
    from metrics
    where
        date >= cast(cast($start as int) * 2 - cast($end as int) as date)
        and date < $end
),

spellings as (
    select
        lower(channel) as channel_key,
        currency,
        first_value(channel order by date, source, campaign, channel) as channel
    from channel_metrics
    group by lower(channel), currency
),

period_sums as (
    select
        lower(channel) as channel_key,
        currency,
        is_current,
        sum(sessions) as sessions,
        sum(conversions) as conversions,
        sum(revenue) as revenue,
        sum(cost) as cost
    from channel_metrics
    group by lower(channel), currency, is_current
),

period_ratios as (
    select
        channel_key,
        currency,
        is_current,
        sessions,
        conversions,
        revenue,
        cost,
        revenue - cost as profit,
        safe_ratio(cast(revenue as double), cast(cost as double)) as roas,
        safe_ratio(cast(cost as double), cast(conversions as double)) as cpa,
        safe_ratio(cast(conversions as double), cast(sessions as double)) as conversion_rate
    from period_sums
),

current_sums as (
    select *
    from period_ratios
    where is_current
),

previous_sums as (
    select *
    from period_ratios
    where not is_current
)

select
    spellings.channel,
    nullif(spellings.currency, '') as currency,
    coalesce(current_sums.revenue, 0) as current_revenue,
    coalesce(previous_sums.revenue, 0) as previous_revenue,
    coalesce(current_sums.revenue, 0) - coalesce(previous_sums.revenue, 0) as revenue_change,
    safe_ratio(
        cast(coalesce(current_sums.revenue, 0) - coalesce(previous_sums.revenue, 0) as double),
        abs(cast(coalesce(previous_sums.revenue, 0) as double))
    ) as revenue_change_rate,
    case
        when coalesce(current_sums.revenue, 0) > coalesce(previous_sums.revenue, 0) then 'up'
        when coalesce(current_sums.revenue, 0) < coalesce(previous_sums.revenue, 0) then 'down'
        else 'flat'
    end as revenue_direction,
    coalesce(current_sums.cost, 0) as current_cost,
    coalesce(previous_sums.cost, 0) as previous_cost,
    coalesce(current_sums.cost, 0) - coalesce(previous_sums.cost, 0) as cost_change,
    safe_ratio(
        cast(coalesce(current_sums.cost, 0) - coalesce(previous_sums.cost, 0) as double),
        abs(cast(coalesce(previous_sums.cost, 0) as double))
    ) as cost_change_rate,
    case
        when coalesce(current_sums.cost, 0) > coalesce(previous_sums.cost, 0) then 'up'
        when coalesce(current_sums.cost, 0) < coalesce(previous_sums.cost, 0) then 'down'
        else 'flat'
    end as cost_direction,
    coalesce(current_sums.profit, 0) as current_profit,
    coalesce(previous_sums.profit, 0) as previous_profit,
    coalesce(current_sums.profit, 0) - coalesce(previous_sums.profit, 0) as profit_change,
    safe_ratio(
        cast(coalesce(current_sums.profit, 0) - coalesce(previous_sums.profit, 0) as double),
        abs(cast(coalesce(previous_sums.profit, 0) as double))
    ) as profit_change_rate,
    case
        when coalesce(current_sums.profit, 0) > coalesce(previous_sums.profit, 0) then 'up'
        when coalesce(current_sums.profit, 0) < coalesce(previous_sums.profit, 0) then 'down'
        else 'flat'
    end as profit_direction,
    coalesce(current_sums.conversions, 0) as current_conversions,
    coalesce(previous_sums.conversions, 0) as previous_conversions,
    coalesce(current_sums.conversions, 0) - coalesce(previous_sums.conversions, 0) as conversions_change,
    safe_ratio(
        cast(coalesce(current_sums.conversions, 0) - coalesce(previous_sums.conversions, 0) as double),
        abs(cast(coalesce(previous_sums.conversions, 0) as double))
    ) as conversions_change_rate,
    case
        when coalesce(current_sums.conversions, 0) > coalesce(previous_sums.conversions, 0) then 'up'
        when coalesce(current_sums.conversions, 0) < coalesce(previous_sums.conversions, 0) then 'down'
        else 'flat'
    end as conversions_direction,
    coalesce(current_sums.sessions, 0) as current_sessions,
    coalesce(previous_sums.sessions, 0) as previous_sessions,
    coalesce(current_sums.sessions, 0) - coalesce(previous_sums.sessions, 0) as sessions_change,
    safe_ratio(
        cast(coalesce(current_sums.sessions, 0) - coalesce(previous_sums.sessions, 0) as double),
        abs(cast(coalesce(previous_sums.sessions, 0) as double))
    ) as sessions_change_rate,
    case
        when coalesce(current_sums.sessions, 0) > coalesce(previous_sums.sessions, 0) then 'up'
        when coalesce(current_sums.sessions, 0) < coalesce(previous_sums.sessions, 0) then 'down'
        else 'flat'
    end as sessions_direction,
    current_sums.roas as current_roas,
    previous_sums.roas as previous_roas,
    current_sums.roas - previous_sums.roas as roas_change,
    safe_ratio(current_sums.roas - previous_sums.roas, previous_sums.roas) as roas_change_rate,
    case
        when current_sums.roas > previous_sums.roas then 'up'
        when current_sums.roas < previous_sums.roas then 'down'
        when current_sums.roas = previous_sums.roas then 'flat'
    end as roas_direction,
    current_sums.cpa as current_cpa,
    previous_sums.cpa as previous_cpa,
    current_sums.cpa - previous_sums.cpa as cpa_change,
    safe_ratio(current_sums.cpa - previous_sums.cpa, previous_sums.cpa) as cpa_change_rate,
    case
        when current_sums.cpa > previous_sums.cpa then 'up'
        when current_sums.cpa < previous_sums.cpa then 'down'
        when current_sums.cpa = previous_sums.cpa then 'flat'
    end as cpa_direction,
    current_sums.conversion_rate as current_conversion_rate,
    previous_sums.conversion_rate as previous_conversion_rate,
    current_sums.conversion_rate - previous_sums.conversion_rate as conversion_rate_change,
    safe_ratio(current_sums.conversion_rate - previous_sums.conversion_rate, previous_sums.conversion_rate) as conversion_rate_change_rate,
    case
        when current_sums.conversion_rate > previous_sums.conversion_rate then 'up'
        when current_sums.conversion_rate < previous_sums.conversion_rate then 'down'
        when current_sums.conversion_rate = previous_sums.conversion_rate then 'flat'
    end as conversion_rate_direction
from spellings
left join current_sums
    on
        spellings.channel_key = current_sums.channel_key
        and spellings.currency = current_sums.currency
left join previous_sums
    on
        spellings.channel_key = previous_sums.channel_key
        and spellings.currency = previous_sums.currency
order by spellings.channel, currency
