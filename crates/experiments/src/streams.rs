//! A run's generators: each use of randomness has its own stream of one seed.

use crate::spec::RunSpec;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The generator's streams: each use of randomness has its own, so that none depends on how much another draws.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    TrainDraw = 0,
    TestDraw = 1,
    Weights = 2,
    Batches = 3,
    Partners = 4,
    Spectra = 5,
    Resamples = 6,
    Epochs = 7,
}

/// The generator of one stream.
pub(crate) fn generator(spec: &RunSpec, stream: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
    rng.set_stream(stream as u64);
    rng
}
