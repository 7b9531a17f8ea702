/*
summary = "Touches and orders that got no credit, each with its reason, and refunds of unknown orders."
grain = "one row per entry (an order or one of its refunds) and refused touch; one per refused entry"
rules = true

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
doc = "One reason, such as too_old, after_order, duplicate, view_superseded, view_ignored, filtered, earlier_order, direct_ignored, collapsed, order_cancelled or unknown_order."

[params.limit]
type = "int"
default = 10000
doc = "The most rows."
*/

-- Every model weighs the same touches: one without a weight has none under any.
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
from journeys(include_refused => true, start => $start, "end" => $end)
where
    ($reason is null or reason = $reason)
    and (linear_weight is null or reason = 'unknown_order')
order by booked_at, order_id, entry_id, touched_at, touch_id, reason
limit $limit
