/*
summary = "How long customers took to order: conversions and revenue by the time since the first and since the last touch."
grain = "one row per touch to measure from, currency and bucket of days"
rules = true
checks = [
    "select measured_from, currency, bucket from answer group by measured_from, currency, bucket having count(*) > 1",
    "select measured_from, currency from answer group by measured_from, currency having abs(max(cumulative_share) - 1) > 1e-9 or abs(sum(conversion_share) - 1) > 1e-9",
    "select currency from answer group by currency having sum(case when measured_from = 'first_touch' then conversions else -conversions end) <> 0 or sum(case when measured_from = 'first_touch' then revenue else -revenue end) <> 0",
]

[params.start]
type = "date"
doc = "First day of entries, in the store's time zone; from the beginning where it is not given."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."
*/

-- Days are whole days of 24 hours that have passed, as in the lookback: bucket 0 is less than one. Revenue is net of
-- the refunds that were booked in the range. An order that no touch led to has no time to measure.
with
buckets as (
    select
        column1 as bucket_order,
        column2 as bucket,
        column3 as days_from,
        column4 as days_to
    from (
        values
        (1, '0', 0, 0),
        (2, '1', 1, 1),
        (3, '2-3', 2, 3),
        (4, '4-7', 4, 7),
        (5, '8-14', 8, 14),
        (6, '15-30', 15, 30),
        (7, '31+', 31, null)
    )
),

units as (
    select 86400000000 as day_us
),

end_touches as (
    select
        coalesce(currency, '') as currency_key,
        cast(ordered_at as bigint) - cast(touched_at as bigint) as lag_us,
        entry_kind,
        amount,
        case
            when journey_length = 1 then ['first_touch', 'last_touch']
            when position = 1 then ['first_touch']
            else ['last_touch']
        end as ends
    from journeys(start => $start, "end" => $end)
    where
        position > 0
        and (position = 1 or position = journey_length)
),

lags as (
    select
        currency_key,
        lag_us,
        entry_kind,
        amount,
        unnest(ends) as measured_from
    from end_touches
),

day_sums as (
    select
        lags.measured_from,
        lags.currency_key,
        lags.lag_us / units.day_us as lag_days,
        sum(case when lags.entry_kind = 'order' then 1 else 0 end) as conversions,
        sum(lags.amount) as revenue
    from lags
    cross join units
    group by lags.measured_from, lags.currency_key, lags.lag_us / units.day_us
),

marked as (
    select
        day_sums.measured_from,
        day_sums.currency_key,
        buckets.bucket_order,
        buckets.bucket,
        buckets.days_from,
        buckets.days_to,
        day_sums.lag_days between buckets.days_from and coalesce(buckets.days_to, day_sums.lag_days) as is_within,
        day_sums.conversions,
        day_sums.revenue
    from day_sums
    cross join buckets
),

-- An empty bucket is a row too: a chart has no gaps.
bucket_sums as (
    select
        measured_from,
        currency_key,
        bucket_order,
        bucket,
        days_from,
        days_to,
        sum(case when is_within then conversions else 0 end) as conversions,
        sum(case when is_within then revenue else 0 end) as revenue
    from marked
    group by measured_from, currency_key, bucket_order, bucket, days_from, days_to
)

select
    measured_from,
    nullif(currency_key, '') as currency,
    bucket,
    days_from,
    days_to,
    conversions,
    safe_ratio(conversions, sum(conversions) over (partition by measured_from, currency_key)) as conversion_share,
    safe_ratio(
        sum(conversions) over (partition by measured_from, currency_key order by bucket_order),
        sum(conversions) over (partition by measured_from, currency_key)
    ) as cumulative_share,
    revenue
from bucket_sums
order by measured_from, currency, bucket_order
