//! What is shown of samples' spectra: both bounds of `M₂`, direction by direction, and the correlation of curvature and
//! alignment.

use crate::outputs::alignment::correlations;
use crate::outputs::bounds::wedge_panel;
use serde_json::{Value, json};
use superlinear_experiments::model_analysis::{SampleSpectra, TensorFound};
use superlinear_experiments::record::layer_spectra::AlignmentRecord;
use superlinear_plots::{Axis, Color, Figure, Layer, Line, Panel};

/// Columns of a tensor.
pub(super) const TENSOR_HEADER: [&str; 10] = [
    "kappa_max",
    "directions_judged",
    "lower_bound_holds",
    "upper_bound_holds",
    "lower_margin_decades",
    "upper_margin_decades",
    "xy_correlation",
    "xy_low",
    "xy_high",
    "xy_correlation_leading",
];

/// Columns of a direction.
pub(super) const DIRECTION_HEADER: [&str; 6] =
    ["abs_H_ii", "lower_bound", "upper_bound", "xy_correlation", "xy_low", "xy_high"];

/// Columns of an eigenvalue of a sample.
pub(super) const SAMPLE_HEADER: [&str; 4] = ["tensor", "sample", "rank", "kappa"];

/// Lines of samples in a panel, at most.
const MOST_LINES: usize = 20;

fn of(tensor: &TensorFound) -> Option<&SampleSpectra> {
    tensor.spectra.as_ref().ok()
}

fn text(x: Option<f64>) -> String {
    x.map_or_else(String::new, |x| x.to_string())
}

pub(super) fn tensor_row(tensor: &TensorFound) -> Vec<String> {
    let Some(found) = of(tensor) else { return vec![String::new(); TENSOR_HEADER.len()] };
    let alignment = found.alignment.as_ref();
    let counts = [found.n_judged(), found.n_above_square(), found.n_below_largest()].map(|n| n.to_string());
    let mut row = vec![found.kappa_max.to_string()];
    row.extend(counts);
    row.extend([found.wedge.min_lower_slack, found.wedge.min_upper_slack].map(text));
    row.push(text(alignment.map(|record| record.mean)));
    row.extend([0, 1].map(|end| text(alignment.map(|record| record.mean_interval[end]))));
    row.push(text(found.leading_alignment.as_ref().map(|record| record.mean)));
    row
}

pub(super) fn direction_row(tensor: &TensorFound, i: usize) -> Vec<String> {
    let Some(found) = of(tensor) else { return vec![String::new(); DIRECTION_HEADER.len()] };
    let (h, absolute) = (tensor.diagonals.hessian[i], found.absolute[i]);
    let mut row = [absolute, h * h, found.kappa_max * absolute].map(|x| x.to_string()).to_vec();
    let record = found.alignment.as_ref();
    let own = record.and_then(|record| Some((record, record.direction.iter().position(|&at| at == i)?)));
    row.push(text(own.map(|(record, at)| record.pearson_log[at])));
    row.extend([0, 1].map(|end| text(own.map(|(record, at)| record.interval[at][end]))));
    row
}

pub(super) fn sample_rows(tensor: &TensorFound) -> impl Iterator<Item = Vec<String>> + '_ {
    let samples = of(tensor).into_iter().flat_map(|found| &found.samples);
    samples.flat_map(|(sample, kappa)| {
        let row = |(m, kappa): (usize, &f64)| {
            vec![tensor.asked.name.clone(), sample.to_string(), (m + 1).to_string(), kappa.to_string()]
        };
        kappa.iter().enumerate().map(row).collect::<Vec<_>>()
    })
}

/// Adds `bounds` and `alignment`, null with a reason where there are none.
pub(super) fn add_to(value: &mut Value, tensor: &TensorFound) {
    let found = match &tensor.spectra {
        Ok(found) => found,
        Err(why) => {
            (value["bounds"], value["alignment"]) = (Value::Null, Value::Null);
            value["bounds_reason"] = why.as_str().into();
            return;
        }
    };
    value["bounds"] = json!({
        "kappa_max": found.kappa_max, "kappa_max_sample": found.largest, "n_judged": found.n_judged(),
        "n_flagged": found.wedge.n_flagged, "n_lower_holds": found.n_above_square(),
        "n_upper_holds": found.n_below_largest(), "lower_margin_decades": found.wedge.min_lower_slack,
        "upper_margin_decades": found.wedge.min_upper_slack,
    });
    let record = |record: &Option<AlignmentRecord>| {
        record.as_ref().map(|record| {
            json!({
                "mean": record.mean, "mean_interval": record.mean_interval, "n_directions": record.direction.len(),
                "n_undefined": record.n_undefined,
            })
        })
    };
    value["alignment"] = json!({
        "n_samples": found.samples.len(), "n_pairs": found.samples.iter().map(|(_, kappa)| kappa.len()).sum::<usize>(),
        "all_pairs": record(&found.alignment), "leading_pairs": record(&found.leading_alignment),
    });
}

/// One line.
pub(super) fn line(tensor: &TensorFound) -> String {
    let found = match &tensor.spectra {
        Ok(found) => found,
        Err(why) => return format!("no bounds of M₂: {why}"),
    };
    let n = found.n_judged();
    let margin = |decades: Option<f64>| decades.map_or_else(|| "–".to_owned(), |x| format!("{:.3}", 10_f64.powf(x)));
    let (lower, upper) = (margin(found.wedge.min_lower_slack), margin(found.wedge.min_upper_slack));
    format!(
        "H_ii² ≤ (M₂)_ii in {} and (M₂)_ii ≤ κ_max E|h|_ii in {} of {n} directions, at least by factors {lower} and \
         {upper}; κ_max = {}; X–Y correlation {}",
        found.n_above_square(),
        found.n_below_largest(),
        magnitude(found.kappa_max),
        correlation(found.alignment.as_ref())
    )
}

