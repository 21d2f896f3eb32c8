//! What every algorithm asks of a symmetric matrix before it starts: finite entries, and symmetry up to rounding.

use faer::MatRef;

/// Asymmetry, residual and orthogonality must be within `TOLERANCE · ε · P`.
pub(crate) const TOLERANCE: f64 = 10.0;

/// What keeps a square matrix from being finite and symmetric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Defect {
    /// An entry is infinite or NaN.
    NotFinite { row: usize, column: usize, value: f64 },
    /// `‖A − Aᵀ‖/‖A‖` exceeds the tolerance; entry and mirror image where they differ most.
    Asymmetric { asymmetry: f64, tolerance: f64, row: usize, column: usize, value: f64, mirror: f64 },
}

/// `‖A‖` (Frobenius) of a square `A` that is finite and satisfies `‖A − Aᵀ‖ ≤ tolerance·‖A‖`.
///
/// Entries are squared after division by a power of two, so that neither tiny nor huge ones leave the range of doubles.
pub(crate) fn symmetric_norm(A: MatRef<'_, f64>, tolerance: f64) -> Result<f64, Defect> {
    let mut largest = 0.0_f64;
    for column in 0..A.ncols() {
        for row in 0..A.nrows() {
            let value = A[(row, column)];
            if !value.is_finite() {
                return Err(Defect::NotFinite { row, column, value });
            }
            largest = largest.max(value.abs());
        }
    }
    let scale = power_of_two_near(largest);
    let (mut squared, mut difference) = (0.0, 0.0);
    let (mut worst, mut at) = (0.0, (0, 0));
    for column in 0..A.ncols() {
        let diagonal = A[(column, column)] / scale;
        squared += diagonal * diagonal;
        for row in column + 1..A.nrows() {
            let (x, y) = (A[(row, column)] / scale, A[(column, row)] / scale);
            squared += x * x + y * y;
            let gap = (x - y).abs();
            difference += 2.0 * gap * gap;
            if gap > worst {
                (worst, at) = (gap, (row, column));
            }
        }
    }
    let asymmetry = if squared == 0.0 { 0.0 } else { (difference / squared).sqrt() };
    if asymmetry > tolerance {
        let (row, column) = at;
        let (value, mirror) = (A[(row, column)], A[(column, row)]);
        return Err(Defect::Asymmetric { asymmetry, tolerance, row, column, value, mirror });
    }
    Ok(scale * squared.sqrt())
}

/// The power of two at or below `x > 0`, kept where neither it nor its inverse leaves the normal doubles; 1 for 0.
pub(crate) fn power_of_two_near(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { 2_f64.powi(x.log2().floor().clamp(-1_000.0, 1_000.0) as i32) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;

    #[test]
    fn neither_norm_nor_asymmetry_depends_on_the_scale() {
        for scale in [1.0, 1e-200, 1e200] {
            let A = faer::mat![[3.0, 1.0], [1.0, 5.0]] * faer::Scale(scale);
            let norm = symmetric_norm(A.as_ref(), 1e-14).unwrap();
            assert!((norm / scale - 6.0).abs() < 1e-14);
            let A = faer::mat![[3.0, 1.0], [2.0, 5.0]] * faer::Scale(scale);
            let Err(Defect::Asymmetric { asymmetry, row, column, value, mirror, .. }) =
                symmetric_norm(A.as_ref(), 1e-14)
            else {
                panic!("accepted an asymmetric matrix at scale {scale:e}");
            };
            assert!((asymmetry - (2.0 / 39.0_f64).sqrt()).abs() < 1e-14);
            assert_eq!((row, column, value / scale, mirror / scale), (1, 0, 2.0, 1.0));
        }
        assert_eq!(symmetric_norm(Mat::zeros(3, 3).as_ref(), 1e-14), Ok(0.0));
    }
}
