with touches as (
    select sum(octet_length(customer_id)), sum(cast(touched_at as bigint) % 1000), sum(octet_length(channel))
    from touchpoints
),

purchases as (
    select
        sum(order_id),
        sum(octet_length(customer_id)),
        sum(cast(ordered_at as bigint) % 1000),
        sum(octet_length(status)),
        sum(revenue)
    from orders
)

select * from touches cross join purchases
