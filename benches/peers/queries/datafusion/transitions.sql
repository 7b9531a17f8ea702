-- A table, for a lambda over what an aggregate returns fails.
create table journeys as
with completed as (
    select order_id, customer_id, cast(ordered_at as bigint) as ordered_us
    from orders
    where status = 'completed'
),

touches as (
    select customer_id, cast(touched_at as bigint) as touched_us, {code} as code from touchpoints
)

select array_sort(array_agg(t.touched_us * 8 + t.code)) as touches
from touches as t
inner join completed as o
    on t.customer_id = o.customer_id
    and t.touched_us between o.ordered_us - 30 * 86400000000 and o.ordered_us
group by o.order_id;

with coded as (
    select array_transform(touches, touch -> touch % 8) as codes from journeys
),

-- 8 is the start and 9 the conversion.
steps as (
    select unnest(array_prepend(8, codes)) as before, unnest(array_append(codes, 9)) as code from coded
),

counted as (
    select before, code, count(*) as transitions from steps group by before, code
)

select
    coalesce({channels}[before + 1], '(start)') as source,
    coalesce({channels}[code + 1], '(conversion)') as target,
    transitions
from counted
