//! Spectra of every sample's Hessian, seen along given vectors: what bounds its second moment, and what its curvature
//! has to do with its alignment (`MATH §6`).

use crate::{PerSampleHessian, alignments, range_eigen};
use faer::{Mat, MatRef};
use std::ops::{ControlFlow, Range};

/// Samples whose eigenpairs are held at a time. A listener is heard after each block.
const BLOCK: usize = 128;

/// Eigenpairs `(κ_m, u_m)` of all `h_p`, seen along `K` vectors `v_i`.
///
/// With [`DiagonalsAlong`](crate::DiagonalsAlong) of the same vectors it has both sides of
/// `(vᵀHv)² ≤ vᵀM₂v ≤ κ_max · vᵀE_p[|h_p|]v`. No penalty of an objective is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct SpectraAlong {
    /// `κ_max = max_p ‖h_p‖`, the spectral norm.
    pub kappa_max: f64,
    /// The first sample that has it.
    pub largest: usize,
    /// `v_iᵀE_p[|h_p|]v_i = E_p[Σ_m |κ_m|(u_m·v_i)²]`.
    pub absolute: Vec<f64>,
    /// Of the samples that were asked for, in that order.
    pub samples: Vec<SampleSpectrum>,
}

/// The eigenpairs of one sample's Hessian that are not zero, by descending `|κ|`.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleSpectrum {
    /// Which sample.
    pub sample: usize,
    /// `κ_m`, of either sign.
    pub kappa: Vec<f64>,
    /// `(u_m·v_i)²`, `K ×` number of pairs.
    pub alignment: Mat<f64>,
}

/// Eigenpairs of the samples of a block, one after the other: `κ`, and all alignments side by side as columns.
pub(crate) type Block = (Vec<Vec<f64>>, Mat<f64>);

/// Goes through `N` samples in blocks, of which `block` has the eigenpairs along `K` vectors. `listen` hears how many
/// more samples are done; `None` if it breaks.
pub(crate) fn spectra_along<E>(
    (N, K): (usize, usize),
    keep: &[usize],
    mut listen: impl FnMut(usize) -> ControlFlow<()>,
    mut block: impl FnMut(Range<usize>) -> Result<Block, E>,
) -> Result<Option<SpectraAlong>, E> {
    let mut found = SpectraAlong { kappa_max: 0.0, largest: 0, absolute: vec![0.0; K], samples: Vec::new() };
    for first in (0..N).step_by(BLOCK) {
        let samples = first..N.min(first + BLOCK);
        let (kappa, alignment) = block(samples.clone())?;
        let mut pair = 0;
        for (sample, kappa) in samples.clone().zip(kappa) {
            let alignment = alignment.subcols(pair, kappa.len());
            for (kappa, column) in kappa.iter().zip(alignment.col_iter()) {
                if kappa.abs() > found.kappa_max {
                    (found.kappa_max, found.largest) = (kappa.abs(), sample);
                }
                found.absolute.iter_mut().zip(column.iter()).for_each(|(sum, y)| *sum += kappa.abs() * y);
            }
            pair += kappa.len();
            if keep.contains(&sample) {
                found.samples.push(SampleSpectrum { sample, alignment: alignment.to_owned(), kappa });
            }
        }
        if listen(samples.len()).is_break() {
            return Ok(None);
        }
    }
    found.absolute.iter_mut().for_each(|sum| *sum /= N as f64);
    let place = |sample: usize| keep.iter().position(|&kept| kept == sample);
    found.samples.sort_by_key(|spectrum| place(spectrum.sample));
    Ok(Some(found))
}

/// Of samples with `h_p = S_p ⊗ a_p a_pᵀ`.
pub(crate) fn of_products(products: &[PerSampleHessian], V: MatRef<'_, f64>) -> Block {
    use rayon::prelude::*;
    let spectra: Vec<_> = products.par_iter().map(PerSampleHessian::eigenpairs).collect();
    let Y = alignments(&spectra, V);
    (spectra.into_iter().map(|pairs| pairs.kappa).collect(), Y)
}

