//! The shortest run of a bench, beside criterion's statistics.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Whether this process measures: `cargo bench` asks for it, `cargo test --benches` and `cargo bench -- --test` only
/// run every bench once, on small sizes.
pub fn measuring() -> bool {
    let asked = |flag: &str| std::env::args().any(|arg| arg == flag);
    asked("--bench") && !asked("--test")
}

/// Times the runs that criterion's `iter_custom` asks for, and keeps the shortest.
///
/// The shortest run is the one least disturbed by the rest of the machine, as is the fastest matrix product that it is
/// compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stopwatch {
    shortest: Option<Duration>,
}

impl Stopwatch {
    /// The total time of `iterations` runs.
    pub fn time<R>(&mut self, iterations: u64, mut run: impl FnMut() -> R) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            let start = Instant::now();
            // Freeing the result is not timed.
            let result = black_box(run());
            let elapsed = start.elapsed();
            drop(result);
            total += elapsed;
            self.shortest = Some(self.shortest.map_or(elapsed, |shortest| shortest.min(elapsed)));
        }
        total
    }

    /// Seconds of the shortest run; `None` when nothing ran, as for a bench that the command line filtered out.
    pub fn shortest(&self) -> Option<f64> {
        self.shortest.map(|shortest| shortest.as_secs_f64())
    }
}
