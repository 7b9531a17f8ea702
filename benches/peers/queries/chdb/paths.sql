with completed as (
    select order_id, customer_id, toUnixTimestamp64Micro(ordered_at) as ordered_us, revenue
    from orders
    where status = 'completed'
),

touches as (
    select customer_id, toUnixTimestamp64Micro(touched_at) as touched_us, {code} as code
    from touchpoints
),

-- Instant and channel in one number sort quicker than pairs; only the 20 answers are spelt out.
journeys as (
    select
        any(o.revenue) as revenue,
        arrayMap(touch -> toUInt8(touch % 8), arraySort(groupArray(t.touched_us * 8 + t.code))) as codes
    from touches as t
    inner join completed as o
        on t.customer_id = o.customer_id
        and t.touched_us >= o.ordered_us - 30 * 86400000000
        and t.touched_us <= o.ordered_us
    group by o.order_id
),

paths as (
    -- Codes are in the order of the channels' names, so arrays sort as the texts do.
    select codes, count() as orders, sum(revenue) as revenue from journeys
    group by codes
    order by orders desc, codes
    limit 20
)

select arrayStringConcat(arrayMap(code -> {channels}[code + 1], codes), ' > ') as path, orders, revenue from paths
