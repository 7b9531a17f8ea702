with completed as (
    select order_id, customer_id, toUnixTimestamp64Micro(ordered_at) as ordered_us
    from orders
    where status = 'completed'
),

touches as (
    select customer_id, toUnixTimestamp64Micro(touched_at) as touched_us, {code} as code
    from touchpoints
),

journeys as (
    select arrayMap(touch -> toUInt8(touch % 8), arraySort(groupArray(t.touched_us * 8 + t.code))) as codes
    from touches as t
    inner join completed as o
        on t.customer_id = o.customer_id
        and t.touched_us >= o.ordered_us - 30 * 86400000000
        and t.touched_us <= o.ordered_us
    group by o.order_id
),

-- 8 is the start and 9 the conversion.
steps as (
    select arrayJoin(arrayZip(arrayPushFront(codes, 8), arrayPushBack(codes, 9))) as step from journeys
),

counted as (
    select tupleElement(step, 1) as before, tupleElement(step, 2) as code, count() as transitions
    from steps
    group by before, code
)

select
    if(before = 8, '(start)', {channels}[before + 1]) as source,
    if(code = 9, '(conversion)', {channels}[code + 1]) as target,
    transitions
from counted
