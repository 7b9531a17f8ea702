//! Seeded random numbers: the same on every machine, in every thread, in every order of asking.

/// A splitmix64 generator (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
///
/// A stream depends on its seed and its two counters only: replicate 7 can be drawn without replicates 0 to 6.
#[derive(Debug, Clone)]
pub struct Random(u64);

/// The increment of splitmix64: 2^64 over the golden ratio, odd.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
/// Poisson counts of smaller means are drawn by inversion.
const FEW: u64 = 30;

impl Random {
    /// The stream of a seed and two counters, say the replicate and the path.
    pub fn stream(seed: u64, outer: u64, inner: u64) -> Self {
        let outer = mix(mix(seed.wrapping_add(GAMMA)).wrapping_add(outer.wrapping_mul(GAMMA)));
        Self(mix(outer.wrapping_add(inner.wrapping_mul(GAMMA))))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// Uniform in [0, 1), in steps of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in `0..n`, for n > 0, without bias (Lemire, "Fast random integer generation in an interval", ACM
    /// TOMACS 29, 2019).
    pub fn below(&mut self, n: u64) -> u64 {
        let reject = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            if product as u64 >= reject {
                return (product >> 64) as u64;
            }
        }
    }

    /// Puts items into an order drawn uniformly from all (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for k in (1..items.len()).rev() {
            items.swap(k, self.below(k as u64 + 1) as usize);
        }
    }

    /// How many of `n` fall on heads: a binomial count of probability one half, by counting `n` random bits.
    pub fn half_of(&mut self, n: u64) -> u64 {
        let whole: u64 = (0..n / 64).map(|_| u64::from(self.bits().count_ones())).sum();
        whole + u64::from((self.bits() & ((1 << (n % 64)) - 1)).count_ones())
    }

    /// A Poisson count of the given mean, exact to the precision of its log-probabilities (some 1e-10).
    pub fn poisson(&mut self, mean: u64) -> u64 {
        match mean {
            0 => 0,
            1..FEW => self.poisson_by_inversion(mean as f64),
            _ => self.poisson_by_rejection(mean as f64),
        }
    }

    /// Walks up the distribution function until it passes one uniform number.
    fn poisson_by_inversion(&mut self, mean: f64) -> u64 {
        let mut left = self.unit();
        let mut p = (-mean).exp();
        let mut count = 0;
        // The terms vanish in an f64 far above any count that has a chance.
        while left >= p && p > 0.0 {
            left -= p;
            count += 1;
            p *= mean / count as f64;
        }
        count
    }

    /// PTRS: transformed rejection with squeeze (Hörmann, "The transformed rejection method for generating Poisson
    /// random variables", Insurance: Mathematics and Economics 12, 1993), for means from 10.
    fn poisson_by_rejection(&mut self, mean: f64) -> u64 {
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.024_83 * b;
        let inverse_alpha = 1.123_9 + 1.132_8 / (b - 3.4);
        let v_r = 0.927_7 - 3.622_4 / (b - 2.0);
        loop {
            let u = self.unit() - 0.5;
            let v = 1.0 - self.unit();
            let us = 0.5 - u.abs();
            let count = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            if us >= 0.07 && v <= v_r {
                return count as u64;
            }
            if count < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let log_density = count * mean.ln() - mean - ln_factorial(count);
            if (v * inverse_alpha / (a / (us * us) + b)).ln() <= log_density {
                return count as u64;
            }
        }
    }
}

/// ln(n!): Stirling's series with three terms from 10 (its error is below 1e-10 there), a product below.
fn ln_factorial(n: f64) -> f64 {
    if n < 10.0 {
        return (2..=n as u32).map(f64::from).product::<f64>().ln();
    }
    let series = 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3)) + 1.0 / (1260.0 * n.powi(5));
    (n + 0.5) * n.ln() - n + 0.5 * std::f64::consts::TAU.ln() + series
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_its_published_numbers() {
        let mut random = Random(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn ln_factorial_is_that_of_the_product() {
        let mut product = 0.0;
        for n in 1..200 {
            product += f64::from(n).ln();
            assert!((ln_factorial(f64::from(n)) - product).abs() < 1e-9, "{n}");
        }
    }

    #[test]
    fn poisson_counts_follow_their_distribution() {
        // A chi-squared test on the cells with at least 5 expected counts, at about 5 standard deviations.
        for mean in [1, 4, 29, 30, 100, 1_000] {
            let draws = 100_000;
            let mut random = Random::stream(5, mean, 0);
            let mut seen = vec![0.0; 3_000];
            (0..draws).for_each(|_| seen[random.poisson(mean) as usize] += 1.0);
            let (mut chi_squared, mut cells) = (0.0, 0.0);
            for (count, seen) in seen.iter().enumerate() {
                let n = count as f64;
                let expected =
                    f64::from(draws) * (n * (mean as f64).ln() - mean as f64 - ln_factorial(n)).exp();
                if expected >= 5.0 {
                    chi_squared += (seen - expected).powi(2) / expected;
                    cells += 1.0;
                }
            }
            let deviations = (chi_squared - cells) / f64::sqrt(2.0 * cells);
            assert!(deviations.abs() < 5.0, "mean {mean}: {deviations}");
        }
    }

    #[test]
    fn large_poisson_means_keep_mean_and_variance() {
        let mean = 10_000_000_000;
        let mut random = Random::stream(1, 2, 3);
        let scaled: Vec<f64> =
            (0..20_000).map(|_| (random.poisson(mean) as f64 - mean as f64) / 1e5).collect();
        let average = scaled.iter().sum::<f64>() / 20_000.0;
        let variance = scaled.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(average.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{average} {variance}");
    }

    #[test]
    fn halves_have_the_mean_and_variance_of_coin_tosses() {
        for n in [0, 1, 63, 64, 200] {
            let mut random = Random::stream(7, n, 0);
            let halves: Vec<f64> = (0..20_000).map(|_| random.half_of(n) as f64 - n as f64 / 2.0).collect();
            let variance = n as f64 / 4.0;
            let mean = halves.iter().sum::<f64>() / 20_000.0;
            let squares = halves.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
            assert!(mean.abs() <= 5.0 * (variance / 20_000.0).sqrt(), "{n} {mean}");
            assert!((squares - variance).abs() <= 0.06 * variance, "{n} {squares}");
        }
    }

    #[test]
    fn below_and_shuffle_are_even() {
        let mut random = Random::stream(9, 0, 0);
        let mut seen = [[0_i32; 3]; 3];
        for _ in 0..30_000 {
            let mut items = [0, 1, 2];
            random.shuffle(&mut items);
            items.iter().enumerate().for_each(|(place, &item)| seen[place][item] += 1);
        }
        assert!(seen.iter().flatten().all(|count| (count - 10_000).abs() < 400), "{seen:?}");
        assert!((0..1_000).all(|_| random.below(7) < 7));
    }

    #[test]
    fn streams_differ_and_repeat() {
        let first = |seed, outer, inner| Random::stream(seed, outer, inner).bits();
        assert_eq!(first(1, 2, 3), first(1, 2, 3));
        let mut seen: Vec<u64> = (0..1000).map(|k| first(k / 100, k / 10 % 10, k % 10)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1000);
    }
}
