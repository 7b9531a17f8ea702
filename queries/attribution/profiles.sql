/*
summary = "Other products' choices beside our own: every option that they set, with the reason and the sources."
grain = "one row per profile and model, option or difference that no option reproduces"
checks = [
    "select profile, option from answer where kind = 'option' group by profile, option having count(*) > 1",
    "select * from answer where kind = 'option' and default_value is null",
    "select * from answer where profile = 'tributary-1' and is_different",
]

[params.profile]
type = "text"
doc = "One profile, such as ga4; every profile where it is not given."
*/

-- An option that a profile does not set has our default. A model is one to look at, not a difference: all of them are
-- ours too.
with
profiles as (
    select *
    from attribution_profiles()
),

defaults as (
    select
        option,
        value
    from profiles
    where
        profile = 'tributary-1'
        and kind = 'option'
)

select
    profiles.profile,
    profiles.summary,
    profiles.kind,
    profiles.option,
    profiles.value,
    defaults.value as default_value,
    case profiles.kind
        when 'option' then profiles.value is distinct from defaults.value
        else profiles.kind = 'difference'
    end as is_different,
    profiles.why,
    profiles.sources,
    profiles.as_of
from profiles
left join defaults
    on profiles.option = defaults.option
where $profile is null or profiles.profile = $profile
order by profiles.profile <> 'tributary-1', profiles.profile, profiles.kind, profiles.option, profiles.value, profiles.why
