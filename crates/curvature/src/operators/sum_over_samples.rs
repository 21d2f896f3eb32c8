//! Sums over samples of what passes of blocks give: fixed parts of the samples, fixed blocks of a part, in order.
//!
//! Parts run on the current rayon pool and each adds up sums of its own, which are then added in order. How many parts
//! there are, and how many samples and vectors go through the network together, depends on the network, the selection
//! and the number of samples alone; so the result is the same to the last bit for any number of threads.

use super::MeanLoss;
use faer::{MatMut, MatRef};
use rayon::prelude::*;
use superlinear_nets::{BlockPasses, Directions, EvaluatedBlock, Layer, Samples, Scalar, Shape, Sums};

/// How many of what go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Parts of the samples.
    parts: usize,
    /// Samples of a block.
    block: usize,
    /// Vectors that share products.
    group: usize,
    /// Vectors that share a pass over the samples.
    pub(super) per_pass: usize,
}

/// Parts of the samples …
const PARTS: usize = 8;
/// … unless products are so large that they are split themselves.
const LARGE: usize = 1 << 18;
/// Numbers that the sums of a pass may take: half a GiB of doubles.
const NUMBERS: usize = 1 << 26;
/// Numbers that may be kept of the samples from one product to the next: half a GiB of doubles.
const KEPT: usize = 1 << 26;

impl Layout {
    /// For products over `of`; `alone` asks for one sample at a time.
    pub(super) fn of<T: Scalar, S: Samples<T>>(of: &MeanLoss<'_, T, S>, alone: bool) -> Self {
        let n = of.range.len();
        let images = matches!(of.net.architecture().input_shape(), Shape::Image(_));
        let (block, group) = if images { (4, 4) } else { (128, 8) };
        let block = if alone { 1 } else { block };
        let parts = if !images && of.n_params() >= LARGE { 1 } else { PARTS };
        let parts = parts.min(n.div_ceil(block));
        let per_pass = (NUMBERS / (parts * of.n_params())).max(1);
        let group = group.min(per_pass);
        // Whole groups, so that passes find the sums of the ones before.
        Self { parts, block, group, per_pass: per_pass - per_pass % group }
    }

    /// Numbers that the sums of a pass with `k` vectors take, directions included.
    pub(super) fn numbers(self, n_params: usize, k: usize) -> usize {
        2 * (self.parts + 1) * n_params * k.min(self.per_pass)
    }
}

/// Vectors that go through the network together.
#[derive(Debug)]
pub(super) struct Group<T> {
    /// The first of them among all.
    pub(super) first: usize,
    pub(super) directions: Directions<T>,
}

/// What a part keeps from one product to the next.
#[derive(Debug)]
pub(super) struct Part<'a, T> {
    passes: BlockPasses<'a, T>,
    sums: Vec<Sums<T>>,
    /// All blocks, once they have been evaluated and if they fit.
    blocks: Vec<EvaluatedBlock<T>>,
}

/// Whether what the network gives for the samples is kept for the next pass over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evaluate {
    /// If it fits.
    Once,
    /// There will be no other pass.
    Only,
}

/// Whether a selected layer is a convolution.
pub(super) fn has_convolution<T: Scalar, S: Samples<T>>(of: &MeanLoss<'_, T, S>) -> bool {
    let layers = of.net.architecture().layers();
    of.selection.parameters().iter().any(|parameter| matches!(layers[parameter.layer], Layer::Conv3x3 { .. }))
}

/// Writes `(1/N) Σ_p x_p(v)` for every column `v` of `vectors` to `out`: `add(passes, first, group, sums)` adds the
/// block's part for one group of vectors, `first` being the block's first sample. `kept` is what an earlier call left.
pub(super) fn mean_over_samples<'a, T: Scalar, S: Samples<T>, W>(
    of: &MeanLoss<'a, T, S>,
    layout: Layout,
    vectors: MatRef<'_, T>,
    mut out: MatMut<'_, T>,
    kept: &mut Vec<Part<'a, T>>,
    worker: impl Fn() -> W + Sync,
    add: impl Fn(&mut W, &mut BlockPasses<'a, T>, usize, &Group<T>, &mut Sums<T>) + Sync,
) {
    let mut first = 0;
    while first < vectors.ncols() {
        let n = layout.per_pass.min(vectors.ncols() - first);
        let groups: Vec<Group<T>> = (first..first + n)
            .step_by(layout.group)
            .map(|k| {
                let vectors = vectors.subcols(k, layout.group.min(first + n - k));
                let directions = Directions::new(of.net.architecture(), &of.selection, vectors);
                Group { first: k, directions }
            })
            .collect();
        let counts: Vec<usize> = groups.iter().map(|group| group.directions.n_vectors()).collect();
        let add = |worker: &mut W, passes: &mut BlockPasses<'a, T>, first: usize, sums: &mut [Sums<T>]| {
            for (group, sums) in groups.iter().zip(sums) {
                add(worker, passes, first, group, sums);
            }
        };
        run_parts(of, layout, &counts, kept, Evaluate::Once, &worker, add);
        let mut out = out.as_mut().subcols_mut(first, n);
        collect(of, &counts, kept, out.as_mut());
        first += n;
    }
}