/// Four digits, with a power of ten where they would not show.
fn magnitude(x: f64) -> String {
    let digits = 3_i32.saturating_sub(x.abs().log10().floor() as i32);
    if (0..=6).contains(&digits) { format!("{x:.0$}", digits as usize) } else { format!("{x:.3e}") }
}

/// `0.412 [0.380, 0.450]`.
fn correlation(record: Option<&AlignmentRecord>) -> String {
    record.map_or_else(
        || "none".to_owned(),
        |record| format!("{:.3} [{:.3}, {:.3}]", record.mean, record.mean_interval[0], record.mean_interval[1]),
    )
}

/// A row of the page's second table; the reason alone where there is no more.
pub(super) fn page_row(tensor: &TensorFound) -> minijinja::Value {
    let name = &tensor.asked.name;
    let found = match &tensor.spectra {
        Ok(found) => found,
        Err(why) => return minijinja::context! { name, why },
    };
    let share = |n: usize, least: Option<f64>| {
        let margin = least.map_or_else(String::new, |x| format!(", at least by {:.3}", 10_f64.powf(x)));
        format!("{n} of {}{margin}", found.n_judged())
    };
    let outside = found.wedge.n_below + found.wedge.n_above;
    minijinja::context! {
        name, outside, kappa => magnitude(found.kappa_max), largest => found.largest,
        lower => share(found.n_above_square(), found.wedge.min_lower_slack),
        upper => share(found.n_below_largest(), found.wedge.min_upper_slack),
        all => correlation(found.alignment.as_ref()), leading => correlation(found.leading_alignment.as_ref()),
        samples => found.samples.len(),
    }
}

/// Names, captions and figures, a panel for each of these tensors that has spectra.
pub(super) fn figures(tensors: &[TensorFound]) -> Vec<(&'static str, String, Figure)> {
    let found: Vec<(&TensorFound, &SampleSpectra)> =
        tensors.iter().filter_map(|tensor| Some((tensor, of(tensor)?))).collect();
    if found.is_empty() {
        return Vec::new();
    }
    let figure = |title: &str, panel: fn(&TensorFound, &SampleSpectra) -> Panel| {
        let panels: Vec<Panel> = found.iter().map(|(tensor, of)| panel(tensor, of)).collect();
        let columns = panels.len().min(3);
        Figure::new(title, panels.len().div_ceil(columns), columns, panels)
    };
    let caption = |text: &str| text.to_owned();
    vec![
        (
            "bounds",
            caption(
                "(M₂)_ii of every direction between its bounds: H_ii² ≤ (E|h|_ii)² below, κ_max E|h|_ii above. κ_max \
                 is the largest spectral norm of a sample's Hessian, and E|h| the mean of their absolute values.",
            ),
            figure("Bounds of M_{2}", bounds_panel),
        ),
        (
            "alignment",
            caption(
                "Correlation of ln X and ln Y over the eigenpairs of samples, X = |κ_m| and Y = (u_m·v_i)², along \
                 every eigenvector v_i of H, with 95 % intervals by a bootstrap over samples. Lines are means over \
                 bins of directions, dots the rank correlation.",
            ),
            figure("Curvature and alignment", alignment_panel),
        ),
        (
            "per-sample-spectra",
            caption(
                "Nonzero eigenvalues of the Hessians of up to 20 samples. The numbers of all that were drawn are in \
                     spectra.csv.",
            ),
            figure("Hessians of single samples", sample_panel),
        ),
    ]
}

fn bounds_panel(tensor: &TensorFound, found: &SampleSpectra) -> Panel {
    let right = (&found.absolute[..], true);
    let name = tensor.asked.name.clone();
    wedge_panel(name, found.kappa_max, right, &tensor.diagonals.second_moment, &found.wedge)
}

fn alignment_panel(tensor: &TensorFound, found: &SampleSpectra) -> Panel {
    let records = [(0, &found.alignment, "all pairs"), (1, &found.leading_alignment, "leading pairs")];
    let layers = correlations(records.into_iter().filter_map(|(k, record, name)| Some((k, record.as_ref()?, name))));
    Panel::new(&tensor.asked.name, Axis::log10("direction of H"), Axis::linear("correlation"), layers)
}

fn sample_panel(tensor: &TensorFound, found: &SampleSpectra) -> Panel {
    let lines = found.samples.iter().filter(|(_, kappa)| !kappa.is_empty()).take(MOST_LINES);
    let layers: Vec<Layer> = lines
        .enumerate()
        .map(|(k, (_, kappa))| {
            let ranks = (1..=kappa.len()).map(|m| m as f64).collect();
            let line = Line::new("", ranks, kappa.iter().map(|kappa| kappa.abs()).collect());
            Line { color: Color::series(k), width: 1.0, ..line }.into()
        })
        .collect();
    Panel::new(&tensor.asked.name, Axis::log10("rank m"), Axis::log10("|κ_{m}|"), layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_have_four_digits() {
        let found = [599.5, 13.846, 0.002_5, 12_345.0, 1e-9, 0.0].map(magnitude);
        assert_eq!(found, ["599.5", "13.85", "0.002500", "1.234e4", "1.000e-9", "0.000e0"]);
    }
}
