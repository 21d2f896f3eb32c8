//! `alignment`: correlation of curvature and alignment by direction, cross-entropy beside squared error.

use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, caption, columns, filled, labels, titles};
use anyhow::Result;
use superlinear_experiments::record::RunRecord;
use superlinear_experiments::record::layer_spectra::{AlignmentRecord, Edit, LayerSpectra};
use superlinear_plots::{
    Axis, Band, Color, Dash, ErrorBars, Figure, Layer, Line, Marker, Panel, Reference, ReferenceAt, Scatter, TickMarks,
};
use superlinear_stats::summary::mean_sd;

const COLORS: [Color; 4] = [Color::BLUE, Color::VERMILLION, Color::GREEN, Color::BLACK];
const MARKERS: [Marker; 4] = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond];
const DASHES: [Dash; 4] = [Dash::Solid, Dash::Dashed, Dash::Dotted, Dash::DashDot];

/// Edits whose exponents tell what the correlation accounts for.
const EDITS: [(Edit, &str); 3] =
    [(Edit::Original, "as measured"), (Edit::RanksShuffled, "shuffled within ranks"), (Edit::Shuffled, "shuffled")];

pub(super) const OUTPUT: Output = Output {
    id: "alignment",
    about: "Correlation of curvature and alignment, by direction",
    shows: Shows::Featured,
    needs: Looks::AtSpectra,
    draw,
};

fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let found: Vec<(&RunRecord, &LayerSpectra)> =
        runs.iter().filter_map(|run| Some((*run, run.layer().spectra.as_ref()?))).collect();
    let shown: Vec<&RunRecord> = found.iter().map(|(run, _)| *run).collect();
    let names = labels(&shown);
    let axis = || Axis::log10("direction of H, by descending curvature");
    let panel = |title: &str, of: fn(&LayerSpectra) -> Option<&AlignmentRecord>| {
        let records = found.iter().zip(&names).enumerate();
        let records = records.filter_map(|(k, ((_, spectral), name))| Some((k, of(spectral)?, name.as_str())));
        Panel::new(title, axis(), Axis::linear("correlation"), correlations(records))
    };
    let panels = vec![
        panel("all eigenpairs", |spectral| spectral.alignment.as_ref()),
        panel("leading eigenpair of each sample", |spectral| spectral.leading_alignment.as_ref()),
        exponents(&found, &names),
    ];
    let figure = Figure::new("Curvature X = |κ_{m}| and alignment Y = (u_{m}·v_{i})²", 1, 3, panels);
    let caption = filled(caption!("alignment"), &[("settings", &titles(&shown).join("; "))]);
    let figures = if found.is_empty() {
        Vec::new()
    } else {
        vec![CaptionedFigure { name: "alignment".to_owned(), caption, figure }]
    };
    Ok(Drawn { figures, tables: vec![table(&found)] })
}

/// Bins of directions a decade.
const BINS: f64 = 8.0;

/// Points of all directions, and binned lines with bands above them: of numbered and named records.
pub(crate) fn correlations<'a>(records: impl Iterator<Item = (usize, &'a AlignmentRecord, &'a str)>) -> Vec<Layer> {
    let mut layers: Vec<Layer> = vec![Reference::new("", ReferenceAt::Y(0.0)).into()];
    let mut lines: Vec<Layer> = Vec::new();
    for (k, alignment, name) in records {
        let (color, dash) = (COLORS[k % 4], DASHES[k % 4]);
        let x: Vec<f64> = alignment.direction.iter().map(|i| (i + 1) as f64).collect();
        let points = Scatter::new("", x.clone(), alignment.pearson_log.clone());
        layers.push(Scatter { color, radius: 1.2, alpha: 0.25, ..points }.into());
        let bin = |x: f64| (BINS * x.log10()).round() as usize;
        let mut binned: Vec<[f64; 5]> = Vec::new();
        for members in (0..x.len()).collect::<Vec<usize>>().chunk_by(|&i, &j| bin(x[i]) == bin(x[j])) {
            let n = members.len() as f64;
            let mean = |value: &dyn Fn(usize) -> f64| members.iter().map(|&i| value(i)).sum::<f64>() / n;
            let interval = |end: usize| mean(&|i| alignment.interval[i][end]);
            let center = 10f64.powf(mean(&|i| x[i].log10()));
            let spearman = mean(&|i| alignment.spearman[i]);
            binned.push([center, mean(&|i| alignment.pearson_log[i]), interval(0), interval(1), spearman]);
        }
        let column = |c: usize| binned.iter().map(|bin| bin[c]).collect::<Vec<f64>>();
        let band = Some(Band { lower: column(2), upper: column(3) });
        lines.push(Line { color, dash, band, ..Line::new(name, column(0), column(1)) }.into());
        let by_rank = Line::new(format!("{name}, by rank"), column(0), column(4));
        lines.push(Line { color, dash: Dash::Dotted, width: 1.2, ..by_rank }.into());
    }
    layers.append(&mut lines);
    layers
}

