//! Tail probabilities and quantiles of Student's `t` and of the normal distribution, for p-values and intervals.

/// `P(|T| ≥ |t|)` for Student's `t` with `degrees` degrees of freedom at `t = r √(degrees/(1 − r²))`.
///
/// Equals the regularised incomplete beta function `I_{1−r²}(degrees/2, 1/2)`.
pub(crate) fn two_sided(degrees: usize, r: f64) -> f64 {
    // Each of the two without cancellation: neither is one minus the other in floating point.
    let (rest, square) = ((1.0 - r) * (1.0 + r), r * r);
    if rest <= 0.0 {
        return 0.0;
    }
    if square == 0.0 {
        return 1.0;
    }
    let a = degrees as f64 / 2.0;
    let front = (a * rest.ln() + 0.5 * square.ln() - ln_beta_half(degrees)).exp();
    // The fraction converges fast on one side of the mean of the beta distribution; the other side goes by complement.
    if rest < (a + 1.0) / (a + 2.5) {
        front * beta_fraction(a, 0.5, rest) / a
    } else {
        1.0 - front * beta_fraction(0.5, a, square) / 0.5
    }
}

/// `t > 0` with `P(|T| ≥ t) = p`, `0 < p < 1`: 12.7 for one degree and `p = 0.05`, 1.96 for many.
pub(crate) fn two_sided_quantile(degrees: usize, p: f64) -> f64 {
    // The tail falls from 1 to 0 as r goes from 0 to 1. In u = 1 − r, halved where the tail is far out, neither end
    // loses digits.
    let tail = |u: f64| two_sided(degrees, 1.0 - u);
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if tail(middle) < p { low = middle } else { high = middle }
    }
    let u = 0.5 * (low + high);
    (1.0 - u) * (degrees as f64 / (u * (2.0 - u))).sqrt()
}

/// `z > 0` with `P(|Z| ≥ z) = p` for a standard normal `Z`, `1e-12 < p < 1`.
pub(crate) fn normal_two_sided_quantile(p: f64) -> f64 {
    // P(|Z| < z) = √(2/π) e^(−z²/2) (z + z³/3 + z⁵/(3·5) + …), all terms positive.
    let inside = |z: f64| {
        let (mut term, mut sum, mut odd) = (z, z, 1.0);
        while term > sum * f64::EPSILON {
            odd += 2.0;
            term *= z * z / odd;
            sum += term;
        }
        std::f64::consts::FRAC_2_PI.sqrt() * (-0.5 * z * z).exp() * sum
    };
    let (mut low, mut high) = (0.0, 8.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if inside(middle) < 1.0 - p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// `ln B(degrees/2, 1/2)`, from `B(1/2, 1/2) = π` or `B(1, 1/2) = 2` upward by `B(a+1, 1/2) = B(a, 1/2)·a/(a + 1/2)`.
fn ln_beta_half(degrees: usize) -> f64 {
    let (first, start): (f64, usize) = if degrees % 2 == 1 { (std::f64::consts::PI, 1) } else { (2.0, 2) };
    let steps = (start..degrees).step_by(2).map(|twice_a| {
        // ln(a/(a + 1/2)) with a = twice_a/2.
        -(1.0 / twice_a as f64).ln_1p()
    });
    first.ln() + steps.sum::<f64>()
}

/// The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Lentz's forward
/// recurrence.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const MAX_TERMS: usize = 10_000;
    let away_from_zero = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for term in 1..MAX_TERMS {
        let m = term as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for coefficient in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + coefficient * d);
            c = away_from_zero(1.0 + coefficient / c);
            change = c * d;
            value *= change;
        }
        if (change - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden values: scipy 1.17.1, `2*t.sf(|r|*sqrt((n-2)/((1-r)*(1+r))), n-2)`.
    #[test]
    fn agrees_with_scipy() {
        let cases: [(f64, usize, f64); 8] = [
            (0.5, 3, 0.666_666_666_666_666_6),
            (0.9, 4, 0.1),
            (0.01, 2500, 0.617_242_362_551_558),
            (0.99, 50, 1.720_759_226_501_095_7e-42),
            (-0.3, 101, 0.002_303_965_712_690_078),
            (0.6, 2500, 2.205_100_312_015_098_5e-244),
            (0.0, 10, 1.0),
            (0.999_999, 12, 7.874_986_876_140_683e-30),
        ];
        for (r, n, expected) in cases {
            let found = two_sided(n - 2, r);
            assert!((found / expected - 1.0).abs() < 1e-10, "r {r}, n {n}: found {found}, expected {expected}");
        }
    }

    /// Golden values: scipy 1.17.1, `t.ppf(1 - p/2, df)`.
    #[test]
    fn quantiles_agree_with_scipy() {
        let cases = [
            (1, 0.05, 12.706_204_736_174_694),
            (3, 0.05, 3.182_446_305_283_707_8),
            (10, 0.01, 3.169_272_672_616_95),
            (998, 0.05, 1.962_343_846_216_334_3),
        ];
        for (degrees, p, expected) in cases {
            let found = two_sided_quantile(degrees, p);
            assert!((found / expected - 1.0).abs() < 1e-10, "{degrees} degrees, p {p}: found {found}");
        }
        for (p, expected) in
            [(0.05, 1.959_963_984_540_054), (0.5, 0.674_489_750_196_081_7), (1e-6, 4.891_638_475_699_411)]
        {
            assert!((normal_two_sided_quantile(p) / expected - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn two_degrees_have_a_closed_form() {
        // With two degrees of freedom the density of r is flat: P(|R| ≥ r) = 1 − |r|.
        for r in [0.001, 0.1, 0.5, 0.9, 0.999] {
            assert!((two_sided(2, r) - (1.0 - r)).abs() < 1e-14);
        }
    }
}
