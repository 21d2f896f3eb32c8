//! `training`: loss and accuracy curves of every run.

use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, columns};
use superlinear_experiments::record::{Epoch, RunRecord};
use superlinear_nets::Loss;
use superlinear_plots::{Axis, Color, Figure, Layer, Line, Panel};

pub(super) const OUTPUT: Output = Output {
    id: "training",
    about: "Loss and accuracy curves of every run",
    shows: Shows::All,
    needs: Looks::AtTheEnd,
    draw: |runs| Ok(draw(runs)),
};

fn draw(runs: &[&RunRecord]) -> Drawn {
    let mut losses: Vec<Loss> = Vec::new();
    for run in runs {
        if !losses.contains(&run.spec.loss) {
            losses.push(run.spec.loss);
        }
    }
    let mut panels = Vec::new();
    for &loss in &losses {
        let of_loss: Vec<&RunRecord> = runs.iter().copied().filter(|run| run.spec.loss == loss).collect();
        let name = of_loss[0].spec.loss_words();
        let curves = |value: fn(&Epoch) -> f64| curves(&of_loss, value);
        panels.push(Panel::new(
            format!("{name}: training loss"),
            Axis::linear("epoch"),
            Axis::log10("mean loss of the epoch"),
            curves(|epoch| epoch.loss),
        ));
        panels.push(Panel::new(
            format!("{name}: training accuracy"),
            Axis::linear("epoch"),
            Axis::linear("share classified right"),
            curves(|epoch| epoch.accuracy),
        ));
    }
    let figure = Figure::new("Training curves, one line a run", losses.len().max(1), 2, panels);
    let caption =
        "Running means over each epoch's batches, every batch taken before its own step. Colours are numbers of \
                   classes; lines of one colour are seeds."
            .to_owned();
    let figures = vec![CaptionedFigure { name: "training".to_owned(), caption, figure }];
    Drawn { figures, tables: vec![table(runs)] }
}

fn curves(runs: &[&RunRecord], value: fn(&Epoch) -> f64) -> Vec<Layer> {
    let mut classes: Vec<usize> = runs.iter().map(|run| run.spec.n_classes).collect();
    classes.sort_unstable();
    classes.dedup();
    let mut named = Vec::new();
    let mut layers: Vec<Layer> = Vec::new();
    for run in runs {
        let n_classes = run.spec.n_classes;
        let position = classes.binary_search(&n_classes).unwrap_or(0);
        // One legend entry a colour.
        let label = if named.contains(&n_classes) { String::new() } else { format!("{n_classes} classes") };
        named.push(n_classes);
        let epochs = (1..=run.training.history.len()).map(|epoch| epoch as f64).collect();
        let values = run.training.history.iter().map(value).collect();
        layers.push(Line { color: Color::series(position), width: 1.2, ..Line::new(label, epochs, values) }.into());
    }
    layers
}

fn table(runs: &[&RunRecord]) -> Table {
    let rows = runs.iter().map(|run| {
        let last = run.training.history.last();
        let number = |x: Option<f64>| x.map_or_else(|| "none".to_owned(), |x| format!("{x:.6}"));
        vec![
            run.spec.id(),
            run.training.history.len().to_string(),
            number(last.map(|epoch| epoch.loss)),
            number(last.map(|epoch| epoch.accuracy)),
            number(Some(run.training.test_loss)),
            number(Some(run.training.test_accuracy)),
        ]
    });
    Table {
        name: "training".to_owned(),
        caption: "Where training ended: running means of the last epoch, and the test images.".to_owned(),
        header: columns(&["run", "epochs", "training loss", "training accuracy", "test loss", "test accuracy"]),
        rows: rows.collect(),
    }
}
