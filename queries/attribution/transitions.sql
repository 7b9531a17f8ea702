/*
summary = "How journeys flow from touch to touch and to their outcome: the links of a Sankey diagram."
grain = "one row per link between two nodes; a node is a step and a name"
rules = true
checks = [
    "select step, source, target_step, target from answer group by step, source, target_step, target having count(*) > 1",
    "select step, name from (select target_step as step, target as name, journeys as journeys_in, 0 as journeys_out, conversions as conversions_in, 0 as conversions_out from answer where target_step < greatest($depth, 1) + 2 union all select step, source, 0, journeys, 0, conversions from answer where step > 0) as flows group by step, name having sum(journeys_in) <> sum(journeys_out) or sum(conversions_in) <> sum(conversions_out)",
    "select * from (select sum(case when step = 0 then journeys else 0 end) as started, sum(case when target_step = greatest($depth, 1) + 2 then journeys else 0 end) as ended from answer) as flows where started <> ended",
]

[params.start]
type = "date"
doc = "First day of entries, in the store's time zone; from the beginning where it is not given."

[params.end]
type = "date"
doc = "Day after the last, in the store's time zone; to the end where it is not given."

[params.depth]
type = "int"
default = 5
doc = "How many touches have a node of their own, 1 or more; those after them are (more touches)."

[params.top]
type = "int"
default = 8
doc = "How many channels keep their name, those that most journeys meet within the depth; the others are (other)."

[params.include_non_converting]
type = "bool"
default = true
doc = "Whether journeys without conversion flow too."
*/

-- What flows into a node flows out of it, since every journey is one line: from (start), at step 0, over its touches, at
-- their positions, past (more touches) where it is longer than the depth, to its outcome, which is the last step
-- for all. A conversion that no touch led to goes from (start) straight to its outcome.
with
paths as (
    select
        greatest($depth, 1) as depth,
        channels,
        touch_count,
        conversions,
        non_conversions
    from journey_paths(start => $start, "end" => $end)
),

-- Journeys that differ in currency, or after the depth, are alike here.
prefixes as (
    select
        depth,
        array_slice(channels, 1, depth) as touches,
        least(touch_count, depth + 1) as last_step,
        sum(conversions) as conversions,
        sum(non_conversions) as non_conversions
    from paths
    group by depth, array_slice(channels, 1, depth), least(touch_count, depth + 1)
),

prefix_outcomes as (
    select
        depth,
        touches,
        last_step,
        conversions,
        non_conversions,
        unnest([true, false]) as is_conversion
    from prefixes
),

lines as (
    select
        depth,
        touches,
        last_step,
        is_conversion,
        case when is_conversion then conversions else non_conversions end as journeys
    from prefix_outcomes
    where
        case when is_conversion then conversions else non_conversions end > 0
        and (is_conversion or $include_non_converting)
),

line_steps as (
    select
        depth,
        touches,
        last_step,
        is_conversion,
        journeys,
        unnest(range(0, last_step + 1)) as step
    from lines
),

line_touches as (
    select
        *,
        case when step between 1 and depth then touches[step] end as channel
    from line_steps
),

-- A line counts once for each of its channels, at the first touch.
channel_sizes as (
    select
        *,
        sum(case when array_position(touches, channel) = step then journeys end) over (partition by channel) as channel_journeys
    from line_touches
),

channel_ranks as (
    select
        *,
        dense_rank() over (order by channel_journeys desc nulls last, channel) as channel_rank
    from channel_sizes
),

nodes as (
    select
        depth,
        touches,
        last_step,
        is_conversion,
        journeys,
        step,
        case
            when step = 0 then '(start)'
            when step > depth then '(more touches)'
            when channel_rank <= $top then channel
            else '(other)'
        end as name
    from channel_ranks
),

line_links as (
    select
        step,
        name as source,
        case when step = last_step then depth + 2 else step + 1 end as target_step,
        coalesce(
            lead(name) over (partition by touches, last_step, is_conversion order by step),
            case when is_conversion then '(conversion)' else '(no conversion)' end
        ) as target,
        journeys,
        is_conversion
    from nodes
),

links as (
    select
        step,
        source,
        target_step,
        target,
        sum(journeys) as journeys,
        sum(case when is_conversion then journeys else 0 end) as conversions
    from line_links
    group by step, source, target_step, target
)

select
    step,
    source,
    target_step,
    target,
    journeys,
    safe_ratio(journeys, sum(journeys) over (partition by step, source)) as source_share,
    conversions,
    safe_ratio(conversions, journeys) as conversion_rate
from links
order by step, journeys desc, source, target_step, target
