//! One figure of every kind from made-up data: `cargo run -p superlinear-plots --example gallery -- <dir>`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use superlinear_plots::{
    Aspect, Axis, Band, BarGroup, Bars, BinHeight, Color, ColorScale, Dash, ErrorBars, Figure, Fill, Guide, HeatMap,
    Histogram, Layer, Legends, Line, Marker, Note, Panel, Reduce, Reference, ReferenceAt, Scatter, Size, Text, render,
};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("usage: gallery <dir>")?);
    fs::create_dir_all(&dir)?;
    let figures = [
        ("power-law", power_law()),
        ("pair-grid", pair_grid()),
        ("matrices", matrices()?),
        ("training", training()),
        ("decomposition", decomposition()),
        ("bounds", bounds()),
        ("bars", bars()),
        ("suppression", suppression()),
        ("trajectory", trajectory()),
        ("odd-cases", odd_cases()),
    ];
    for (name, figure) in figures {
        let drawn = render(&figure)?;
        fs::write(dir.join(format!("{name}.svg")), drawn.svg)?;
        fs::write(dir.join(format!("{name}.png")), drawn.png)?;
    }
    Ok(())
}

/// A small linear congruential generator: the gallery needs scatter, not quality.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, variance 1, nearly normal.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// `n` points scattered about `y = 10^offset · x^slope` over six decades.
fn cloud(n: usize, slope: f64, offset: f64, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let mut noise = Noise(seed);
    (0..n)
        .map(|i| {
            let x = 1.0 - 6.5 * (i as f64 / n as f64).powf(0.45) + 0.1 * noise.normal();
            (10f64.powf(x), 10f64.powf(slope * x + offset + 0.16 * noise.normal()))
        })
        .unzip()
}

fn fit_line(x: &[f64], slope: f64, offset: f64) -> (Vec<f64>, Vec<f64>) {
    let ends = x.iter().fold((f64::INFINITY, 0.0f64), |(a, b), &x| (a.min(x), b.max(x)));
    let ends = vec![ends.0, ends.1];
    let y = ends.iter().map(|x| 10f64.powf(offset) * x.powf(slope)).collect();
    (ends, y)
}

fn power_panel(title: &str, slopes: [f64; 2], seed: u64) -> Panel {
    let mut layers: Vec<Layer> = Vec::new();
    let names = [("C_{ii} (noise covariance)", "fit of C_{ii}"), ("(M₂)_{ii} (second moment)", "fit of (M₂)_{ii}")];
    for (k, slope) in slopes.into_iter().enumerate() {
        let offset = -4.0 * k as f64 - 3.0;
        let (x, y) = cloud(1000, slope, offset, seed + k as u64);
        let (fx, fy) = fit_line(&x, slope, offset);
        let color = Color::series(k);
        layers.push(Scatter { color, ..Scatter::new(names[k].0, x, y) }.into());
        layers.push(
            Line { color: [Color::rgb(0, 60, 100), Color::rgb(140, 50, 0)][k], ..Line::new(names[k].1, fx, fy) }.into(),
        );
    }
    layers.push(Guide::new(1.0, (1e-2, 1e-2)).into());
    layers.push(Guide { dash: Dash::Dotted, ..Guide::new(2.0, (1e-2, 1e-8)) }.into());
    let axes = (Axis::log10("H_{ii} (loss per squared weight)"), Axis::log10("C_{ii}, (M₂)_{ii} (squared gradient)"));
    let mut panel = Panel::new(title, axes.0, axes.1, layers);
    panel.notes =
        vec![Note::new(format!("γ_{{emp}} = {:.2} ± 0.02, R² = 0.98\nγ_{{AWD}} = {:.2} ± 0.01", slopes[0], slopes[1]))];
    panel
}

fn power_law() -> Figure {
    let panels = vec![
        power_panel("MLP on MNIST, cross-entropy", [1.31, 1.27], 3),
        power_panel("MLP on MNIST, MSE", [1.02, 1.01], 5),
    ];
    Figure::new("Noise covariance and second moment against curvature (10 classes, top 1,000 directions)", 1, 2, panels)
}

