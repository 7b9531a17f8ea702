//! The noisy-or game of a journey, shared out among its channels by Shapley values.

/// Nodes and weights of Gauss-Legendre quadrature on [0, 1], which integrates polynomials of degree
/// 2 nodes - 1 exactly.
#[derive(Debug, Clone)]
pub struct Quadrature(Vec<(f64, f64)>);

impl Quadrature {
    /// Exact for the integrals of a journey of up to `longest` channels; of 64 from there on, whose error is far
    /// below rounding, for the integrands are smooth.
    pub fn for_sets_of(longest: usize) -> Self {
        Self(gauss_legendre(longest.div_ceil(2).clamp(1, 32)))
    }
}

/// A journey's chance of conversion, 1 - (1 - b) prod (1 - lift_c), taken apart.
///
/// The Shapley value of channel i in the game f(S) - f({}) is, by the integral along the diagonal of the
/// multilinear extension (Owen, "Multilinear extensions of games", Management Science 18, 1972),
///
/// phi_i = (1 - b) lift_i integral over t in [0, 1] of prod over j != i of (1 - t lift_j).
#[derive(Debug, Clone)]
pub struct Decomposition {
    quadrature: Quadrature,
    /// Per node: the product over all members.
    products: Vec<f64>,
    /// The Shapley value of each member, in the order of the last set.
    pub phi: Vec<f64>,
    /// Entry `i * n + k`: the derivative of `phi[i]` by h_k = -ln(1 - lift_k).
    pub by_lift: Vec<f64>,
}

impl Decomposition {
    /// Room for the decomposition of one set after the other.
    pub fn new(quadrature: Quadrature) -> Self {
        Self { quadrature, products: Vec::new(), phi: Vec::new(), by_lift: Vec::new() }
    }

    /// Computes `phi` for a journey whose channels have these lifts, each in [0, 1]; `baseline` is b.
    pub fn decompose(&mut self, baseline: f64, lifts: &[f64]) {
        let nodes = &self.quadrature.0;
        self.products.clear();
        self.products
            .extend(nodes.iter().map(|&(t, _)| lifts.iter().map(|lift| 1.0 - t * lift).product::<f64>()));
        self.phi.clear();
        self.phi.extend(lifts.iter().map(|lift| {
            // Every node is inside (0, 1), so that no factor is 0.
            let terms = nodes.iter().zip(&self.products);
            let integral: f64 =
                terms.map(|(&(t, weight), product)| weight * product / (1.0 - t * lift)).sum();
            (1.0 - baseline) * lift * integral
        }));
    }

    /// Computes `by_lift` as well; the derivative of `phi` by h_0 = -ln(1 - b) is `-phi`.
    pub fn decompose_with_derivatives(&mut self, baseline: f64, lifts: &[f64]) {
        self.decompose(baseline, lifts);
        self.by_lift.clear();
        for (i, &own) in lifts.iter().enumerate() {
            for (k, &other) in lifts.iter().enumerate() {
                let terms = self.quadrature.0.iter().zip(&self.products);
                // d lift / d h = 1 - lift.
                let factor = (1.0 - baseline) * (1.0 - other);
                self.by_lift.push(if i == k {
                    factor * terms.map(|(&(t, w), product)| w * product / (1.0 - t * own)).sum::<f64>()
                } else {
                    let part = terms
                        .map(|(&(t, w), product)| w * t * product / ((1.0 - t * own) * (1.0 - t * other)));
                    -factor * own * part.sum::<f64>()
                });
            }
        }
    }
}

