//! Why γ_emp of MSE comes out below 1: the number of directions, the noise floor, the paper's estimator of the noise,
//! and the cancellation of positive and negative curvature in `H`, side by side for the seeds of one setting.
//!
//! `cargo run --release -p superlinear-report --example below_one -- out/paper mnist-mlp-mse-c10 4 figures`
//!
//! Arguments: finished results, a setting of MSE, how many of its seeds, a folder for the figure. It analyses the
//! stored networks again, so it needs the data set (`SUPERLINEAR_DATA_DIR`).
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use anyhow::{Context, Result, ensure};
use std::path::Path;
use superlinear_experiments::analyse::layer_matrices;
use superlinear_experiments::finished_run::FoundRun;
use superlinear_experiments::one_epoch::one_epoch_diagonals;
use superlinear_experiments::record::LayerRecord;
use superlinear_plots::{
    Axis, Band, Color, Dash, ErrorBars, Figure, Layer, Legends, Line, Marker, Panel, Reference, ReferenceAt, Scatter,
    TickMarks, render,
};
use superlinear_stats::{FitConfig, local_slope, loglog, noise_floor, over_seeds, sensitivity};
use superlinear_store::atomic;

/// Shuffled epochs of each seed.
const EPOCHS: usize = 4;
/// Directions of the shortest fit, and fits from there to rounding.
const SHORTEST: usize = 20;
const FITS: usize = 40;
/// Fewer directions than the paper's.
const LEADING: usize = 200;
/// Shares of noise that a floor by signs lets through.
const SHARES: [f64; 3] = [0.05, 0.01, 0.005];

/// One seed.
struct Seed {
    /// The paper's number of directions.
    top: usize,
    record: LayerRecord,
    /// `v_iᵀ E|h| v_i`.
    abs_h: Vec<f64>,
    /// `v_iᵀ Ĉ v_i`, one entry an epoch.
    one_epoch: Vec<Vec<f64>>,
}

