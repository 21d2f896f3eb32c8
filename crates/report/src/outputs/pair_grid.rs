//! `pair-grid`: twelve centred log–log scatters of one run.

use super::centred::scatter;
use super::{CaptionedFigure, Drawn, Looks, Output, Shows};
use crate::fits::Diagonal::{self, Awd, C, H, Hh, HhLocal, HhSame, M2};
use anyhow::Result;
use superlinear_experiments::record::RunRecord;
use superlinear_plots::{Axis, Color, Figure, Guide, Layer, Panel};

/// `y` on `x`, in the paper's order.
const PAIRS: [(Diagonal, Diagonal); 12] = [
    (Awd, H),
    (Hh, H),
    (HhSame, H),
    (HhLocal, H),
    (M2, H),
    (C, H),
    (M2, C),
    (Awd, C),
    (Awd, Hh),
    (Hh, HhSame),
    (HhSame, HhLocal),
    (M2, HhLocal),
];

pub(super) const OUTPUT: Output = Output {
    id: "pair-grid",
    about: "Twelve scatters of one matrix's diagonal on another's",
    shows: Shows::Featured,
    needs: Looks::AtTheEnd,
    draw: draw,
};

fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let mut figures = Vec::new();
    for run in runs {
        let panels = PAIRS.iter().map(|&pair| panel(run, pair)).collect::<Result<Vec<_>>>()?;
        let figure = Figure::new(format!("Pairs of matrices: {}", run.spec.title()), 4, 3, panels);
        let caption = format!(
            "{}: diagonals in the eigenbasis of H over the top {} directions, each divided by its geometric mean, with \
             their fits; the dashed guide has slope 1. The first six are on H; the last six show step by step how C_AWD, \
             what the activity–weight duality predicts for C, becomes its term C^hh, the same-sample part (SD) of that, the part of that which is diagonal in each sample's own eigenbasis (SD,WD), and M₂.",
            run.spec.title(),
            run.spec.top
        );
        figures.push(CaptionedFigure { name: format!("pair-grid-{}", run.spec.id()), caption, figure });
    }
    Ok(Drawn { figures, tables: Vec::new() })
}

fn panel(run: &RunRecord, (y, x): (Diagonal, Diagonal)) -> Result<Panel> {
    let drawn = scatter(&run.spec, run.layer(), (y, x), Color::BLUE, |fit| {
        format!("{:.3} ± {:.3}, R² {:.3}", fit.slope, fit.se, fit.r2)
    })?;
    let guide = Guide { label: String::new(), ..Guide::new(1.0, (1.0, 1.0)) };
    let layers: Vec<Layer> = vec![guide.into(), drawn.points, drawn.line];
    Ok(Panel::new(
        format!("{} on {}", y.symbol(), x.symbol()),
        Axis::log10(x.symbol()),
        Axis::log10(y.symbol()),
        layers,
    ))
}