fn exponents(found: &[(&RunRecord, &LayerSpectra)], names: &[String]) -> Panel {
    let mut layers: Vec<Layer> = vec![Reference::new("", ReferenceAt::Y(1.0)).into()];
    for (k, ((_, spectral), name)) in found.iter().zip(names).enumerate() {
        let shift = 0.12 * (k as f64 - 0.5 * (found.len() as f64 - 1.0));
        let (mut x, mut y, mut half) = (Vec::new(), Vec::new(), Vec::new());
        for (position, (edit, _)) in EDITS.iter().enumerate() {
            if let Some(gamma) = spectral.edit(*edit).and_then(|record| mean_sd(&record.gamma).ok()) {
                x.push(position as f64 + shift);
                y.push(gamma.mean);
                half.push(gamma.sd.unwrap_or(0.0));
            }
        }
        let points = ErrorBars::symmetric(name, x, y, &half);
        layers.push(ErrorBars { color: COLORS[k % 4], marker: MARKERS[k % 4], ..points }.into());
    }
    let edits = EDITS.iter().enumerate().map(|(position, (_, name))| (position as f64, (*name).to_owned()));
    let x = Axis { ticks: TickMarks::Named(edits.collect()), ..Axis::linear("").within(-0.5, 2.5) };
    Panel::new("What the correlation is worth", x, Axis::linear("exponent of (M_{2})_{ii} on H_{ii}"), layers)
}

/// The share of `γ − 1` that goes when the correlation does; `None` for `γ` within 0.02 of 1, where there is nothing to
/// share.
pub fn share_of_excess(spectral: &LayerSpectra, without: Edit) -> Option<f64> {
    let original = spectral.edit(Edit::Original)?.mean_gamma()?;
    let shuffled = spectral.edit(without)?.mean_gamma()?;
    ((original - 1.0).abs() >= 0.02).then(|| (original - shuffled) / (original - 1.0))
}

fn table(found: &[(&RunRecord, &LayerSpectra)]) -> Table {
    let rows = found.iter().map(|(run, spectral)| {
        let mut row = vec![run.spec.title(), run.spec.id()];
        match &spectral.alignment {
            Some(alignment) => row.extend([
                format!("{:.4}", alignment.mean),
                format!("{:.4} to {:.4}", alignment.mean_interval[0], alignment.mean_interval[1]),
                alignment.direction.len().to_string(),
                alignment.n_undefined.to_string(),
            ]),
            None => {
                row.extend(["none".to_owned(), String::new(), "0".to_owned(), spectral.localisation.len().to_string()])
            }
        }
        row.push(spectral.leading_alignment.as_ref().map_or_else(
            || "none".to_owned(),
            |a| format!("{:.4} ({:.4} to {:.4})", a.mean, a.mean_interval[0], a.mean_interval[1]),
        ));
        for (edit, _) in EDITS {
            let gamma = spectral.edit(edit).and_then(|record| mean_sd(&record.gamma).ok());
            row.push(gamma.map_or_else(|| "no fit".to_owned(), |gamma| format!("{gamma:.3}")));
        }
        for edit in [Edit::RanksShuffled, Edit::Shuffled] {
            let share = share_of_excess(spectral, edit);
            row.push(share.map_or_else(|| "γ near 1".to_owned(), |share| format!("{share:.2}")));
        }
        row
    });
    Table {
        name: "alignment".to_owned(),
        caption: filled(caption!("alignment-table"), &[]),
        header: columns(&[
            "setting",
            "run",
            "mean r",
            "95 % interval",
            "directions",
            "undefined",
            "mean r, leading",
            "γ",
            "γ within ranks",
            "γ shuffled",
            "share within ranks",
            "share",
        ]),
        rows: rows.collect(),
    }
}
