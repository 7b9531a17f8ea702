/*
summary = "What each touch contributed to each order and refund, under every model."
grain = "one row per entry (an order or one of its refunds), touch and model"
rules = true
checks = [
    "select entry_id, order_id, touch_id, model from answer group by entry_id, order_id, touch_id, model having count(*) > 1",
    "select entry_id, order_id, model from answer where model <> 'participation' group by entry_id, order_id, model having abs(sum(weight) - 1) > 1e-9",
]

[params.start]
type = "date"
doc = "First day of entries, in the store's time zone; from the beginning where it is not given."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."

[params.model]
type = "text"
default = "first_touch,last_touch,linear,time_decay,position_based"
doc = "Models, separated by commas."
*/

-- The range selects entries; their touches may precede it.
select
    store_id,
    entry_id,
    order_id,
    touch_id,
    customer_id,
    ordered_at,
    touched_at,
    coalesce(nullif(trim(channel), ''), '(unknown)') as channel,
    source,
    campaign,
    position,
    journey_length,
    model,
    weight,
    credit,
    currency,
    reason
from journey_credits(start => $start, "end" => $end, models => $model)
order by booked_at, order_id, entry_id, model_order, position, touch_id