fn pair_grid() -> Figure {
    let pairs = [
        ("C_{AWD}", "H"),
        ("C^{hh}", "H"),
        ("C^{hh,SD}", "H"),
        ("C^{hh,SD,WD}", "H"),
        ("M₂", "H"),
        ("C", "H"),
        ("M₂", "C"),
        ("C_{AWD}", "C"),
        ("C_{AWD}", "C^{hh}"),
        ("C^{hh}", "SD"),
        ("SD", "SD,WD"),
        ("M₂", "SD,WD"),
    ];
    let panel = |(k, (y, x)): (usize, (&str, &str))| {
        let slope = 1.0 + 0.03 * k as f64;
        let (px, py) = cloud(1500, slope, 0.0, 40 + k as u64);
        let (fx, fy) = fit_line(&px, slope, 0.0);
        let layers = vec![
            Scatter::new("directions", px, py).into(),
            Line { color: Color::VERMILLION, ..Line::new("OLS fit", fx, fy) }.into(),
            Guide::new(1.0, (1.0, 1.0)).into(),
            Guide { dash: Dash::Dotted, ..Guide::new(2.0, (1.0, 1.0)) }.into(),
        ];
        let axis = |name: &str| Axis::log10(format!("{name} / geometric mean"));
        let mut panel = Panel::new(format!("{y} on {x}"), axis(x), axis(y), layers);
        panel.notes = vec![Note::new(format!("{slope:.2} ± 0.01\nR² = 0.97"))];
        panel
    };
    let panels = pairs.into_iter().enumerate().map(panel).collect();
    let mut figure = Figure::new("Power laws of every matrix pair, centred", 3, 4, panels);
    figure.legends = Legends::Shared;
    figure
}

