//! Intervals for any model, by resampling journeys.

use super::error::ModelError;
use super::paths::Paths;
use super::random::Random;

/// How journeys are resampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampling {
    /// Samples to draw, at least 2; a percentile interval of level 0.95 wants 200 or more.
    pub replicates: usize,
    /// The same seed gives the same samples.
    pub seed: u64,
    /// The confidence level of the intervals, say 0.95.
    pub level: f64,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { replicates: 200, seed: 0, level: 0.95 }
    }
}

/// What a model's numbers do under resampling.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    /// One interval per number of the model.
    pub intervals: Vec<Percentiles>,
    /// Samples that the model could answer; the others had no conversion, or too little of something else.
    pub replicates: usize,
}

/// The spread of one number over the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentiles {
    /// The lower end of the interval: the (1 - level) / 2 quantile of the samples.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The standard deviation over the samples.
    pub standard_error: f64,
}

/// Draws one sample of the journeys into `replicate`, which has the same paths as `paths`.
///
/// Each journey is taken a Poisson(1) number of times (the Poisson bootstrap: Chamandy, Muralidharan, Najmi and
/// Naidu, "Estimating uncertainty for massive data streams", Google 2012); so the n journeys of a path that
/// converted are taken Poisson(n) times together, and those that did not likewise. In contrast to the multinomial
/// bootstrap the number of journeys varies, which does not matter to shares and rates, and paths are drawn
/// independently: sample `k` is the same alone or among others. A path keeps its value per conversion.
pub fn resample(paths: &Paths, seed: u64, k: u64, replicate: &mut Paths) {
    replicate.recount(paths, |at, path| {
        let mut random = Random::stream(seed, k, at as u64);
        (random.poisson(path.conversions), random.poisson(path.non_conversions))
    });
}

/// Percentile intervals (Efron, 1979) of the numbers that `model` makes of the paths, its shares for instance.
///
/// Journeys are resampled as if independent of each other; several journeys of a customer are not. For models that
/// only look at the channel sets, pass `paths.channel_sets()`: there are fewer of them. Samples that the data
/// refuse (no conversion, not identifiable) are left out and counted; other errors of the model are passed on. Also
/// refuses fewer than 2 replicates and levels outside (0, 1).
pub fn bootstrap<F>(paths: &Paths, resampling: Resampling, model: F) -> Result<Bootstrap, ModelError>
where
    F: Fn(&Paths) -> Result<Vec<f64>, ModelError>,
{
    let Resampling { replicates, seed, level } = resampling;
    if replicates < 2 {
        return Err(ModelError::CountTooSmall { what: "replicates", given: replicates, least: 2 });
    }
    if !(level > 0.0 && level < 1.0) {
        return Err(ModelError::LevelOutOfRange { level });
    }
    let mut samples: Vec<Vec<f64>> = Vec::with_capacity(replicates);
    let mut replicate = paths.clone();
    let mut refused = None;
    for k in 0..replicates as u64 {
        resample(paths, seed, k, &mut replicate);
        match model(&replicate) {
            Ok(numbers) => samples.push(numbers),
            Err(error) if is_of_the_sample(&error) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    if let (0..2, Some(error)) = (samples.len(), refused) {
        return Err(error);
    }
    let numbers = samples.iter().map(Vec::len).min().unwrap_or(0);
    let intervals =
        (0..numbers).map(|at| percentiles(samples.iter().map(|sample| sample[at]).collect(), level));
    Ok(Bootstrap { intervals: intervals.collect(), replicates: samples.len() })
}

/// Whether another sample of the same journeys may well do better.
fn is_of_the_sample(error: &ModelError) -> bool {
    match error {
        ModelError::NoJourneys
        | ModelError::NoConversions
        | ModelError::NoNonConversions
        | ModelError::NotIdentifiable { .. }
        | ModelError::NameNotIdentifiable { .. } => true,
        ModelError::UnknownChannel { .. }
        | ModelError::TooManyChannels { .. }
        | ModelError::TooManyJourneys
        | ModelError::ValueNotFinite
        | ModelError::OrderOutOfRange { .. }
        | ModelError::LevelOutOfRange { .. }
        | ModelError::CountTooSmall { .. }
        | ModelError::Singular { .. }
        | ModelError::DidNotConverge { .. } => false,
    }
}

fn percentiles(mut sample: Vec<f64>, level: f64) -> Percentiles {
    sample.sort_unstable_by(f64::total_cmp);
    let n = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / n;
    let squares: f64 = sample.iter().map(|x| (x - mean).powi(2)).sum();
    Percentiles {
        low: quantile(&sample, (1.0 - level) / 2.0),
        high: quantile(&sample, f64::midpoint(1.0, level)),
        standard_error: (squares / (n - 1.0)).sqrt(),
    }
}

/// Type 7 of Hyndman and Fan (The American Statistician 50, 1996): linear between the sorted numbers.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = p * (sorted.len() - 1) as f64;
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (at - at.floor())
}

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;
