//! `per-sample-spectra`: eigenvalues and localisation of single samples' Hessians.

use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, caption, columns, filled, labels, titles};
use superlinear_experiments::record::RunRecord;
use superlinear_experiments::record::layer_spectra::one_a_class;
use superlinear_experiments::record::layer_spectra::{LayerSpectra, SampleSpectrum};
use superlinear_plots::{Axis, Color, Figure, Layer, Legends, Line, Marker, Panel, Reference, ReferenceAt, Scatter};
use superlinear_spectra::expected_inverse_participation_ratio;
use superlinear_stats::summary::quantile;

pub(super) const OUTPUT: Output = Output {
    id: "per-sample-spectra",
    about: "Spectra and localisation of per-sample Hessians",
    shows: Shows::Featured,
    needs: Looks::AtSpectra,
    draw: |runs| Ok(draw(runs)),
};

fn draw(runs: &[&RunRecord]) -> Drawn {
    let with_spectra: Vec<(&RunRecord, &LayerSpectra)> =
        runs.iter().filter_map(|run| Some((*run, run.layer().spectra.as_ref()?))).collect();
    let shown: Vec<&RunRecord> = with_spectra.iter().map(|(run, _)| *run).collect();
    let named: Vec<(&RunRecord, &LayerSpectra, String)> =
        with_spectra.iter().zip(labels(&shown)).map(|((run, spectral), name)| (*run, *spectral, name)).collect();
    let mut panels: Vec<Panel> = named.iter().map(|(_, spectral, name)| spectra(name, &spectral.samples)).collect();
    panels.extend(named.iter().map(|(run, spectral, name)| of_samples(run, name, &spectral.samples)));
    panels.extend(named.iter().map(|(run, spectral, name)| of_hessian(run, name, &spectral.localisation)));
    let mut figure = Figure::new("Hessians of single samples", 3, with_spectra.len().max(1), panels);
    figure.legends = Legends::Shared;
    let caption = filled(caption!("per-sample-spectra"), &[("settings", &titles(&shown).join("; "))]);
    let figures = if with_spectra.is_empty() {
        Vec::new()
    } else {
        vec![CaptionedFigure { name: "per-sample-spectra".to_owned(), caption, figure }]
    };
    Drawn { figures, tables: vec![table(&with_spectra)] }
}

fn ranks(n: usize) -> Vec<f64> {
    (1..=n).map(|m| m as f64).collect()
}

fn spectra(name: &str, samples: &[SampleSpectrum]) -> Panel {
    let layers = one_a_class(samples).into_iter().map(|p| {
        let SampleSpectrum { class, kappa, .. } = &samples[p];
        let magnitudes = kappa.iter().map(|kappa| kappa.abs()).collect();
        let line = Line::new(format!("class {class}"), ranks(kappa.len()), magnitudes);
        let marker = Some([Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond][usize::from(*class) % 4]);
        Line { color: Color::series(usize::from(*class)), marker, width: 1.2, ..line }.into()
    });
    let title = format!("{name}: one sample a class");
    Panel::new(title, Axis::linear("rank m"), Axis::log10("|κ_{m}|"), layers.collect())
}

fn random(run: &RunRecord) -> Layer {
    let P = run.layer().d_out * run.layer().d_in;
    Reference::new("random direction", ReferenceAt::Y(expected_inverse_participation_ratio(P))).into()
}

fn of_samples(run: &RunRecord, name: &str, samples: &[SampleSpectrum]) -> Panel {
    let (x, y): (Vec<f64>, Vec<f64>) = samples
        .iter()
        .flat_map(|sample| sample.localisation.iter().enumerate().map(|(m, &ratio)| ((m + 1) as f64, ratio)))
        .unzip();
    let n_ranks = samples.iter().map(|sample| sample.localisation.len()).max().unwrap_or(0);
    let medians = (0..n_ranks).map(|m| {
        let of_rank: Vec<f64> = samples.iter().filter_map(|sample| sample.localisation.get(m)).copied().collect();
        quantile(&of_rank, 0.5).expect("ratios are finite, and some sample has this rank")
    });
    let layers = vec![
        random(run),
        Scatter::new("eigenvectors of h_{p}", x, y).into(),
        Line { color: Color::BLACK, ..Line::new("median", ranks(n_ranks), medians.collect()) }.into(),
    ];
    let title = format!("{name}: {} samples", samples.len());
    Panel::new(title, Axis::linear("rank m"), Axis::log10("inverse participation ratio"), layers)
}

fn of_hessian(run: &RunRecord, name: &str, localisation: &[f64]) -> Panel {
    let points = Scatter::new("eigenvectors of H", ranks(localisation.len()), localisation.to_vec());
    let layers = vec![random(run), Scatter { color: Color::VERMILLION, ..points }.into()];
    let title = format!("{name}: eigenvectors of H");
    Panel::new(title, Axis::log10("direction i"), Axis::log10("inverse participation ratio"), layers)
}

fn table(runs: &[(&RunRecord, &LayerSpectra)]) -> Table {
    let mut rows = Vec::new();
    for (run, spectral) in runs {
        let n_classes = spectral.samples.iter().map(|sample| usize::from(sample.class) + 1).max().unwrap_or(0);
        for class in 0..n_classes {
            let members: Vec<&SampleSpectrum> =
                spectral.samples.iter().filter(|sample| usize::from(sample.class) == class).collect();
            let median = |values: Vec<f64>| {
                quantile(&values, 0.5).map_or_else(|_| "none".to_owned(), |median| format!("{median:.3e}"))
            };
            rows.push(vec![
                run.spec.title(),
                run.spec.id(),
                class.to_string(),
                members.len().to_string(),
                median(members.iter().filter_map(|sample| sample.kappa.first()).map(|kappa| kappa.abs()).collect()),
                median(members.iter().filter_map(|s| Some((s.kappa.get(1)? / s.kappa.first()?).abs())).collect()),
                median(members.iter().filter_map(|sample| sample.localisation.first()).copied().collect()),
                median(members.iter().filter_map(|sample| sample.localisation.first()).map(|x| x.recip()).collect()),
            ]);
        }
    }
    Table {
        name: "per-sample-spectra".to_owned(),
        caption: filled(caption!("per-sample-spectra-table"), &[]),
        header: columns(&[
            "setting",
            "run",
            "class",
            "samples",
            "|κ_1|",
            "|κ_2/κ_1|",
            "inverse participation",
            "weights",
        ]),
        rows,
    }
}
