//! Per-sample Hessians of chosen samples, and the alignment of their eigenvectors with a basis.

use crate::{AnalysedLayer, FactoredEigenpairs, PerSampleHessian};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

/// Directions a step: `V_i a` of all samples is held for this many.
const PANEL: usize = 128;

/// `h_p` of the samples `of`, in factored form.
///
/// # Panics
/// When there is no such sample.
#[track_caller]
pub fn per_sample_hessians(layer: &AnalysedLayer, of: &[usize]) -> Vec<PerSampleHessian> {
    let mut curvatures = layer.curvatures();
    let hessian = |&p: &usize| {
        let sample = curvatures.at(p);
        PerSampleHessian::new(sample.S.to_owned(), sample.a.to_vec())
    };
    of.iter().map(hessian).collect()
}

/// `Y = (u_m^{(p)}·v_i)²` for every column `v_i` of an orthonormal `V` (`P × k`) and every eigenvector of all samples,
/// sample after sample as columns: `k × n_pairs`.
///
/// With `u_m = t_m ⊗ a/‖a‖` this is `(t_mᵀ V_i a/‖a‖)²`, `V_i` the `d_out × d_in` matrix of `v_i`: `2NPk` flops for all
/// `V_i a` as one product, and no eigenvector of length `P` is formed. Bit-identical for any number of threads.
///
/// # Panics
/// When `V` has not `P` rows, or samples differ in shape.
#[track_caller]
pub fn alignments(spectra: &[FactoredEigenpairs], V: MatRef<'_, f64>) -> Mat<f64> {
    let n_pairs = spectra.iter().map(|pairs| pairs.kappa.len()).sum();
    let mut Y = Mat::zeros(V.ncols(), n_pairs);
    let Some(first) = spectra.first() else { return Y };
    let (d_out, d_in) = (first.t.nrows(), first.direction.len());
    assert!(
        spectra.iter().all(|pairs| pairs.t.nrows() == d_out && pairs.direction.len() == d_in),
        "samples of one layer"
    );
    assert_eq!(V.nrows(), d_out * d_in, "V has P rows");
    let directions = Mat::from_fn(d_in, spectra.len(), |i, p| spectra[p].direction[i]);
    let panels: Vec<_> = Y.as_mut().par_row_chunks_mut(PANEL).collect();
    panels.into_par_iter().enumerate().for_each(|(panel, mut Y)| {
        let n = Y.nrows();
        // Entry (o, i) of v_k stands at o·d_in + i, so each column of V is a d_in × d_out matrix, column by column.
        let block =
            Mat::from_fn(d_in, d_out * n, |i, column| V[(column % d_out * d_in + i, panel * PANEL + column / d_out)]);
        // Column p: V_k a_p/‖a_p‖ of all directions k of the panel, one after the other.
        let mut images = Mat::zeros(d_out * n, spectra.len());
        matmul(images.as_mut(), Accum::Replace, block.transpose(), &directions, 1.0, Par::Seq);
        let mut pair = 0;
        for (p, FactoredEigenpairs { t, .. }) in spectra.iter().enumerate() {
            let images = MatRef::from_column_major_slice(images.col_as_slice(p), d_out, n);
            let mut cosines = Y.as_mut().subcols_mut(pair, t.ncols());
            matmul(cosines.as_mut(), Accum::Replace, images.transpose(), t, 1.0, Par::Seq);
            pair += t.ncols();
        }
        for column in Y.as_mut().col_iter_mut() {
            column.iter_mut().for_each(|cosine| *cosine *= *cosine);
        }
    });
    Y
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn alignments_are_squared_cosines() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (d_out, d_in, k) = (5, 4, 300);
        let mut spectra = Vec::new();
        for rank in [2, 5, 0, 1] {
            let factor = Mat::from_fn(d_out, rank, |_, _| rng.random::<f64>() - 0.5);
            let S = &factor * factor.transpose();
            let a = (0..d_in).map(|_| rng.random::<f64>()).collect();
            spectra.push(PerSampleHessian::new(S, a).eigenpairs());
        }
        let V = Mat::from_fn(d_out * d_in, k, |_, _| rng.random::<f64>() - 0.5);
        let Y = alignments(&spectra, V.as_ref());
        assert_eq!((Y.nrows(), Y.ncols()), (k, 8));
        let mut pair = 0;
        for pairs in &spectra {
            for m in 0..pairs.kappa.len() {
                let u = pairs.eigenvector(m);
                for i in 0..k {
                    let cosine: f64 = u.iter().zip(V.col_as_slice(i)).map(|(u, v)| u * v).sum();
                    assert!((Y[(i, pair)] - cosine * cosine).abs() < 1e-14);
                }
                pair += 1;
            }
        }
        assert_eq!(alignments(&[], V.as_ref()).ncols(), 0);
    }
}
