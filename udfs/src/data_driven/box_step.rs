//! The best step of Newton's method within bounds.

use faer::Mat;
use faer::linalg::solvers::Solve;

use super::error::ModelError;

/// The edge of the box at which a coordinate is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Low,
    High,
}

/// Maximises g'd - d'Hd / 2 over the box `low[i] <= d[i] <= high[i]`, which contains 0.
///
/// `curvature` is H, n by n, symmetric and positive semidefinite. A coordinate without curvature goes to the edge it
/// is drawn to. Coordinates that would leave the box are held at its edge and the others solved again (by LU); the
/// one that most wants back is released, until none does. Refuses numbers that are not finite.
pub fn box_step(
    gradient: &[f64],
    curvature: &Mat<f64>,
    low: &[f64],
    high: &[f64],
) -> Result<Vec<f64>, ModelError> {
    let n = gradient.len();
    let mut held: Vec<Option<Edge>> = vec![None; n];
    for _ in 0..10 * n + 10 {
        let mut step: Vec<f64> = (0..n)
            .map(|i| match held[i] {
                Some(Edge::Low) => low[i],
                Some(Edge::High) => high[i],
                None => 0.0,
            })
            .collect();
        let free: Vec<usize> = (0..n).filter(|&i| held[i].is_none()).collect();
        let slope = slope(gradient, curvature, &step);
        let mut inside = true;
        for (&i, wanted) in free.iter().zip(solve_free(curvature, &free, &slope)?) {
            step[i] = wanted.clamp(low[i], high[i]);
            if wanted < low[i] || wanted > high[i] {
                held[i] = Some(if wanted < low[i] { Edge::Low } else { Edge::High });
                inside = false;
            }
        }
        if inside {
            match most_misplaced(gradient, curvature, &step, &held) {
                Some(i) => held[i] = None,
                None => return Ok(step),
            }
        }
    }
    // The choice of whom to hold went in circles. H is at most n times its diagonal, so that a short step along each
    // coordinate gains as well.
    let short = |i: usize| {
        let wanted = gradient[i] / (n as f64 * (curvature[(i, i)] + f64::MIN_POSITIVE));
        wanted.clamp(low[i], high[i])
    };
    Ok((0..n).map(short).collect())
}

/// Solves for the coordinates that are not held.
fn solve_free(curvature: &Mat<f64>, free: &[usize], slope: &[f64]) -> Result<Vec<f64>, ModelError> {
    // Enough for a system without curvature in some direction to have a solution, which is then far outside.
    let least = 1e-12 * free.iter().map(|&i| curvature[(i, i)]).fold(1.0, f64::max);
    let n = free.len();
    let mut system = Mat::from_fn(n, n, |i, j| curvature[(free[i], free[j])]);
    for i in 0..n {
        system[(i, i)] += least + 1e-12 * system[(i, i)];
    }
    let mut solved = Mat::from_fn(n, 1, |i, _| slope[free[i]]);
    system.partial_piv_lu().solve_in_place(solved.as_mut());
    let solved: Vec<f64> = (0..n).map(|i| solved[(i, 0)]).collect();
    if solved.iter().all(|x| x.is_finite()) {
        Ok(solved)
    } else {
        Err(ModelError::Singular { what: "a newton step" })
    }
}

/// The held coordinate that would gain most by leaving its edge, if any would gain.
fn most_misplaced(
    gradient: &[f64],
    curvature: &Mat<f64>,
    step: &[f64],
    held: &[Option<Edge>],
) -> Option<usize> {
    let slope = slope(gradient, curvature, step);
    let gain = |i: usize| match held[i] {
        Some(Edge::Low) => slope[i],
        Some(Edge::High) => -slope[i],
        None => 0.0,
    };
    let gains = (0..step.len()).map(|i| (i, gain(i)));
    let misplaced = gains.filter(|&(i, gain)| gain > 1e-9 * (1.0 + gradient[i].abs()));
    misplaced.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
}

/// g - Hd.
fn slope(gradient: &[f64], curvature: &Mat<f64>, step: &[f64]) -> Vec<f64> {
    let bend = |i: usize| step.iter().enumerate().map(|(j, step)| curvature[(i, j)] * step).sum::<f64>();
    gradient.iter().enumerate().map(|(i, gradient)| gradient - bend(i)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_coordinate_without_curvature_goes_to_its_edge() {
        let curvature = Mat::from_fn(2, 2, |i, j| if i == 0 && j == 0 { 4.0 } else { 0.0 });
        let step = box_step(&[2.0, -3.0], &curvature, &[-1.0, -0.7], &[1.0, 9.0]).unwrap();
        assert!((step[0] - 0.5).abs() < 1e-9 && (step[1] + 0.7).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn no_coordinate_gains_by_moving_inside_the_box(
            factors in prop::collection::vec(prop::collection::vec(-1.0..1.0, 5), 1..9),
            gradient in prop::collection::vec(-3.0..3.0, 5),
            edges in prop::collection::vec((0.0..1.0, 0.0..1.0), 5),
        ) {
            let curvature = Mat::from_fn(5, 5, |i, j| {
                factors.iter().map(|row| row[i] * row[j]).sum::<f64>() + f64::from(u8::from(i == j)) * 0.1
            });
            let low: Vec<f64> = edges.iter().map(|edge: &(f64, f64)| -edge.0).collect();
            let high: Vec<f64> = edges.iter().map(|edge| edge.1).collect();
            let step = box_step(&gradient, &curvature, &low, &high).unwrap();
            for (i, slope) in slope(&gradient, &curvature, &step).into_iter().enumerate() {
                prop_assert!(low[i] <= step[i] && step[i] <= high[i]);
                prop_assert!(slope < 1e-7 || step[i] >= high[i], "up at {}: {}", i, slope);
                prop_assert!(slope > -1e-7 || step[i] <= low[i], "down at {}: {}", i, slope);
            }
        }
    }
}
