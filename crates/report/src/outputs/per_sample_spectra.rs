//! `per-sample-spectra`: eigenvalues and localisation of single samples' Hessians.

use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, columns};
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
    let mut panels: Vec<Panel> = with_spectra.iter().map(|(run, spectral)| spectra(run, &spectral.samples)).collect();
    panels.extend(with_spectra.iter().map(|(run, spectral)| of_samples(run, &spectral.samples)));
    panels.extend(with_spectra.iter().map(|(run, spectral)| of_hessian(run, &spectral.localisation)));
    let names: Vec<String> = with_spectra.iter().map(|(run, _)| run.spec.title()).collect();
    let mut figure = Figure::new("Hessians of single samples", 3, with_spectra.len().max(1), panels);
    figure.legends = Legends::Shared;
    let caption = format!(
        "{}. Above: magnitude of the eigenvalues of h_p for one sample of each class; behind a ReLU tail at most as many as there are \
         outputs are not zero. Middle: inverse participation ratio Σu⁴ of their eigenvectors, for 20 samples a class: 1 for a \
         single weight, 1/P for all P weights of the layer alike; the dotted line is the mean 3/(P+2) of a random direction. Below: the same for \
         the eigenvectors of H.",
        names.join("; ")
    );
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

fn spectra(run: &RunRecord, samples: &[SampleSpectrum]) -> Panel {
    let layers = one_a_class(samples).into_iter().map(|p| {
        let SampleSpectrum { class, kappa, .. } = &samples[p];
        let magnitudes = kappa.iter().map(|kappa| kappa.abs()).collect();
        let line = Line::new(format!("class {class}"), ranks(kappa.len()), magnitudes);
        let marker = Some([Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond][usize::from(*class) % 4]);
        Line { color: Color::series(usize::from(*class)), marker, width: 1.2, ..line }.into()
    });
    let title = format!("{}: one sample a class", run.spec.loss_words());
    Panel::new(title, Axis::linear("rank m"), Axis::log10("|κ_{m}|"), layers.collect())
}

fn random(run: &RunRecord) -> Layer {
    let P = run.layer().d_out * run.layer().d_in;
    Reference::new("random direction", ReferenceAt::Y(expected_inverse_participation_ratio(P))).into()
}

fn of_samples(run: &RunRecord, samples: &[SampleSpectrum]) -> Panel {
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
    let title = format!("{}: {} samples", run.spec.loss_words(), samples.len());
    Panel::new(title, Axis::linear("rank m"), Axis::log10("inverse participation ratio"), layers)
}

fn of_hessian(run: &RunRecord, localisation: &[f64]) -> Panel {
    let points = Scatter::new("eigenvectors of H", ranks(localisation.len()), localisation.to_vec());
    let layers = vec![random(run), Scatter { color: Color::VERMILLION, ..points }.into()];
    let title = format!("{}: eigenvectors of H", run.spec.loss_words());
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
        caption: "By class, medians over the chosen samples: leading |κ_1| of the Hessian h_p, |κ_2/κ_1|, and the inverse participation ratio of the leading \
                  eigenvector with its reciprocal, the number of weights that carry it."
            .to_owned(),
        header: columns(&["run", "class", "samples", "|κ_1|", "|κ_2/κ_1|", "inverse participation", "weights"]),
        rows,
    }
}
