//! Plain mini-batch SGD of graphs.

use crate::CosineSchedule;
use crate::sgd::shuffle;
use rand::Rng;
use std::ops::ControlFlow;
use superlinear_nets::{GraphError, GraphSamples, Model, Objective};

/// Every setting of the training of a graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GraphSgd {
    /// `B`; the last batch of an epoch may be shorter and is kept.
    pub batch: usize,
    /// Epochs to run.
    pub epochs: usize,
    /// Learning rate by epoch.
    pub schedule: CosineSchedule,
    /// Largest norm of a batch gradient over all parameters: longer ones are scaled down to it.
    pub clip: f64,
}

/// An epoch of a graph has ended.
#[derive(Debug)]
pub struct GraphEpochEnd<'a> {
    /// Counted from 1.
    pub epoch: usize,
    /// Running mean of the losses, of each batch before its own step, the penalty included.
    pub loss: f64,
    /// The model after its last step.
    pub model: &'a Model<f32>,
}

/// Training of a graph that cannot start or go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GraphTrainError {
    /// `B = 0`.
    #[error("batch size is 0, expected at least 1")]
    ZeroBatch,
    /// The samples do not fit, or the graph does not train sample by sample.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The loss or the gradient norm of a batch is infinite or NaN.
    #[error("epoch {epoch}, step {step}: {quantity} is {value}, expected a finite number")]
    NotFinite {
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1.
        step: usize,
        /// `loss` or `gradient norm`.
        quantity: &'static str,
        /// What it is.
        value: f64,
    },
}

/// Trains all parameters of `model` on `samples`: every epoch visits all of them in a fresh order, in batches of `B`.
///
/// A step is `w ← w − η_e · min(1, clip/‖g‖) · g` with `g` the gradient of the batch's mean loss. `listen` hears of
/// every epoch and may end training. The result is a pure function of the arguments, for any number of threads.
///
/// # Errors
/// When the samples do not fit, the graph has a batch normalisation, the batch size is 0, or a loss or gradient stops
/// being finite.
pub fn train_graph(
    mut model: Model<f32>,
    samples: &impl GraphSamples<f32>,
    objective: &Objective,
    config: &GraphSgd,
    rng: &mut impl Rng,
    mut listen: impl FnMut(GraphEpochEnd<'_>) -> ControlFlow<()>,
) -> Result<Model<f32>, GraphTrainError> {
    if config.batch == 0 {
        return Err(GraphTrainError::ZeroBatch);
    }
    model.graph().accepts(samples, objective)?;
    model.graph().trains_by_sample()?;
    let mut order: Vec<usize> = (0..samples.n_samples()).collect();
    let mut gradient = vec![0.0; model.params().len()];
    let mut passes = Vec::new();
    for epoch in 1..=config.epochs {
        shuffle(&mut order, rng);
        let rate = config.schedule.rate(epoch - 1);
        let mut total = 0.0;
        for (k, batch) in order.chunks(config.batch).enumerate() {
            let finite = |quantity, value: f64| match value.is_finite() {
                true => Ok(value),
                false => Err(GraphTrainError::NotFinite { epoch, step: k + 1, quantity, value }),
            };
            let loss = model.batch_gradient(samples, batch, objective, &mut passes, &mut gradient)?;
            total += finite("loss", loss)? * batch.len() as f64;
            let squares = gradient.iter().map(|&g| f64::from(g) * f64::from(g));
            let norm = finite("gradient norm", squares.sum::<f64>().sqrt())?;
            let scale = (rate * if norm > config.clip { config.clip / norm } else { 1.0 }) as f32;
            model.params_mut().iter_mut().zip(&gradient).for_each(|(w, &g)| *w -= scale * g);
        }
        let end = GraphEpochEnd { epoch, loss: total / order.len() as f64, model: &model };
        if listen(end).is_break() {
            break;
        }
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EarlyStop, SgdConfig, train};
    use faer::Mat;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use superlinear_nets::{
        Activation, Architecture, BatchNorm, DenseGraphSamples, DenseSamples, GraphBuilder, Labelled, Loss, Network,
    };

    /// A chain and its graph take the same steps, to rounding.
    #[test]
    fn a_chain_as_a_graph_trains_as_it_does() {
        let rng = || ChaCha8Rng::seed_from_u64(2);
        let net = Network::<f32>::init(Architecture::mlp(&[3, 6, 2], Activation::Tanh).unwrap(), &mut rng());
        let inputs = Mat::from_fn(3, 40, |i, p| ((7 * p + 3 * i) % 11) as f32 / 11.0 - 0.4);
        let samples = DenseSamples::new(inputs, (0..40).map(|p| (p % 2) as u8).collect());
        let schedule = CosineSchedule { initial: 0.3, floor: 0.01, t_max: 20 };
        let config = SgdConfig {
            batch: 7,
            epochs: 8,
            schedule,
            clip: 0.2,
            early_stop: EarlyStop { window: 9, accuracy: 1.0, loss: 0.0 },
            ..SgdConfig::paper(Loss::CrossEntropy)
        };
        let chain = train(net.clone(), &samples, &config, &mut rng(), |_| ControlFlow::Continue(())).unwrap();
        let graph = GraphSgd { batch: 7, epochs: 8, schedule, clip: 0.2 };
        let mut losses = Vec::new();
        let objective = Objective::from(Loss::CrossEntropy);
        let model = train_graph(net.model(), &Labelled(&samples), &objective, &graph, &mut rng(), |end| {
            losses.push(end.loss);
            ControlFlow::Continue(())
        });
        let model = model.unwrap();
        for (a, b) in chain.history.iter().zip(&losses) {
            assert!((a.loss - b).abs() < 1e-5, "{} {b}", a.loss);
        }
        let far = chain.net.params().iter().zip(model.params()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-5, "{far}");
    }

    #[test]
    fn batch_norm_is_refused() {
        let graph = GraphBuilder::new()
            .input("x", [2])
            .parameter("g", [2])
            .constant("m", [2])
            .node("bn", BatchNorm { epsilon: 1e-5 }, ["x", "g", "g", "m", "m"])
            .build("bn")
            .unwrap();
        let model = Model::new(graph, |_| Some(vec![1.0; 2])).unwrap();
        let samples = DenseGraphSamples::new(vec![Mat::zeros(2, 3)], Mat::zeros(1, 3));
        let schedule = CosineSchedule { initial: 0.1, floor: 0.1, t_max: 1 };
        let config = GraphSgd { batch: 2, epochs: 1, schedule, clip: 1.0 };
        let objective = Objective::from(Loss::CrossEntropy);
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let refused = train_graph(model, &samples, &objective, &config, rng, |_| ControlFlow::Continue(()));
        assert!(refused.unwrap_err().to_string().starts_with("bn (batch-norm): found batch normalisation in training"));
    }
}
