//! `training`: loss and accuracy curves of every run.

use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, caption, columns, filled};
use superlinear_experiments::record::{Epoch, RunRecord};
use superlinear_nets::Loss;
use superlinear_plots::{Axis, Color, Dash, Figure, Layer, Legends, Line, Panel};

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
    let key = Key::of(runs);
    let mut panels = Vec::new();
    for &loss in &losses {
        let of_loss: Vec<&RunRecord> = runs.iter().copied().filter(|run| run.spec.loss == loss).collect();
        let name = of_loss[0].spec.loss_words();
        let curves = |value: fn(&Epoch) -> f64| curves(&of_loss, &key, value);
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
    let mut figure = Figure::new("Training curves, one line a run", losses.len().max(1), 2, panels);
    figure.legends = Legends::Shared;
    let caption = filled(caption!("training"), &[]);
    let figures = vec![CaptionedFigure { name: "training".to_owned(), caption, figure }];
    Drawn { figures, tables: vec![table(runs)] }
}

const DASHES: [Dash; 4] = [Dash::Solid, Dash::Dashed, Dash::Dotted, Dash::DashDot];

/// What of all runs tells a curve: its network by colour, its number of classes by dash.
struct Key {
    networks: Vec<String>,
    classes: Vec<usize>,
}

impl Key {
    fn of(runs: &[&RunRecord]) -> Self {
        let mut networks: Vec<String> = Vec::new();
        for run in runs {
            let network = network(run);
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        let mut classes: Vec<usize> = runs.iter().map(|run| run.spec.n_classes).collect();
        classes.sort_unstable_by(|a, b| b.cmp(a));
        classes.dedup();
        Self { networks, classes }
    }

    fn color(&self, network: &str) -> Color {
        Color::series(self.networks.iter().position(|known| known == network).unwrap_or(0))
    }

    fn dash(&self, n_classes: usize) -> Dash {
        DASHES[self.classes.iter().position(|&known| known == n_classes).unwrap_or(0) % DASHES.len()]
    }

    /// The legend's entries. Without a value of their own they draw nothing.
    fn entries(&self) -> impl Iterator<Item = Layer> {
        let nothing = |label: String| Line::new(label, vec![1.0], vec![f64::NAN]);
        let networks =
            self.networks.iter().map(move |name| Line { color: self.color(name), ..nothing(name.clone()) }.into());
        let classes = self
            .classes
            .iter()
            .map(move |&n| Line { color: Color::GREY, dash: self.dash(n), ..nothing(format!("{n} classes")) }.into());
        networks.chain(classes)
    }
}

/// `MNIST MLP`.
fn network(run: &RunRecord) -> String {
    format!("{} {}", run.spec.dataset_words(), run.spec.network_words())
}

fn curves(runs: &[&RunRecord], key: &Key, value: fn(&Epoch) -> f64) -> Vec<Layer> {
    let lines = runs.iter().map(|run| {
        let epochs = (1..=run.training.history.len()).map(|epoch| epoch as f64).collect();
        let values = run.training.history.iter().map(value).collect();
        let (color, dash) = (key.color(&network(run)), key.dash(run.spec.n_classes));
        Line { color, dash, width: 1.2, ..Line::new("", epochs, values) }.into()
    });
    lines.chain(key.entries()).collect()
}

fn table(runs: &[&RunRecord]) -> Table {
    let rows = runs.iter().map(|run| {
        let last = run.training.history.last();
        let number = |x: Option<f64>| x.map_or_else(|| "none".to_owned(), |x| format!("{x:.6}"));
        vec![
            run.spec.title(),
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
        header: columns(&[
            "setting",
            "run",
            "epochs",
            "training loss",
            "training accuracy",
            "test loss",
            "test accuracy",
        ]),
        rows: rows.collect(),
    }
}
