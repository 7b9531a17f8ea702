with completed as (
    select order_id, customer_id, epoch_us(ordered_at) as ordered_us
    from orders
    where status = 'completed'
),

touches as (
    select customer_id, epoch_us(touched_at) as touched_us, {code} as code from touchpoints
),

-- Instant and channel in one number: half of what the windows would have to carry.
journeys as (
    select o.order_id, t.touched_us * 8 + t.code as touch
    from touches as t
    inner join completed as o
        on t.customer_id = o.customer_id
        and t.touched_us between o.ordered_us - 30 * 86400000000 and o.ordered_us
),

steps as (
    select
        lag(touch) over journey % 8 as before,
        touch % 8 as code,
        lead(touch) over journey is null as is_last
    from journeys
    window journey as (partition by order_id order by touch)
),

counted as (
    select before, code, is_last, count(*) as transitions from steps group by before, code, is_last
)

select
    coalesce({channels}[before + 1], '(start)') as source,
    {channels}[code + 1] as target,
    sum(transitions) as transitions
from counted
group by before, code
union all
select {channels}[code + 1], '(conversion)', sum(transitions) from counted where is_last group by code
