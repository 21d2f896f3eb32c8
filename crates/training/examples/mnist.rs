//! The paper's network on embedded MNIST, with a listener that prints the curve, keeps a checkpoint and stops; then the
//! test images.
//!
//! `cargo run --release -p superlinear-training --example mnist`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout)]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use std::time::Instant;
use superlinear_datasets::{Classes, DrawPolicy, Normalisation, draw_test, draw_train, embedded};
use superlinear_nets::{Activation, Architecture, Loss, Network};
use superlinear_training::{Ended, ImageSamples, SgdConfig, evaluate, train};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mnist = embedded::mnist();
    let classes = Classes::first(10)?;
    let drawn = draw_train(&mnist.train, &classes, 500, DrawPolicy::ExactPerClass, &mut rng)?;
    let test = draw_test(&mnist.test, &classes, 1_000, &mut rng);
    let samples = ImageSamples::drawn(&mnist.train, drawn, Normalisation::UnitScale);
    let test = ImageSamples::drawn(&mnist.test, test, Normalisation::UnitScale);

    let net = Network::<f32>::init(Architecture::mlp(&[784, 50, 50, 10], Activation::Relu)?, &mut rng);
    let config = SgdConfig::paper(Loss::CrossEntropy);
    println!(
        "{} training images, {} parameters, at most {} epochs in batches of {}",
        samples.indices().len(),
        net.params().len(),
        config.epochs,
        config.batch
    );

    // Whoever listens decides what is kept, and when it is enough: here, as soon as all images are right.
    let start = Instant::now();
    let mut checkpoint = None;
    let trained = train(net, &samples, &config, &mut rng, |end| {
        let epoch = end.record;
        if epoch.epoch == 1 || epoch.epoch % 5 == 0 {
            let (loss, accuracy) = (epoch.loss, 100.0 * epoch.accuracy);
            println!("epoch {:>3}: rate {:.4}, loss {loss:.5}, {accuracy:.2} % right", epoch.epoch, epoch.rate);
        }
        if checkpoint.is_none() && epoch.accuracy > 0.95 {
            checkpoint = Some((epoch, end.net.clone()));
        }
        if epoch.accuracy == 1.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    println!("{:?} after {} epochs, {:.2?}", trained.ended, trained.history.len(), start.elapsed());
    assert_eq!(trained.ended, Ended::Interrupted, "not all images right after {} epochs", config.epochs);

    // The curve has running means over an epoch in which the network moves; `evaluate` has the network that there is.
    let (epoch, early) = checkpoint.ok_or("no epoch above 95 %")?;
    for (name, net) in [(format!("epoch {}", epoch.epoch), &early), ("at the end".to_owned(), &trained.net)] {
        let (loss, accuracy) = evaluate(net, &samples, config.loss);
        let (test_loss, test_accuracy) = evaluate(net, &test, config.loss);
        println!(
            "{name:<10}  training: loss {loss:.5}, {:.2} % right   test: loss {test_loss:.5}, {:.1} % right",
            100.0 * accuracy,
            100.0 * test_accuracy
        );
        assert!(test_accuracy > 0.9, "{name}: worse on test images than it should be");
    }
    Ok(())
}