fn matrices() -> Result<Figure, Box<dyn Error>> {
    let decay = |i: usize, n: usize| (-6.0 * i as f64 / n as f64).exp();
    let hash = |i: usize, j: usize| {
        let mut bits = (i.min(j) as u64) << 32 | i.max(j) as u64;
        for _ in 0..3 {
            bits = (bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        }
        2.0 * Noise(bits).uniform() - 1.0
    };
    let k = HeatMap::from_fn(
        (300, 300),
        |i, j| {
            if i == j { 1e-2 * decay(i, 40) + 1e-9 } else { 3e-5 * hash(i, j) * (decay(i, 60) * decay(j, 60)).sqrt() }
        },
        Reduce::LargestMagnitude,
        ColorScale::SymLog { linthresh: 1e-8, limit: None },
        "K_{ij} (squared gradient)",
    )?;
    let r = HeatMap::from_fn(
        (2500, 2500),
        |i, j| if i == j { 1.0 } else { 0.2 * hash(i / 3, j / 3) },
        Reduce::LargestMagnitude,
        ColorScale::Diverging { limit: 1.0 },
        "R_{ij}",
    )?;
    let random = HeatMap::from_fn((2500, 2500), hash, Reduce::Mean, ColorScale::Diverging { limit: 1.0 }, "R_{ij}")?;
    let panel = |title: &str, map: HeatMap| Panel::matrix(title, "direction j", "direction i", vec![map.into()]);
    let panels = vec![
        panel("K = VᵀCV, top 300", k),
        panel("R of C: mean |R_{ij}| = 0.021, var = 3.2×10⁻⁴", r),
        panel("R of the random baseline: mean |R_{ij}| = 0.50", random),
    ];
    let mut figure = Figure::new("The covariance in the eigenbasis of the Hessian", 1, 3, panels);
    figure.size.height = 290.0;
    Ok(figure)
}

fn training() -> Figure {
    let epochs: Vec<f64> = (0..=100).map(f64::from).collect();
    let curve = |k: usize, end: f64| -> Vec<f64> {
        let mut noise = Noise(k as u64 + 9);
        epochs.iter().map(|e| (2.3 * (-e / (8.0 + k as f64)).exp() + end) * (1.0 + 0.05 * noise.normal())).collect()
    };
    let loss = |k: usize, name: &str, dash| {
        let color = Color::series(k);
        let y = curve(k, 1e-3);
        let band =
            Some(Band { lower: y.iter().map(|y| y * 0.75).collect(), upper: y.iter().map(|y| y * 1.3).collect() });
        Line { color, dash, band, ..Line::new(name, epochs.clone(), y) }.into()
    };
    let accuracy = |k: usize, name: &str, dash| {
        let y = curve(k, 0.0).iter().map(|l| 100.0 * (1.0 - 0.39 * l).clamp(0.1, 1.0)).collect();
        Line { color: Color::series(k), dash, ..Line::new(name, epochs.clone(), y) }.into()
    };
    let panels = vec![
        Panel::new(
            "Training loss (mean ± sd of 4 seeds)",
            Axis::linear("epoch"),
            Axis::log10("loss"),
            vec![loss(0, "CE, 10 classes", Dash::Solid), loss(1, "MSE, 10 classes", Dash::Dashed)],
        ),
        Panel::new(
            "Accuracy",
            Axis::linear("epoch"),
            Axis::linear("accuracy (%)").within(0.0, 101.0),
            vec![
                accuracy(0, "CE, train", Dash::Solid),
                accuracy(3, "CE, test", Dash::DashDot),
                accuracy(1, "MSE, train", Dash::Dashed),
                Reference::new("95 %", ReferenceAt::Y(95.0)).into(),
            ],
        ),
    ];
    Figure::new("Training", 1, 2, panels)
}

fn decomposition() -> Figure {
    let epochs = vec![1.0, 10.0, 30.0, 50.0, 70.0, 80.0, 90.0, 100.0];
    let names = ["C_{AWD}", "C^{hh}", "C^{hg}", "C^{gg}", "SD", "SD,WD"];
    let markers = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond];
    let norm = |k: usize| -> Layer {
        let y = epochs
            .iter()
            .map(|e: &f64| 1e-3 * 10f64.powf(-0.6 * k as f64) * (1.0 + e).powf(-0.5 - 0.1 * k as f64))
            .collect();
        Line { color: Color::series(k), marker: Some(markers[k % 4]), ..Line::new(names[k], epochs.clone(), y) }.into()
    };
    let mut noise = Noise(8);
    let directions: Vec<f64> = (1..=800).map(f64::from).collect();
    let mut share = |level: f64, k: usize| -> Layer {
        let y = directions.iter().map(|d| level + 0.1 * (d / 90.0).sin() + 0.03 * noise.normal()).collect();
        Scatter { color: Color::series(k), ..Scatter::new(names[k + 1], directions.clone(), y) }.into()
    };
    let shares = vec![share(0.8, 0), share(0.0, 1), share(0.15, 2)];
    let ratio = |k: usize, name: &str, level: f64| {
        let y: Vec<f64> = epochs.iter().map(|e| 1.0 - level / (1.0 + e / 20.0)).collect();
        let half: Vec<f64> = y.iter().map(|y| 0.06 * y).collect();
        let bars = ErrorBars {
            color: Color::series(k),
            marker: markers[k],
            ..ErrorBars::symmetric(name, epochs.clone(), y, &half)
        };
        bars.into()
    };
    let loss = epochs.iter().map(|e| 2.0 * (-e / 15.0).exp() + 1e-4).collect();
    let panels = vec![
        Panel::new("(a) Norms", Axis::linear("epoch"), Axis::log10("Frobenius norm"), (0..6).map(norm).collect()),
        Panel::new(
            "(b) Shares by direction",
            Axis::linear("eigen-direction i"),
            Axis::linear("share of (C_{AWD})_{ii}"),
            shares,
        ),
        Panel::new(
            "(c) Approximations",
            Axis::linear("epoch"),
            Axis::linear("ratio of traces"),
            vec![
                ratio(0, "SD / full", 0.5),
                ratio(1, "SD,WD / SD", 0.8),
                Reference::new("", ReferenceAt::Y(1.0)).into(),
            ],
        ),
        Panel::new(
            "(d) Training",
            Axis::linear("epoch"),
            Axis::log10("loss"),
            vec![Line::new("training loss", epochs, loss).into()],
        ),
    ];
    Figure::new("Decomposition of the AWD covariance", 2, 2, panels)
}

fn bounds() -> Figure {
    let kappa = 30.0;
    let (h, m) = cloud(1500, 1.35, 0.6, 77);
    let xs: Vec<f64> = (0..=60).map(|k| 10f64.powf(-6.0 + 0.125 * f64::from(k))).collect();
    let wedge = Fill::new(
        "H² ≤ M₂ ≤ κ_{max} H",
        xs.clone(),
        xs.iter().map(|x| x * x).collect(),
        xs.iter().map(|x| kappa * x).collect(),
    );
    let exponents: Vec<f64> = h.iter().zip(&m).map(|(h, m)| (m / kappa / kappa).ln() / (h / kappa).ln()).collect();
    let share = Histogram { height: BinHeight::Share, ..Histogram::new("directions", exponents, 40) };
    let panels = vec![
        Panel::new(
            "The wedge",
            Axis::log10("vᵀHv (loss per squared weight)"),
            Axis::log10("vᵀM₂v"),
            vec![
                wedge.into(),
                Scatter::new("eigen-directions", h, m).into(),
                Text::new("upper bound", (1e-5, 3e-3)).into(),
            ],
        ),
        Panel::new(
            "Pointwise exponents",
            Axis::linear("γ(v) = ln m′ / ln λ′").within(0.9, 2.1),
            Axis::linear("share of directions"),
            vec![
                share.into(),
                Reference::new("bounds 1 and 2", ReferenceAt::X(1.0)).into(),
                Reference::new("", ReferenceAt::X(2.0)).into(),
            ],
        ),
    ];
    Figure::new("Bounds on the exponent", 1, 2, panels)
}