/// `(1/N) Σ_p g_p`.
pub(super) fn gradient_sum<T: Scalar, S: Samples<T>>(of: &MeanLoss<'_, T, S>) -> Vec<T> {
    let mut mean = vec![T::ZERO; of.n_params()];
    let mut parts = Vec::new();
    let add = |_: &mut (), passes: &mut BlockPasses<'_, T>, _, sums: &mut [Sums<T>]| passes.gradient(&mut sums[0]);
    run_parts(of, Layout::of(of, false), &[1], &mut parts, Evaluate::Only, &|| (), add);
    let len = mean.len();
    collect(of, &[1], &parts, MatMut::from_column_major_slice_mut(&mut mean, len, 1));
    mean
}

/// Runs all blocks of all parts.
fn run_parts<'a, T: Scalar, S: Samples<T>, W>(
    of: &MeanLoss<'a, T, S>,
    layout: Layout,
    counts: &[usize],
    parts: &mut Vec<Part<'a, T>>,
    evaluate: Evaluate,
    worker: &(impl Fn() -> W + Sync),
    add: impl Fn(&mut W, &mut BlockPasses<'a, T>, usize, &mut [Sums<T>]) + Sync,
) {
    let architecture = of.net.architecture();
    let n = of.range.len();
    parts.truncate(layout.parts);
    while parts.len() < layout.parts {
        let passes = BlockPasses::new(of.net, &of.selection, layout.block.min(n));
        parts.push(Part { passes, sums: Vec::new(), blocks: Vec::new() });
    }
    parts.par_iter_mut().enumerate().with_max_len(1).for_each(|(c, part)| {
        let same = part.sums.iter().map(Sums::n_vectors).eq(counts.iter().copied());
        if same {
            part.sums.iter_mut().for_each(Sums::clear);
        } else {
            part.sums = counts.iter().map(|&k| Sums::zeros(architecture, &of.selection, k)).collect();
        }
        let mut worker = worker();
        let end = of.range.start + (c + 1) * n / layout.parts;
        let first = of.range.start + c * n / layout.parts;
        let Part { passes, sums, blocks } = part;
        let starts = (first..end).step_by(layout.block);
        if blocks.len() == starts.len() {
            for (first, block) in starts.zip(blocks) {
                passes.with_evaluated(block, |passes| add(&mut worker, passes, first, sums));
            }
            return;
        }
        blocks.clear();
        let keeps = evaluate == Evaluate::Once && n.saturating_mul(passes.numbers_of_a_sample()) <= KEPT;
        let mut labels = Vec::with_capacity(layout.block);
        for first in starts {
            labels.clear();
            labels.extend((first..end.min(first + layout.block)).map(|p| of.samples.label(p)));
            passes.evaluate(&labels, of.loss, |p, input| of.samples.write_input(first + p, input));
            if keeps {
                blocks.push(passes.evaluated());
            }
            add(&mut worker, passes, first, sums);
        }
    });
}

/// Sums of all parts, in order, divided by `N`.
fn collect<T: Scalar, S: Samples<T>>(
    of: &MeanLoss<'_, T, S>,
    counts: &[usize],
    parts: &[Part<'_, T>],
    mut out: MatMut<'_, T>,
) {
    let mut first = 0;
    let mut pieces = Vec::new();
    for (g, &k) in counts.iter().enumerate() {
        let (piece, rest) = out.split_at_col_mut(k);
        pieces.push((g, piece));
        out = rest;
        first += k;
    }
    debug_assert_eq!(first, counts.iter().sum());
    let scale = T::of(1.0 / of.range.len() as f64);
    pieces.into_par_iter().for_each(|(g, mut out)| {
        out.fill(T::ZERO);
        for part in parts {
            part.sums[g].add_to(of.net.architecture(), &of.selection, out.as_mut());
        }
        for k in 0..out.ncols() {
            out.as_mut().col_mut(k).iter_mut().for_each(|x| *x *= scale);
        }
    });
}
