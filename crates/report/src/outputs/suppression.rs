//! `suppression`: the exponent after edits of per-sample spectra, eigenvectors kept.

use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, caption, columns, filled};
use anyhow::{Context, Result};
use superlinear_experiments::record::RunRecord;
use superlinear_experiments::record::layer_spectra::{Edit, EditRecord, LayerSpectra};
use superlinear_plots::{
    Axis, Band, Color, Figure, Guide, Layer, Legends, Line, Note, Panel, Reference, ReferenceAt, Scatter, Size,
};
use superlinear_stats::summary::mean_sd;
use superlinear_stats::{FitConfig, PowerLawFit, loglog};

/// The paper's rows.
const ROWS: [(Edit, &str); 4] = [
    (Edit::Original, "(a) original"),
    (Edit::TailCut, "(b) tail cut"),
    (Edit::StiffOnly, "(c) stiff only"),
    (Edit::Homogenised, "(d) homogenised"),
];

/// Ours.
const VARIANTS: [(Edit, &str); 4] = [
    (Edit::HomogenisedUncut, "stiff samples homogenised, nothing cut"),
    (Edit::StiffShuffled, "shuffled among stiff samples, within ranks"),
    (Edit::RanksShuffled, "shuffled among all samples, within ranks"),
    (Edit::Shuffled, "shuffled among all eigenpairs"),
];

pub(super) const OUTPUT: Output = Output {
    id: "suppression",
    about: "The exponent after edits of per-sample spectra",
    shows: Shows::Featured,
    needs: Looks::AtSpectra,
    draw,
};

fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let mut figures = Vec::new();
    for run in runs {
        if let Some(spectral) = &run.layer().spectra {
            figures.push(figure(run, spectral)?);
        }
    }
    Ok(Drawn { figures, tables: vec![table(runs)?] })
}

fn figure(run: &RunRecord, spectral: &LayerSpectra) -> Result<CaptionedFigure> {
    let original = edit(run, spectral, Edit::Original)?;
    let mut panels = Vec::new();
    for (row, name) in ROWS {
        let record = edit(run, spectral, row)?;
        panels.extend([
            power_law(record, name),
            gap(record),
            spectra(record),
            against("(M_{2})_{ii}", &original.m2, &record.m2, Color::VERMILLION),
            against("H_{ii}", &original.h, &record.h, Color::GREEN),
        ]);
    }
    let mut figure = Figure::new(format!("Suppression: {}", run.spec.title()), ROWS.len(), 5, panels);
    figure.size = Size { width: 1_250.0, height: 1_080.0 };
    figure.legends = Legends::Hidden;
    let n_samples = spectral.samples.len().to_string();
    let caption = filled(caption!("suppression"), &[("setting", &run.spec.title()), ("samples", &n_samples)]);
    Ok(CaptionedFigure { name: format!("suppression-{}", run.spec.id()), caption, figure })
}

fn edit<'a>(run: &RunRecord, spectral: &'a LayerSpectra, edit: Edit) -> Result<&'a EditRecord> {
    spectral.edit(edit).with_context(|| format!("{}: no record of the edit {edit:?}", run.spec.id()))
}

fn fit(record: &EditRecord) -> Option<PowerLawFit> {
    loglog::fit_with(&record.h, &record.m2, &FitConfig::top(record.h.len())).ok()
}

fn power_law(record: &EditRecord, name: &str) -> Panel {
    let mut layers: Vec<Layer> = vec![Scatter::new("", record.h.clone(), record.m2.clone()).into()];
    let mut notes = vec![Note::new("no fit")];
    if let Some(fit) = fit(record) {
        let through = (10f64.powf(fit.mean_log10_x), 10f64.powf(fit.mean_log10_y));
        layers.insert(0, Guide::new(1.0, through).into());
        layers.insert(1, Guide { dash: superlinear_plots::Dash::Dotted, ..Guide::new(2.0, through) }.into());
        let (low, high) = record
            .h
            .iter()
            .filter(|h| **h > 0.0)
            .fold((f64::INFINITY, 0.0_f64), |(low, high), &h| (low.min(h), high.max(h)));
        let ends = vec![low, high];
        let on_line = ends.iter().map(|&x| fit.predict(x)).collect();
        layers.push(Line { color: Color::BLACK, ..Line::new("", ends, on_line) }.into());
        notes = vec![Note::new(format!("γ = {:.3} ± {:.3}", fit.slope, fit.se))];
    }
    Panel { notes, ..Panel::new(name, Axis::log10("H_{ii}"), Axis::log10("(M_{2})_{ii}"), layers) }
}

fn gap(record: &EditRecord) -> Panel {
    let k = (1..=record.gap.len()).map(|k| k as f64).collect();
    let column = |q: usize| record.gap.iter().map(|summary| summary[q]).collect::<Vec<f64>>();
    let band = Some(Band { lower: column(1), upper: column(2) });
    let layers =
        vec![Reference::new("", ReferenceAt::Y(1.0)).into(), Line { band, ..Line::new("", k, column(0)) }.into()];
    Panel::new(
        "share of (M_{2})_{ii}",
        Axis::linear("leading eigenpairs k"),
        Axis::linear("G_{i}(k)").within(0.0, 1.05),
        layers,
    )
}

fn spectra(record: &EditRecord) -> Panel {
    let layers = record.spectra.iter().enumerate().map(|(class, kappa)| {
        let ranks = (1..=kappa.len()).map(|m| m as f64).collect();
        Line { color: Color::series(class), width: 1.1, ..Line::new("", ranks, kappa.clone()) }.into()
    });
    Panel::new("one sample a class", Axis::linear("rank m"), Axis::log10("|κ_{m}|"), layers.collect())
}

fn against(symbol: &str, original: &[f64], edited: &[f64], color: Color) -> Panel {
    let layers: Vec<Layer> = vec![
        Guide::new(1.0, (1.0, 1.0)).into(),
        Scatter { color, ..Scatter::new("", original.to_vec(), edited.to_vec()) }.into(),
    ];
    Panel::new(
        format!("{symbol} edited"),
        Axis::log10(format!("{symbol} original")),
        Axis::log10(format!("{symbol} edited")),
        layers,
    )
}

fn table(runs: &[&RunRecord]) -> Result<Table> {
    let mut rows = Vec::new();
    for run in runs {
        let Some(spectral) = &run.layer().spectra else { continue };
        for (which, name) in ROWS.into_iter().chain(VARIANTS) {
            let record = edit(run, spectral, which)?;
            let mut row = vec![run.spec.title(), run.spec.id(), name.to_owned()];
            match (fit(record), mean_sd(&record.gamma)) {
                (Some(fit), Ok(gamma)) => {
                    // One repeat has the error of its fit, several the spread among them.
                    let error = gamma.sd.unwrap_or(fit.se);
                    row.extend([
                        format!("{:.4}", gamma.mean),
                        format!("{error:.4}"),
                        gamma.n.to_string(),
                        fit.n_used.to_string(),
                        fit.dropped.total().to_string(),
                    ]);
                }
                _ => row.extend([
                    "no fit".to_owned(),
                    String::new(),
                    "0".to_owned(),
                    "0".to_owned(),
                    record.h.len().to_string(),
                ]),
            }
            rows.push(row);
        }
    }
    Ok(Table {
        name: "suppression".to_owned(),
        caption: filled(caption!("suppression-table"), &[]),
        header: columns(&["setting", "run", "edit", "γ", "error", "repeats", "used", "dropped"]),
        rows,
    })
}
