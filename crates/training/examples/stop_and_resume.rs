//! A run that is stopped and gone on with, as in another process: what has to be kept, and that the result is the same
//! to the last bit, also on another number of threads.
//!
//! `cargo run --release -p superlinear-training --example stop_and_resume`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout)]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use superlinear_datasets::{Classes, DrawPolicy, Normalisation, draw_train, embedded};
use superlinear_nets::{Activation, Architecture, Bias, ImageShape, Layer, Loss, Network};
use superlinear_training::{EpochRecord, ImageSamples, SgdConfig, TrainError, TrainingRun, TrainingState};

/// All that another process needs, besides samples, architecture and settings: plain numbers, to be stored in any way.
struct Kept {
    state: TrainingState,
    seed: [u8; 32],
    stream: u64,
    word_pos: u128,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mnist = embedded::mnist();
    let drawn = draw_train(&mnist.train, &Classes::first(4)?, 100, DrawPolicy::ExactPerClass, &mut rng)?;
    let samples = ImageSamples::drawn(&mnist.train, drawn, Normalisation::UnitScale);
    // A convolutional network, whose steps share the threads that there are.
    let input = ImageShape { channels: 1, height: 28, width: 28 };
    let architecture = Architecture::new(vec![
        Layer::Conv3x3 { input, c_out: 8 },
        Layer::Activation(Activation::Relu),
        Layer::MaxPool2x2,
        Layer::Flatten,
        Layer::Dense { d_in: 8 * 14 * 14, d_out: 4, bias: Bias::Learned },
    ])?;
    let net = Network::<f32>::init(architecture, &mut rng);
    let config = SgdConfig { epochs: 8, ..SgdConfig::paper(Loss::CrossEntropy) };

    let (whole, history) = on(2, || {
        let (mut run, mut rng) = (TrainingRun::new(net.clone(), &samples, config)?, rng.clone());
        while run.next_epoch(&mut rng)?.is_some() {}
        Ok(run.into_parts())
    })?;
    println!("8 epochs at once, two threads:");
    print_losses(&history);

    let kept = on(1, || {
        let (mut run, mut rng) = (TrainingRun::new(net.clone(), &samples, config)?, rng.clone());
        for _ in 0..3 {
            run.next_epoch(&mut rng)?;
        }
        let (seed, stream, word_pos) = (rng.get_seed(), rng.get_stream(), rng.get_word_pos());
        Ok(Kept { state: run.state(), seed, stream, word_pos })
    })?;
    println!(
        "stopped after 3: {} parameters, the order of {} samples, {} records, the generator at word {}",
        kept.state.params.len(),
        kept.state.order.len(),
        kept.state.history.len(),
        kept.word_pos
    );

    let resume = |kept: &Kept, rng: &mut ChaCha8Rng| {
        // Of this network only the architecture counts.
        let other = Network::<f32>::init(net.architecture().clone(), &mut ChaCha8Rng::seed_from_u64(99));
        let mut run = TrainingRun::resume(other, kept.state.clone(), &samples, config)?;
        while run.next_epoch(rng)?.is_some() {}
        Ok(run.into_parts())
    };
    let mut moved = ChaCha8Rng::from_seed(kept.seed);
    moved.set_stream(kept.stream);
    moved.set_word_pos(kept.word_pos);
    let resumed = on(1, || resume(&kept, &mut moved))?;
    println!("epochs 4 to 8 from there, one thread:");
    print_losses(&resumed.1[3..]);
    assert!(resumed == (whole.clone(), history), "a resumed run is not the whole one");
    println!("all {} parameters and 8 records are those of the whole run, bit for bit", whole.params().len());

    // A generator that begins anew orders the samples in another way.
    let other = on(1, || resume(&kept, &mut ChaCha8Rng::from_seed(kept.seed)))?;
    let distance =
        whole.params().iter().zip(other.0.params()).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    println!("without the generator's position the parameters end {distance:.3} away");
    assert!(distance > 0.0, "the generator's position made no difference");

    // A state of other samples is refused, not taken.
    let mut wrong = kept.state;
    wrong.order.pop();
    let Err(error) = TrainingRun::resume(net.clone(), wrong, &samples, config) else {
        return Err("a state of 399 samples was taken for one of 400".into());
    };
    println!("refused: {error}");
    Ok(())
}

/// Runs `f` in a pool of its own.
fn on<R: Send>(
    threads: usize,
    f: impl FnOnce() -> Result<R, TrainError> + Send,
) -> Result<R, Box<dyn std::error::Error>> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build()?.install(f)?)
}

fn print_losses(history: &[EpochRecord]) {
    let losses: Vec<String> = history.iter().map(|epoch| format!("{:.6}", epoch.loss)).collect();
    println!("  losses {}", losses.join(" "));
}