fn bars() -> Figure {
    let names = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let group = |label: &str, values: &[f64], k: usize| BarGroup {
        label: label.into(),
        values: values.to_vec(),
        errors: Some(values.iter().map(|v| 0.05 * v.abs() + 0.01).collect()),
        color: Color::series(k),
    };
    let gamma = Bars {
        categories: names(&["3 classes", "6 classes", "10 classes"]),
        groups: vec![
            group("γ_{emp}, CE", &[1.38, 1.29, 1.22], 0),
            group("γ_{AWD}, CE", &[1.35, 1.27, 1.2], 5),
            group("γ_{emp}, MSE", &[1.03, 1.01, 1.0], 1),
        ],
    };
    let alignment = Bars {
        categories: names(&["MLP/MNIST", "CNN/MNIST", "MLP/CIFAR-10", "CNN/CIFAR-10", "deep MLP"]),
        groups: vec![
            group("CE", &[0.41, 0.38, 0.3, 0.22, 0.35], 0),
            group("MSE", &[0.05, -0.04, 0.08, 0.02, f64::NAN], 1),
        ],
    };
    let panels = vec![
        Panel::new(
            "Exponents (mean ± sd of 4 seeds)",
            Axis::linear(""),
            Axis::linear("γ"),
            vec![gamma.into(), Reference::new("", ReferenceAt::Y(1.0)).into()],
        ),
        Panel::new(
            "Correlation of curvature and alignment",
            Axis::linear(""),
            Axis::linear("correlation of X and Y"),
            vec![alignment.into()],
        ),
    ];
    Figure::new("Grouped bars", 1, 2, panels)
}

fn suppression() -> Figure {
    let rows = ["original", "tail cut", "stiff only", "homogenised"];
    let mut panels = Vec::new();
    for (r, name) in rows.iter().enumerate() {
        let slope = [1.3, 1.29, 1.32, 1.04][r];
        let (h, c) = cloud(400, slope, -2.0, 90 + r as u64);
        let (fx, fy) = fit_line(&h, slope, -2.0);
        let mut scatter = Panel::new(
            format!("({}) {name}", ["a", "b", "c", "d"][r]),
            Axis::log10("H_{ii}"),
            Axis::log10("C_{ii}"),
            vec![
                Scatter::new("", h.clone(), c.clone()).into(),
                Line { color: Color::VERMILLION, ..Line::new("", fx, fy) }.into(),
            ],
        );
        scatter.notes = vec![Note::new(format!("γ = {slope:.2}"))];
        panels.push(scatter);
        let ks: Vec<f64> = (1..=9).map(f64::from).collect();
        let gap = |i: usize| -> Layer {
            let y = ks.iter().map(|k| 1.0 - (-k / (1.0 + i as f64)).exp()).collect();
            Line { color: Color::series(i), ..Line::new(format!("i = {}", [1, 10, 100][i]), ks.clone(), y) }.into()
        };
        panels.push(Panel::new("gap curves", Axis::linear("k"), Axis::linear("G_{i}(k)"), (0..3).map(gap).collect()));
        let spectrum = |s: usize| -> Layer {
            let y = ks.iter().map(|k| 10f64.powf(1.0 - s as f64 - 0.8 * k)).collect();
            Line { color: Color::series(s), width: 1.2, ..Line::new("", ks.clone(), y) }.into()
        };
        panels.push(Panel::new(
            "spectra",
            Axis::linear("rank m"),
            Axis::log10("|κ_{m}|"),
            (0..4).map(spectrum).collect(),
        ));
        let same = |name: &str, v: &[f64]| {
            let mut noise = Noise(5);
            let edited = v.iter().map(|v| v * (1.0 + 0.2 * r as f64 * noise.uniform())).collect();
            let layers = vec![Scatter::new("", v.to_vec(), edited).into(), Guide::new(1.0, (1e-3, 1e-3)).into()];
            Panel {
                aspect: Aspect::Equal,
                ..Panel::new(
                    format!("{name} edited"),
                    Axis::log10(format!("{name} original")),
                    Axis::log10(name),
                    layers,
                )
            }
        };
        panels.push(same("C_{ii}", &c));
        panels.push(same("H_{ii}", &h));
    }
    let mut figure = Figure::new("Suppressing parts of the per-sample spectrum (cross-entropy)", 4, 5, panels);
    figure.size = Size { width: 1100.0, height: 1000.0 };
    figure.legends = Legends::Shared;
    figure
}

