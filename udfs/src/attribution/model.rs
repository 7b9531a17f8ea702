//! The rule models, and their names.

/// A rule that says how an order's amount is shared among the touches of its journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Model {
    /// All to the first touch.
    FirstTouch,
    /// All to the last touch.
    LastTouch,
    /// The same to each touch.
    Linear,
    /// Halved for every half-life before the newest touch.
    TimeDecay,
    /// .4 to the first, .4 to the last, .2 to those between.
    PositionBased,
    /// All to the last touch that is not direct; to the last one where all are.
    LastNonDirect,
    /// .2 to the first, .6 to the last, .2 to those between.
    JShaped,
    /// .6 to the first, .2 to the last, .2 to those between.
    InverseJ,
    /// .3 to the first, to the last and to each milestone, .1 to the others.
    WShaped,
    /// Growing evenly: the k-th of n touches weighs k.
    PositionDecay,
    /// The weights that the options give to the first, to those between and to the last.
    Custom,
    /// All to each channel of the journey, at its first touch: the credits of an order sum to more than its amount.
    Participation,
}

/// How many models there are.
pub const MODEL_COUNT: usize = 12;

impl Model {
    /// Every model, in the order of the columns.
    pub const ALL: [Model; MODEL_COUNT] = [
        Model::FirstTouch,
        Model::LastTouch,
        Model::Linear,
        Model::TimeDecay,
        Model::PositionBased,
        Model::LastNonDirect,
        Model::JShaped,
        Model::InverseJ,
        Model::WShaped,
        Model::PositionDecay,
        Model::Custom,
        Model::Participation,
    ];

    /// The model's name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Model::FirstTouch => "first_touch",
            Model::LastTouch => "last_touch",
            Model::Linear => "linear",
            Model::TimeDecay => "time_decay",
            Model::PositionBased => "position_based",
            Model::LastNonDirect => "last_non_direct",
            Model::JShaped => "j_shaped",
            Model::InverseJ => "inverse_j",
            Model::WShaped => "w_shaped",
            Model::PositionDecay => "position_decay",
            Model::Custom => "custom",
            Model::Participation => "participation",
        }
    }

    /// The model of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// Whether the credits of every entry sum to its amount.
    pub fn sums_to_amount(self) -> bool {
        self != Model::Participation
    }

    /// Whether the model looks at the channels of the touches.
    pub fn needs_channels(self) -> bool {
        matches!(self, Model::LastNonDirect | Model::Participation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_in_the_order_of_their_numbers_and_known_by_name() {
        for (m, model) in Model::ALL.into_iter().enumerate() {
            assert_eq!(model as usize, m);
            assert_eq!(Model::named(model.name()), Some(model));
        }
        assert_eq!(Model::named("median"), None);
    }
}