/// Nodes as the roots of the Legendre polynomial, found by Newton's method from Tricomi's approximation, and the
/// weights that belong to them (Abramowitz and Stegun, 25.4.29), moved from [-1, 1] to [0, 1].
fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let node = |k: usize| {
        let mut x = (std::f64::consts::PI * (k as f64 + 0.75) / (n as f64 + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..8 {
            let value;
            (value, slope) = legendre(n, x);
            x -= value / slope;
        }
        (f64::midpoint(1.0, -x), 1.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..n).map(node).collect()
}

/// The Legendre polynomial of degree n >= 1 and its derivative, at x inside (-1, 1).
fn legendre(n: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for k in 2..=n {
        let k = k as f64;
        (before, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k);
    }
    (value, n as f64 * (before - x * value) / (1.0 - x * x))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn f(baseline: f64, lifts: &[f64], coalition: usize) -> f64 {
        let members = lifts.iter().enumerate().filter(|&(k, _)| coalition >> k & 1 == 1);
        1.0 - (1.0 - baseline) * members.map(|(_, lift)| 1.0 - lift).product::<f64>()
    }

    /// The Shapley formula, coalition by coalition.
    fn brute_force(baseline: f64, lifts: &[f64]) -> Vec<f64> {
        let n = lifts.len();
        let factorial = |n: usize| (1..=n).map(|k| k as f64).product::<f64>();
        let value = |i: usize| {
            let without = (0..1_usize << n).filter(|coalition| coalition >> i & 1 == 0);
            let term = |coalition: usize| {
                let s = coalition.count_ones() as usize;
                let weight = factorial(s) * factorial(n - 1 - s) / factorial(n);
                weight * (f(baseline, lifts, coalition | 1 << i) - f(baseline, lifts, coalition))
            };
            without.map(term).sum()
        };
        (0..n).map(value).collect()
    }

    fn phi(baseline: f64, lifts: &[f64]) -> Vec<f64> {
        let mut decomposition = Decomposition::new(Quadrature::for_sets_of(lifts.len()));
        decomposition.decompose(baseline, lifts);
        decomposition.phi
    }

    #[test]
    fn quadrature_is_exact_for_its_polynomials() {
        for n in [1, 2, 5, 16, 32] {
            for degree in 0..2 * n {
                let sum: f64 =
                    gauss_legendre(n).iter().map(|&(t, weight)| weight * t.powi(degree as i32)).sum();
                assert!((sum * f64::from(degree as u32 + 1) - 1.0).abs() < 1e-12, "{n} {degree}");
            }
        }
    }

    #[test]
    fn sets_beyond_the_exact_ones_still_sum_up() {
        let lifts: Vec<f64> = (0..300).map(|k| f64::from(k % 10) / 10.0).collect();
        let sum: f64 = phi(0.1, &lifts).iter().sum();
        assert!((sum - 0.9).abs() < 1e-12, "{sum}");
    }

    proptest! {
        #[test]
        fn the_integral_is_the_shapley_value(baseline in 0.0..1.0, lifts in prop::collection::vec(0.0..=1.0, 1..10)) {
            for (ours, expected) in phi(baseline, &lifts).iter().zip(brute_force(baseline, &lifts)) {
                prop_assert!((ours - expected).abs() < 1e-13);
            }
        }

        #[test]
        fn baseline_and_channels_sum_to_the_chance_of_conversion(
            baseline in 0.0..1.0, lifts in prop::collection::vec(0.0..=1.0, 0..40),
        ) {
            let all = 1.0 - (1.0 - baseline) * lifts.iter().map(|lift| 1.0 - lift).product::<f64>();
            prop_assert!((baseline + phi(baseline, &lifts).iter().sum::<f64>() - all).abs() < 1e-12);
        }

        #[test]
        fn derivatives_are_those_of_small_steps(
            baseline in 0.0..0.9, lifts in prop::collection::vec(0.0..0.9, 1..7), k in 0_usize..7,
        ) {
            let (n, k) = (lifts.len(), k % lifts.len());
            let mut decomposition = Decomposition::new(Quadrature::for_sets_of(n));
            decomposition.decompose_with_derivatives(baseline, &lifts);
            let step = 1e-6;
            let moved = |by: f64| {
                let mut lifts = lifts.clone();
                lifts[k] = 1.0 - (1.0 - lifts[k]) * f64::exp(-by);
                phi(baseline, &lifts)
            };
            for (i, (high, low)) in moved(step).iter().zip(moved(-step)).enumerate() {
                prop_assert!((decomposition.by_lift[i * n + k] - (high - low) / (2.0 * step)).abs() < 1e-8);
            }
        }
    }
}
