/*
summary = "What each touch contributed to each order and refund, under every model."
grain = "one row per entry (an order or one of its refunds), touch and model"
checks = [
    "select entry_id, order_id, touch_id, model from answer group by entry_id, order_id, touch_id, model having count(*) > 1",
    "select entry_id, order_id, model from answer group by entry_id, order_id, model having abs(sum(weight) - 1) > 1e-9",
]

[params.start]
type = "date"
doc = "First day of entries, in the store's time zone; from the beginning where it is not given."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."

[params.model]
type = "text"
values = ["first_touch", "last_touch", "linear", "time_decay", "position_based"]
doc = "One model; all five where it is not given."

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

models as (
    select
        column1 as model,
        column2 as model_order
    from (
        values
            ('first_touch', 1),
            ('last_touch', 2),
            ('linear', 3),
            ('time_decay', 4),
            ('position_based', 5)
    )
    where $model is null or column1 = $model
),

-- The range selects entries; their touches may precede it.
entries as (
    select
        store_id,
        entry_id,
        order_id,
        touch_id,
        customer_id,
        ordered_at,
        booked_at,
        touched_at,
        coalesce(nullif(trim(channel), ''), '(unknown)') as channel,
        source,
        campaign,
        position,
        journey_length,
        currency,
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
        position_based_credit
    from journeys($lookback_days, $half_life_days)
    where
        ($start is null or local_day(booked_at, (select store.timezone from store)) >= $start)
        and ($end is null or local_day(booked_at, (select store.timezone from store)) < $end)
),

-- The few models on the left: a cross join makes one batch for each of its left rows.
credits as (
    select
        store_id,
        entry_id,
        order_id,
        touch_id,
        customer_id,
        ordered_at,
        booked_at,
        touched_at,
        channel,
        source,
        campaign,
        position,
        journey_length,
        models.model,
        models.model_order,
        case models.model
            when 'first_touch' then first_touch_weight
            when 'last_touch' then last_touch_weight
            when 'linear' then linear_weight
            when 'time_decay' then time_decay_weight
            when 'position_based' then position_based_weight
        end as weight,
        case models.model
            when 'first_touch' then first_touch_credit
            when 'last_touch' then last_touch_credit
            when 'linear' then linear_credit
            when 'time_decay' then time_decay_credit
            when 'position_based' then position_based_credit
        end as credit,
        currency,
        reason
    from models
    cross join entries
)

select
    store_id,
    entry_id,
    order_id,
    touch_id,
    customer_id,
    ordered_at,
    touched_at,
    channel,
    source,
    campaign,
    position,
    journey_length,
    model,
    weight,
    credit,
    currency,
    reason
from credits
order by booked_at, order_id, entry_id, model_order, position, touch_id