/// A way to measure γ: its values of one seed over so many directions.
type Way = (&'static str, fn(&Seed, usize) -> Option<f64>, Color, Dash, Marker);

const WAYS: [Way; 3] = [
    ("exact C on H", |seed, n| slope(&seed.record.h, &seed.record.c, n), Color::BLUE, Dash::Solid, Marker::Circle),
    (
        "C of one epoch's mini-batches on H",
        |seed, n| {
            let slopes: Option<Vec<f64>> = seed.one_epoch.iter().map(|c| slope(&seed.record.h, c, n)).collect();
            Some(slopes?.iter().sum::<f64>() / seed.one_epoch.len() as f64)
        },
        Color::GREEN,
        Dash::Dashed,
        Marker::Square,
    ),
    (
        "exact C on E|h|",
        |seed, n| slope(&seed.abs_h, &seed.record.c, n),
        Color::VERMILLION,
        Dash::Solid,
        Marker::Diamond,
    ),
];

fn slope(x: &[f64], y: &[f64], n: usize) -> Option<f64> {
    Some(loglog::fit_with(x, y, &FitConfig::top(n)).ok()?.slope)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [results, setting, n_seeds, folder] = &arguments[..] else {
        anyhow::bail!("expected RESULTS SETTING SEEDS FOLDER");
    };
    let n_seeds: usize = n_seeds.parse().context("the number of seeds")?;
    let of_seed = |k: usize| seed(Path::new(results), &format!("{setting}-s{k}"));
    let seeds = (0..n_seeds).map(of_seed).collect::<Result<Vec<_>>>()?;
    ensure!(!seeds.is_empty(), "expected a seed");
    let windows = windows(&seeds[0]);
    let panels =
        vec![against_directions(&seeds), by_window(&seeds, &windows)?, cancellation(&seeds[0]), local(&seeds[0])?];
    let figure = Figure::new(format!("γ of {setting} by each way to measure it"), 2, 2, panels);
    let drawn = render(&Figure { legends: Legends::PerPanel, ..figure })?;
    for (name, bytes) in [("svg", drawn.svg.as_bytes()), ("png", &drawn.png[..])] {
        atomic::write(&Path::new(folder).join(format!("below-one.{name}")), bytes)?;
    }
    Ok(())
}

/// The stored network of a run, with the paper's estimator of its noise.
fn seed(results: &Path, id: &str) -> Result<Seed> {
    let run = FoundRun::find(results, id)?.load(None)?;
    let record = run.trained_layers().pop().with_context(|| format!("{id}: not analysed"))?;
    let abs_h =
        record.abs_h.clone().with_context(|| format!("{id}: no E|h|, as of a loss without negative curvature"))?;
    let matrices = layer_matrices(&run.spec, &run.training.indices, &run.trained, record.dense, &run.data)?;
    let off = matrices.eigen.values.iter().zip(&record.h).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
    ensure!(off <= record.noise_floor, "{id}: eigenvalues are {off:e} off those of the record");
    let one_epoch = one_epoch_diagonals(&run.spec, &matrices, EPOCHS)?;
    Ok(Seed { top: run.spec.top, record, abs_h, one_epoch })
}

/// A window of directions in words, and how many they are in each seed; none where no floor tells noise from curvature.
type Window = (String, Box<dyn Fn(&Seed) -> Option<usize>>);

fn windows(first: &Seed) -> Vec<Window> {
    let top = first.top;
    let mut windows: Vec<Window> = vec![(format!("{top}"), Box::new(move |_| Some(top)))];
    for share in SHARES {
        let kept = move |seed: &Seed| Some(noise_floor::by_sign(&seed.record.h, share).ok()?.n_kept);
        windows.push((format!("floor, {} %", 100.0 * share), Box::new(kept)));
    }
    windows.push((format!("{LEADING}"), Box::new(|_| Some(LEADING))));
    windows
}

fn against_directions(seeds: &[Seed]) -> Panel {
    let above_rounding = |seed: &Seed| seed.record.h.partition_point(|&lambda| lambda > seed.record.noise_floor);
    let last = seeds.iter().map(above_rounding).min().unwrap_or(SHORTEST).max(SHORTEST);
    let mut layers: Vec<Layer> = vec![
        Reference::new("", ReferenceAt::Y(1.0)).into(),
        Reference { dash: Dash::Dotted, ..Reference::new("the paper's number", ReferenceAt::X(seeds[0].top as f64)) }
            .into(),
    ];
    for (label, way, color, dash, _) in WAYS {
        let (mut x, mut y, mut lower, mut upper) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for n in sensitivity::tops(SHORTEST, last, FITS) {
            let Some(slopes) = seeds.iter().map(|seed| way(seed, n)).collect::<Option<Vec<f64>>>() else { continue };
            x.push(n as f64);
            y.push(slopes.iter().sum::<f64>() / slopes.len() as f64);
            lower.push(slopes.iter().copied().fold(f64::INFINITY, f64::min));
            upper.push(slopes.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        }
        let band = Some(Band { lower, upper });
        layers.push(Line { color, dash, band, ..Line::new(label, x, y) }.into());
    }
    Panel::new("number of directions", Axis::log10("leading directions fitted"), Axis::linear("γ"), layers)
}

/// Every way over every window, mean over seeds with Student's 95 % interval; printed too.
fn by_window(seeds: &[Seed], windows: &[Window]) -> Result<Panel> {
    let mut layers: Vec<Layer> = vec![Reference::new("", ReferenceAt::Y(1.0)).into()];
    println!("| directions | how many |{}", WAYS.map(|way| format!(" {} |", way.0)).concat());
    println!("|---|---|{}", "---|".repeat(WAYS.len()));
    let mut bars = WAYS.map(|(label, _, color, _, marker)| {
        let none = Vec::new;
        ErrorBars { label: label.to_owned(), x: none(), y: none(), lower: none(), upper: none(), color, marker }
    });
    for (k, (name, directions)) in windows.iter().enumerate() {
        let Some(n) = seeds.iter().map(directions).collect::<Option<Vec<usize>>>() else { continue };
        let mut line = format!("| {name} | {} to {} |", n.iter().min().unwrap_or(&0), n.iter().max().unwrap_or(&0));
        for (w, ((_, way, ..), bars)) in WAYS.iter().zip(&mut bars).enumerate() {
            let slopes = seeds.iter().zip(&n).map(|(seed, &n)| way(seed, n)).collect::<Option<Vec<f64>>>();
            let found = over_seeds(&slopes.context("a fit")?, 0.95)?;
            let mean = found.summary.mean;
            let [low, high] = found.interval.map_or([mean, mean], |t| [t.low, t.high]);
            bars.x.push(k as f64 + 0.15 * (w as f64 - 1.0));
            bars.y.push(mean);
            bars.lower.push(low);
            bars.upper.push(high);
            let interval = found.interval.map(|t| format!(" ({:.3} to {:.3})", t.low, t.high));
            line.push_str(&format!(" {:.3}{} |", found.summary, interval.unwrap_or_default()));
        }
        println!("{line}");
    }
    layers.extend(bars.map(Layer::from));
    let names = windows.iter().enumerate().map(|(k, (name, _))| (k as f64, name.clone())).collect();
    let x = Axis { ticks: TickMarks::Named(names), ..Axis::linear("directions: so many, or above the floor by signs") };
    let x = x.within(-0.5, windows.len() as f64 - 0.5);
    Ok(Panel::new("mean over seeds, 95 %", x, Axis::linear("γ"), layers))
}

/// How much of the curvature of single samples is left in their mean.
fn cancellation(seed: &Seed) -> Panel {
    let kept = seed.record.h.partition_point(|&lambda| lambda > seed.record.noise_floor);
    let x = (1..=kept).map(|rank| rank as f64).collect();
    let y = seed.abs_h.iter().zip(&seed.record.h).take(kept).map(|(abs, h)| abs / h).collect();
    let layers = vec![
        Reference { dash: Dash::Dotted, ..Reference::new("the paper's number", ReferenceAt::X(seed.top as f64)) }
            .into(),
        Scatter { color: Color::VERMILLION, ..Scatter::new("", x, y) }.into(),
    ];
    let y = Axis::log10("E|h|_{ii} / H_{ii}");
    Panel::new("positive and negative curvature cancel, seed 0", Axis::log10("direction"), y, layers)
}

/// The exponent around each curvature, down to the least of the paper's directions.
fn local(seed: &Seed) -> Result<Panel> {
    let config = FitConfig::top(seed.top);
    let mut layers: Vec<Layer> = vec![Reference::new("", ReferenceAt::Y(1.0)).into()];
    if let Ok(floor) = noise_floor::by_sign(&seed.record.h, SHARES[1]) {
        let at = Reference::new("floor by signs, 1 %", ReferenceAt::X(floor.floor));
        layers.push(Reference { dash: Dash::Dotted, ..at }.into());
    }
    for (label, x, color, dash) in [
        ("exact C on H", &seed.record.h, Color::BLUE, Dash::Solid),
        ("exact C on E|h|", &seed.abs_h, Color::VERMILLION, Dash::Dashed),
    ] {
        let grid = local_slope::grid(x, &seed.record.c, &config, 60)?;
        let found = local_slope::local_slopes(x, &seed.record.c, &config, &grid, 0.5)?.slopes;
        let of = |number: fn(&local_slope::LocalSlope) -> f64| found.iter().map(number).collect::<Vec<f64>>();
        let band = Band { lower: of(|at| at.slope - 1.96 * at.se), upper: of(|at| at.slope + 1.96 * at.se) };
        let line = Line::new(label, of(|at| at.at), of(|at| at.slope));
        layers.push(Line { color, dash, band: Some(band), ..line }.into());
    }
    let y = Axis::linear("local γ");
    Ok(Panel::new("local exponent, seed 0", Axis::log10("H_{ii}, or E|h|_{ii}"), y, layers))
}