/// Of single samples' `κ` and alignments.
pub(crate) fn side_by_side(K: usize, samples: Vec<(Vec<f64>, Mat<f64>)>) -> Block {
    let mut Y = Mat::zeros(K, samples.iter().map(|(kappa, _)| kappa.len()).sum());
    let mut pair = 0;
    for (kappa, of_sample) in &samples {
        Y.as_mut().subcols_mut(pair, kappa.len()).copy_from(of_sample);
        pair += kappa.len();
    }
    (samples.into_iter().map(|(kappa, _)| kappa).collect(), Y)
}

/// `κ` and `(u_m·v_i)²` of `h = Q B Qᵀ` with orthonormal `Q`, from `QᵀV` (a column a vector `v_i`) and `B`, which is
/// symmetric up to rounding: `u_m = Q w_m` for eigenvectors `w_m` of `B`.
pub(crate) fn in_orthonormal(QV: &Mat<f64>, B: &Mat<f64>) -> (Vec<f64>, Mat<f64>) {
    let symmetric = Mat::from_fn(B.nrows(), B.ncols(), |i, j| 0.5 * B[(i, j)] + 0.5 * B[(j, i)]);
    let (kappa, w) = range_eigen(symmetric.as_ref());
    let mut Y = QV.transpose() * &w;
    for column in Y.as_mut().col_iter_mut() {
        column.iter_mut().for_each(|cosine| *cosine *= *cosine);
    }
    (kappa, Y)
}

