-- A table, for a lambda over what an aggregate returns fails. Instant and channel in one number sort quicker than
-- an order by within the aggregate, by far, and only the 20 answers are spelt out.
create table journeys as
with completed as (
    select order_id, customer_id, cast(ordered_at as bigint) as ordered_us, revenue
    from orders
    where status = 'completed'
),

touches as (
    select customer_id, cast(touched_at as bigint) as touched_us, {code} as code from touchpoints
)

select
    min(o.revenue) as revenue,
    array_sort(array_agg(t.touched_us * 8 + t.code)) as touches
from touches as t
inner join completed as o
    on t.customer_id = o.customer_id
    and t.touched_us between o.ordered_us - 30 * 86400000000 and o.ordered_us
group by o.order_id;

with coded as (
    select revenue, array_transform(touches, touch -> touch % 8) as codes from journeys
),

paths as (
    -- Codes are in the order of the channels' names, so their digits sort as the paths do.
    select codes, count(*) as orders, sum(revenue) as revenue from coded
    group by codes
    order by orders desc, array_to_string(codes, '')
    limit 20
)

select array_to_string(array_transform(codes, code -> {channels}[code + 1]), ' > ') as path, orders, revenue
from paths
