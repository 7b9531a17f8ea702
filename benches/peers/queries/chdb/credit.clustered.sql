-- A customer's touches are sorted once, however many orders look back on them.
with completed as (
    select customer_id, toUnixTimestamp64Micro(ordered_at) * 8 as ordered, toFloat64(revenue) as revenue
    from orders
    where status = 'completed'
),

customers as (
    select customer_id, arraySort(groupArray(toUnixTimestamp64Micro(touched_at) * 8 + {code})) as touches
    from touchpoints
    where customer_id in (select customer_id from completed)
    group by customer_id
),

journeys as (
    select
        o.ordered as ordered,
        o.revenue as revenue,
        arrayFilter(touch -> touch >= o.ordered - 30 * 86400000000 * 8 and touch < o.ordered + 8, c.touches) as journey
    from completed as o
    left join customers as c on o.customer_id = c.customer_id
),

touched as (
    select
        revenue,
        length(journey) as touch_count,
        -- The channel in a touch adds less than a microsecond.
        arrayMap(touch -> exp(log(2) / (7 * 86400e6 * 8) * (touch - ordered)), journey) as decays,
        arraySum(decays) as total_decay,
        arrayJoin(arrayZip(journey, decays, arrayEnumerate(journey))) as touch,
        tupleElement(touch, 1) % 8 as code,
        tupleElement(touch, 2) as decay,
        tupleElement(touch, 3) as position
    from journeys
    where notEmpty(journey)
),

credited as (
    select
        {channels}[code + 1] as channel,
        sumIf(revenue, position = 1) as first_touch,
        sumIf(revenue, position = touch_count) as last_touch,
        sum(revenue / touch_count) as linear,
        sum(revenue * decay / total_decay) as time_decay,
        sum(revenue * multiIf(
            touch_count = 1, 1.,
            touch_count = 2, 0.5,
            position = 1 or position = touch_count, 0.4,
            0.2 / (touch_count - 2)
        )) as position_based
    from touched
    group by code
),

-- The total's row becomes the unattributed one: a second use of the CTE would run it again.
total as (
    select sum(toFloat64(revenue)) as revenue from orders where status = 'completed'
)

select
    if(grouping(c.channel) = 1, '(unattributed)', c.channel) as channel,
    if(grouping(c.channel) = 1, any(t.revenue) - sum(c.first_touch), sum(c.first_touch)) as first_touch,
    if(grouping(c.channel) = 1, any(t.revenue) - sum(c.last_touch), sum(c.last_touch)) as last_touch,
    if(grouping(c.channel) = 1, any(t.revenue) - sum(c.linear), sum(c.linear)) as linear,
    if(grouping(c.channel) = 1, any(t.revenue) - sum(c.time_decay), sum(c.time_decay)) as time_decay,
    if(grouping(c.channel) = 1, any(t.revenue) - sum(c.position_based), sum(c.position_based)) as position_based
from credited as c
cross join total as t
group by grouping sets ((c.channel), ())