fn trajectory() -> Figure {
    let epochs = vec![1.0, 10.0, 30.0, 50.0, 70.0, 80.0, 90.0, 100.0];
    let pairs = ["C_{AWD}", "C^{hh}", "C^{hh,SD}", "C^{hh,SD,WD}", "measured C", "M₂"];
    let panel = |title: &str, y: Axis, value: &dyn Fn(usize, f64) -> f64| {
        let line = |(k, name): (usize, &&str)| {
            let y = epochs.iter().map(|&e| value(k, e)).collect();
            let marker = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond][k % 4];
            Line { color: Color::series(k), marker: Some(marker), ..Line::new(*name, epochs.clone(), y) }.into()
        };
        Panel::new(title, Axis::linear("epoch"), y, pairs.iter().enumerate().map(line).collect())
    };
    let panels = vec![
        panel("γ against H", Axis::linear("γ"), &|k, e| 1.2 + 0.05 * k as f64 + 0.5 * (-e / 20.0).exp()),
        panel("Commutator error", Axis::log10("relative error"), &|k, e| {
            0.02 * (1.0 + k as f64) * (1.0 + e).powf(-0.3)
        }),
        panel("Spearman rank correlation", Axis::linear("ρ"), &|k, e| 1.0 - 0.02 * k as f64 - 0.3 * (-e / 15.0).exp()),
        panel("Leakage", Axis::log10("leakage"), &|k, e| 1e-3 * (1.0 + k as f64) * (1.0 + 2.0 * (-e / 25.0).exp())),
    ];
    let mut figure = Figure::new("Every matrix pair over training", 2, 2, panels);
    figure.legends = Legends::Shared;
    figure
}

fn odd_cases() -> Figure {
    let xs: Vec<f64> = (-200..=200).map(|k| f64::from(k).powi(3) / 1e5).collect();
    let cubes = xs.iter().map(|x| 3.0 * x).collect();
    let mut noise = Noise(4);
    let (fx, fy): (Vec<f64>, Vec<f64>) = (0..3000).map(|_| (noise.uniform(), noise.uniform())).unzip();
    let mut crowded = Panel::new(
        "Points everywhere: the legend moves below, the note above",
        Axis::linear("x"),
        Axis::linear("y"),
        vec![Scatter::new("uniform points", fx, fy).into(), Guide::new(1.0, (0.0, 0.0)).into()],
    );
    crowded.notes = vec![Note::new("ρ = 0.01 ± 0.02")];
    let narrow: Vec<f64> = (0..50).map(|k| 2.0 + 0.1 * f64::from(k)).collect();
    let broken: Vec<f64> =
        narrow.iter().enumerate().map(|(k, x)| if k % 7 == 0 { f64::NAN } else { x * 1e6 }).collect();
    let panels = vec![
        Panel::new(
            "Symmetric-log axes",
            Axis::symlog("x (units)", 1e-3),
            Axis::symlog("3x (units)", 1e-3),
            vec![Line::new("y = 3x", xs, cubes).into()],
        ),
        crowded,
        Panel::new(
            "A panel without data and with a rather long title that has to be set on two lines",
            Axis::log10("x"),
            Axis::log10("y"),
            vec![Scatter::new("nothing", vec![f64::NAN], vec![1.0]).into()],
        ),
        Panel::new(
            "Less than a decade; gaps; large numbers",
            Axis::log10("x < & >"),
            Axis::linear("y"),
            vec![Line::new("broken", narrow, broken).into()],
        ),
    ];
    Figure::new("Odd cases", 2, 2, panels)
}
