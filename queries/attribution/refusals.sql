/*
summary = "Touches and orders that got no credit, each with its reason, and refunds of unknown orders."
grain = "one row per entry (an order or one of its refunds) and refused touch; one per refused entry"

[params.start]
type = "date"
default = "today-29d"
doc = "First day, in the store's time zone."

[params.end]
type = "date"
default = "today+1d"
doc = "Day after the last, in the store's time zone."

[params.reason]
type = "text"
doc = "One reason, such as too_old, after_order, duplicate, view_superseded, order_cancelled or unknown_order."

[params.limit]
type = "int"
default = 10000
doc = "The most rows."

[params.lookback_days]
type = "int"
default = 30
doc = "Days before an order in which a click counts."

[params.half_life_days]
type = "float"
default = 7
doc = "Days after which a touch weighs half under time decay."
*/
with
store as (
    select
        coalesce(max(timezone), 'UTC') as timezone,
        coalesce(max(upper(trim(currency))), '') as currency
    from stores
),

entries as (
    select
        store_id,
        entry_id,
        entry_kind,
        order_id,
        touch_id,
        customer_id,
        ordered_at,
        booked_at,
        touched_at,
        channel,
        source,
        campaign,
        currency,
        amount,
        reason,
        linear_weight
    from journeys($lookback_days, $half_life_days, true)
    where
        ($start is null or local_day(booked_at, (select store.timezone from store)) >= $start)
        and ($end is null or local_day(booked_at, (select store.timezone from store)) < $end)
        and ($reason is null or reason = $reason)
),

-- Every model weighs the same touches: one without a weight has none under any.
refused as (
    select *
    from entries
    where linear_weight is null or reason = 'unknown_order'
)

select
    store_id,
    entry_id,
    entry_kind,
    order_id,
    touch_id,
    customer_id,
    ordered_at,
    booked_at,
    touched_at,
    channel,
    source,
    campaign,
    currency,
    amount,
    reason
from refused
order by booked_at, order_id, entry_id, touched_at, touch_id, reason
limit $limit