/// `κ` and `(u_m·v_i)²` of `h = U C Uᵀ`: with `U = Q R`, of `Q (R C Rᵀ) Qᵀ`, whatever the rank of `U`.
pub(crate) fn of_factors(U: MatRef<'_, f64>, C: MatRef<'_, f64>, V: MatRef<'_, f64>) -> (Vec<f64>, Mat<f64>) {
    let qr = U.qr();
    let (Q, R) = (qr.compute_thin_Q(), qr.thin_R());
    in_orthonormal(&(Q.transpose() * V), &(R * C * R.transpose()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PositionFactors;
    use faer::Side;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const GO_ON: fn(usize) -> ControlFlow<()> = |_| ControlFlow::Continue(());

    /// Indefinite `S_p`, positions that repeat (so that activities are dependent), a sample without activity; `h_p`.
    fn factors([N, T, d_in, d_out]: [usize; 4]) -> (PositionFactors, Vec<Mat<f64>>) {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let rank = T * d_out;
        let mut a: Vec<f64> = (0..N * T * d_in).map(|_| rng.random::<f64>() - 0.5).collect();
        a[..T * d_in].fill(0.0);
        if T > 1 {
            let first = a[T * d_in..T * d_in + d_in].to_vec();
            a[T * d_in + d_in..T * d_in + 2 * d_in].copy_from_slice(&first);
        }
        let half: Vec<f64> = (0..N * rank * rank).map(|_| rng.random::<f64>() - 0.5).collect();
        let entry = |p: usize, i: usize, j: usize| half[p * rank * rank + i * rank + j];
        let S = |p: usize, i: usize, j: usize| entry(p, i, j) + entry(p, j, i);
        let flat = (0..N * rank * rank).map(|at| S(at / rank / rank, at / rank % rank, at % rank)).collect();
        let dense = |p: usize| {
            Mat::from_fn(d_out * d_in, d_out * d_in, |r, c| {
                let (o, i, q, j) = (r / d_in, r % d_in, c / d_in, c % d_in);
                let a = |t: usize, i: usize| a[(p * T + t) * d_in + i];
                let pairs = (0..T).flat_map(|t| (0..T).map(move |u| (t, u)));
                pairs.map(|(t, u)| S(p, t * d_out + o, u * d_out + q) * a(t, i) * a(u, j)).sum::<f64>()
            })
        };
        let dense = (0..N).map(dense).collect();
        let delta = vec![0.25; N * rank];
        (PositionFactors::new([N, T, d_in, d_out], a, delta, flat).unwrap(), dense)
    }

    #[test]
    fn given_factors_have_the_spectra_of_dense_hessians() {
        // One use; fewer and more positions than inputs; more samples than a block.
        for shape in [[7, 1, 4, 3], [7, 2, 4, 3], [6, 5, 3, 2], [200, 2, 2, 2]] {
            let (factors, dense) = factors(shape);
            let [N, _, d_in, d_out] = shape;
            let mut rng = ChaCha8Rng::seed_from_u64(2);
            let V = Mat::from_fn(d_in * d_out, 5, |_, _| rng.random::<f64>() - 0.5);
            let keep = [N - 1, 0, 2];
            let found = factors.spectra_along(V.as_ref(), &keep, GO_ON).unwrap();
            assert!(factors.spectra_along(V.as_ref(), &keep, |_| ControlFlow::Break(())).is_none());
            holds(&found, &dense, V.as_ref(), &keep);
            let [one, three] = [1, 3].map(|n| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
                pool.install(|| factors.spectra_along(V.as_ref(), &keep, GO_ON))
            });
            assert_eq!(one, three);
        }
    }

    /// Whether they are those of dense eigendecompositions.
    #[track_caller]
    fn holds(found: &SpectraAlong, dense: &[Mat<f64>], V: MatRef<'_, f64>, keep: &[usize]) {
        let mut absolute = Mat::<f64>::zeros(V.nrows(), V.nrows());
        let mut norms = Vec::new();
        for h in dense {
            let eigen = h.self_adjoint_eigen(Side::Lower).unwrap();
            let (U, values) = (eigen.U(), eigen.S().column_vector());
            let scaled = Mat::from_fn(h.nrows(), h.nrows(), |i, m| U[(i, m)] * values[m].abs());
            absolute += scaled * U.transpose();
            norms.push(values.iter().fold(0.0, |most: f64, s| most.max(s.abs())));
        }
        let kappa_max = norms.iter().copied().fold(0.0, f64::max);
        assert!((found.kappa_max - kappa_max).abs() < 1e-13 * kappa_max);
        assert!((norms[found.largest] - kappa_max).abs() < 1e-13 * kappa_max);
        let mut differs = false;
        for (i, v) in V.col_iter().enumerate() {
            let along = |A: &Mat<f64>| v.transpose() * A * v / dense.len() as f64;
            assert!((found.absolute[i] - along(&absolute)).abs() < 1e-13 * kappa_max);
            let mean = dense.iter().map(along).sum::<f64>();
            differs |= (found.absolute[i] - mean).abs() > 0.1 * mean.abs();
        }
        assert!(differs, "E|h| is not H here");
        assert_eq!(found.samples.iter().map(|of| of.sample).collect::<Vec<_>>(), keep);
        for SampleSpectrum { sample, kappa, alignment } in &found.samples {
            let h = &dense[*sample];
            // Both moments along the vectors and the trace of the square: pairs are right and none is missing.
            let squares: f64 = kappa.iter().map(|kappa| kappa * kappa).sum();
            assert!((squares - h.squared_norm_l2()).abs() < 1e-12 * kappa_max * kappa_max);
            assert!(kappa.windows(2).all(|pair| pair[0].abs() >= pair[1].abs()));
            for (i, v) in V.col_iter().enumerate() {
                let sum = |power| (0..kappa.len()).map(|m| kappa[m].powi(power) * alignment[(i, m)]).sum::<f64>();
                assert!((sum(1) - v.transpose() * h * v).abs() < 1e-12 * kappa_max);
                assert!((sum(2) - (h * v).squared_norm_l2()).abs() < 1e-12 * kappa_max * kappa_max);
            }
        }
    }
}
