//! Gradients of mini-batches, for training by descent.

use super::{GraphError, GraphPasses, GraphSamples, GraphSums, Model, Objective, Variables};
use crate::Scalar;
use rayon::prelude::*;

/// Parts of a batch; each adds up a gradient of its own, and they are summed in order.
const PARTS: usize = 8;
/// Samples that go through the graph together.
const BLOCK: usize = 16;

impl<T: Scalar> Model<T> {
    /// Writes the gradient of the **mean** loss over the samples `batch`, `(1/B) Σ_p g_p`, to `gradient`; returns that
    /// mean.
    ///
    /// Parts of the batch run on the current rayon pool; they depend on its size alone, and so do the bits of the
    /// result. `passes` are kept from one call to the next.
    ///
    /// # Errors
    /// When the graph does not train sample by sample ([`Graph::trains_by_sample`](super::Graph::trains_by_sample)), or
    /// a node is asked for what it has not.
    ///
    /// # Panics
    /// When the batch is empty, or `gradient` has not an entry a parameter.
    #[track_caller]
    pub fn batch_gradient(
        &self,
        samples: &impl GraphSamples<T>,
        batch: &[usize],
        objective: &Objective,
        passes: &mut Vec<GraphPasses<T>>,
        gradient: &mut [T],
    ) -> Result<f64, GraphError> {
        self.graph().trains_by_sample()?;
        assert!(!batch.is_empty(), "a batch has samples");
        assert_eq!(gradient.len(), self.params().len(), "one entry a parameter");
        let variables = Variables::all(self.graph());
        let parts = PARTS.min(batch.len().div_ceil(BLOCK));
        passes.truncate(parts);
        passes.resize_with(parts, || GraphPasses::new(self.graph(), objective.clone(), variables.clone()));
        let chosen = Chosen { samples, batch };
        let run = |(c, passes): (usize, &mut GraphPasses<T>)| {
            let mut sums = GraphSums::zeros(&variables, 1);
            let (mut first, end) = (c * batch.len() / parts, (c + 1) * batch.len() / parts);
            let mut total = 0.0;
            while first < end {
                let next = end.min(first + BLOCK);
                total += passes.gradient(self, &chosen, first..next, &mut sums)?;
                first = next;
            }
            Ok((total, sums))
        };
        let results: Result<Vec<_>, GraphError> = passes.par_iter_mut().enumerate().with_max_len(1).map(run).collect();
        let mut total = 0.0;
        gradient.fill(T::ZERO);
        let scale = T::of(1.0 / batch.len() as f64);
        for (loss, sums) in results? {
            total += loss;
            let column = faer::MatMut::from_column_major_slice_mut(gradient, variables.n_params(), 1);
            sums.add_to(&variables, scale, column);
        }
        Ok(total / batch.len() as f64)
    }
}

/// Some of the samples, as samples.
struct Chosen<'a, S> {
    samples: &'a S,
    batch: &'a [usize],
}

impl<T, S: GraphSamples<T>> GraphSamples<T> for Chosen<'_, S> {
    fn n_samples(&self) -> usize {
        self.batch.len()
    }
    fn write_input(&self, p: usize, input: usize, out: &mut [T]) {
        self.samples.write_input(self.batch[p], input, out);
    }
    fn write_target(&self, p: usize, out: &mut [f64]) {
        self.samples.write_target(self.batch[p], out);
    }
}
