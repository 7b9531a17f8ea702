-- Credit split to the cent by largest remainder, as Tributary splits it. It checks Tributary's answer and is not timed.
with completed as (
    select
        order_id,
        customer_id,
        epoch_us(ordered_at) as ordered_us,
        cast(revenue * 100 as bigint) as cents
    from orders
    where status = 'completed'
),

touches as (
    select customer_id, epoch_us(touched_at) as touched_us, channel from touchpoints
),

journeys as (
    select
        o.order_id,
        o.cents,
        t.channel,
        row_number() over (partition by o.order_id order by t.touched_us) as position,
        count(*) over (partition by o.order_id) as touch_count,
        exp(ln(2) / (7 * 86400e6) * (t.touched_us - max(t.touched_us) over (partition by o.order_id))) as decay
    from touches as t
    inner join completed as o
        on t.customer_id = o.customer_id
        and t.touched_us between o.ordered_us - 30 * 86400000000 and o.ordered_us
),

-- Position is counted in whole parts, so that remainders compare exactly.
shares as (
    select
        *,
        cents * decay / sum(decay) over (partition by order_id) as decayed,
        case
            when touch_count <= 2 then 1
            when position = 1 or position = touch_count then 2 * (touch_count - 2)
            else 1
        end as parts,
        case when touch_count <= 2 then touch_count else 5 * (touch_count - 2) end as all_parts
    from journeys
),

ranks as (
    select
        *,
        cents - sum(floor(decayed)) over (partition by order_id) as decayed_rest,
        cents - sum(cents * parts // all_parts) over (partition by order_id) as positioned_rest,
        row_number() over (partition by order_id order by decayed - floor(decayed) desc, position) as decayed_rank,
        row_number() over (partition by order_id order by cents * parts % all_parts desc, position) as positioned_rank
    from shares
),

credited as materialized (
    select
        channel,
        sum(case when position = 1 then cents else 0 end) as first_touch,
        sum(case when position = touch_count then cents else 0 end) as last_touch,
        sum(cents // touch_count + (position <= cents % touch_count)::int) as linear,
        sum(floor(decayed) + (decayed_rank <= decayed_rest)::int) as time_decay,
        sum(cents * parts // all_parts + (positioned_rank <= positioned_rest)::int) as position_based
    from ranks
    group by channel
),

unattributed as (
    select (select sum(cents) from completed) - (select sum(first_touch) from credited) as cents
),

rows as (
    select * from credited
    union all
    select '(unattributed)', cents, cents, cents, cents, cents from unattributed
)

select
    channel,
    first_touch / 100 as first_touch,
    last_touch / 100 as last_touch,
    linear / 100 as linear,
    time_decay / 100 as time_decay,
    position_based / 100 as position_based
from rows
