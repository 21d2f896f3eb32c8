//! `pair-grid`: twelve centred log–log scatters of one run.

use super::centred::{Look, scatter};
use super::{CaptionedFigure, Drawn, Looks, Output, Shows, caption, filled};
use crate::fits::Diagonal::{self, Awd, C, H, Hh, HhLocal, HhSame, M2};
use anyhow::Result;
use superlinear_experiments::record::RunRecord;
use superlinear_plots::{Axis, Figure, Guide, Layer, Panel};

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
    draw,
};

fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let mut figures = Vec::new();
    for run in runs {
        let panels = PAIRS.iter().map(|&pair| panel(run, pair)).collect::<Result<Vec<_>>>()?;
        let title = run.spec.title();
        let figure = Figure::new(format!("Pairs of matrices: {title}"), 4, 3, panels);
        let caption = filled(caption!("pair-grid"), &[("setting", &title), ("top", &run.spec.top.to_string())]);
        figures.push(CaptionedFigure { name: format!("pair-grid-{}", run.spec.id()), caption, figure });
    }
    Ok(Drawn { figures, tables: Vec::new() })
}

fn panel(run: &RunRecord, (y, x): (Diagonal, Diagonal)) -> Result<Panel> {
    let drawn = scatter(&run.spec, run.layer(), (y, x), Look::PLAIN, |fit| {
        format!("{:.3} ± {:.3}, R² {:.3}", fit.slope, fit.se, fit.r2)
    })?;
    let guide = Guide { label: String::new(), ..Guide::new(1.0, (1.0, 1.0)) };
    let layers: Vec<Layer> = vec![guide.into(), drawn.points, drawn.line];
    let exponent = match y.exponent() {
        Some(name) if x == H => format!(": γ_{{{name}}}"),
        _ => String::new(),
    };
    let ours = if (y, x) == (Awd, H) { " (ours)" } else { "" };
    let title = format!("{} on {}{exponent}{ours}", y.symbol(), x.symbol());
    Ok(Panel::new(title, Axis::log10(x.symbol()), Axis::log10(y.symbol()), layers))
}
