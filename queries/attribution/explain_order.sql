/*
summary = "One order explained: its journey, what every model gave each touch, and why the others got nothing."
grain = "one row per entry (the order or one of its refunds) and touch, credited or refused; one per entry without a touch"
rules = true
checks = [
    "select entry_id, touch_id from answer where is_credited group by entry_id, touch_id having count(*) > 1",
    "select entry_id from answer where is_credited group by entry_id, amount having sum(first_touch_credit) <> amount or sum(last_touch_credit) <> amount or sum(linear_credit) <> amount or sum(time_decay_credit) <> amount or sum(position_based_credit) <> amount or sum(last_non_direct_credit) <> amount or sum(j_shaped_credit) <> amount or sum(inverse_j_credit) <> amount or sum(w_shaped_credit) <> amount or sum(position_decay_credit) <> amount or sum(custom_credit) <> amount",
    "select * from answer where not is_credited and reason is null",
]

[params.order_id]
type = "text"
required = true
example = "o1"
doc = "The order, by its id in the shop."

[params.start]
type = "date"
doc = "First day of entries, in the store's time zone; from the beginning where it is not given. The order's day makes a large store answer faster."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."
*/

-- A refused touch stands with the order only: a refund takes back what the order gave. A reason on a credited row says
-- why the amount went to (unattributed). Participation gives each channel the whole amount.
select
    entry_id,
    entry_kind,
    order_id,
    customer_id,
    ordered_at,
    booked_at,
    currency,
    amount,
    touch_id,
    touched_at,
    cast(cast(ordered_at as bigint) - cast(touched_at as bigint) as double) / 3600000000 as hours_before_order,
    channel,
    source,
    campaign,
    nullif(position, 0) as position,
    journey_length,
    linear_weight is not null as is_credited,
    reason,
    first_touch_weight,
    first_touch_credit,
    last_touch_weight,
    last_touch_credit,
    linear_weight,
    linear_credit,
    time_decay_weight,
    time_decay_credit,
    position_based_weight,
    position_based_credit,
    last_non_direct_weight,
    last_non_direct_credit,
    j_shaped_weight,
    j_shaped_credit,
    inverse_j_weight,
    inverse_j_credit,
    w_shaped_weight,
    w_shaped_credit,
    position_decay_weight,
    position_decay_credit,
    custom_weight,
    custom_credit,
    participation_weight,
    participation_credit
from journeys(include_refused => true, start => $start, "end" => $end)
where order_id = $order_id
order by booked_at, entry_kind, entry_id, touched_at, touch_id, reason nulls first
