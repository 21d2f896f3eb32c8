//! `table1`: γ_emp and γ_AWD of every setting, ours beside them, and every run's fits.

use super::{Drawn, Looks, Output, Shows, Table, caption, columns, exponent, filled};
use crate::fits::Exponents;
use anyhow::Result;
use superlinear_experiments::record::RunRecord;
use superlinear_stats::summary::mean_sd;
use superlinear_stats::{PowerLawFit, loglog, over_seeds as over_seeds_t};

pub(super) const OUTPUT: Output = Output {
    id: "table1",
    about: "γ of every setting, mean ± sd over seeds",
    shows: Shows::All,
    needs: Looks::AtTheEnd,
    draw,
};

fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let fits = runs.iter().map(|run| Ok((*run, Exponents::of(run)?))).collect::<Result<Vec<_>>>()?;
    Ok(Drawn { figures: Vec::new(), tables: vec![by_setting(&fits)?, by_layer(runs)?] })
}

/// The columns behind a setting's own.
const NUMBERS: [&str; 10] =
    ["γ_emp", "γ_AWD", "C on M₂", "R²", "𝒩", "seeds", "ours: 95 % over seeds", "γ_dual", "𝒩 found", "γ_emp over it"];

fn by_setting(fits: &[(&RunRecord, Exponents)]) -> Result<Table> {
    let mut settings: Vec<String> = Vec::new();
    for (run, _) in fits {
        if !settings.contains(&run.spec.setting()) {
            settings.push(run.spec.setting());
        }
    }
    let mut keys: Vec<&str> = Vec::new();
    for swept in fits.iter().flat_map(|(run, _)| &run.spec.swept) {
        if !keys.contains(&swept.key.as_str()) {
            keys.push(&swept.key);
        }
    }
    let mut rows = Vec::new();
    for setting in settings {
        let of_setting: Vec<_> = fits.iter().filter(|(run, _)| run.spec.setting() == setting).collect();
        let spec = &of_setting[0].0.spec;
        let over_seeds = |slope: fn(&Exponents) -> f64| -> Result<String> {
            let slopes: Vec<f64> = of_setting.iter().map(|(_, fit)| slope(fit)).collect();
            Ok(format!("{:.3}", mean_sd(&slopes)?))
        };
        let slopes: Vec<f64> = of_setting.iter().map(|(_, fit)| fit.emp.value()).collect();
        let interval = over_seeds_t(&slopes, 0.95)?.interval;
        // Where noise cannot be told from curvature in some run, there is no number of ours.
        let found: Option<Vec<(f64, f64)>> = of_setting
            .iter()
            .map(|(run, _)| {
                let n = exponent::found(run)?;
                Some((n as f64, loglog::fit(&run.layer().h, &run.layer().c, n).ok()?.slope))
            })
            .collect();
        let none = || ["none".to_owned(), "none".to_owned()];
        let [n_found, over_found] = match &found {
            None => none(),
            Some(found) => {
                let mean = |of: fn(&(f64, f64)) -> f64| mean_sd(&found.iter().map(of).collect::<Vec<_>>());
                [format!("{:.0}", mean(|(n, _)| *n)?), format!("{:.3}", mean(|(_, slope)| *slope)?)]
            }
        };
        let mut row = vec![
            spec.dataset_words().to_owned(),
            spec.network_words(),
            spec.loss_words().to_owned(),
            spec.n_classes.to_string(),
        ];
        row.extend(keys.iter().map(|key| {
            let swept = spec.swept.iter().find(|swept| swept.key == *key);
            swept.map_or_else(String::new, |swept| swept.value.to_string())
        }));
        row.extend([
            over_seeds(|fit| fit.emp.value())?,
            over_seeds(|fit| fit.awd.value())?,
            over_seeds(|fit| fit.c_on_m2.value())?,
            over_seeds(|fit| fit.emp.fit.r2)?,
            spec.top.to_string(),
            of_setting.len().to_string(),
            interval.map_or_else(|| "one seed".to_owned(), |t| format!("{:.3} to {:.3}", t.low, t.high)),
            over_seeds(|fit| fit.dual.value())?,
            n_found,
            over_found,
        ]);
        rows.push(row);
    }
    let mut header: Vec<String> = ["data", "model", "loss", "classes"].map(str::to_owned).to_vec();
    header.extend(keys.iter().map(|key| key.replace('_', " ")));
    header.extend(NUMBERS.map(str::to_owned));
    Ok(Table { name: "table1".to_owned(), caption: filled(caption!("table1"), &[]), header, rows })
}

fn by_layer(runs: &[&RunRecord]) -> Result<Table> {
    let mut rows = Vec::new();
    for (run, layer) in runs.iter().flat_map(|run| run.trained_layers().map(move |layer| (run, layer))) {
        let Exponents { emp, awd, c_on_m2, dual } = Exponents::of_layer(&run.spec, layer)?;
        for (name, pair, fit) in [
            ("γ_emp", "C on H", emp),
            ("γ_AWD", "M2 on H", awd),
            ("", "C on M2", c_on_m2),
            ("γ_dual", "C_AWD on H", dual),
        ] {
            let sampling = fit.sampling.map_or_else(
                || [String::new(), String::new()],
                |sampling| {
                    let [low, high] = sampling.interval;
                    [format!("{:.6}", sampling.se), format!("{low:.6} to {high:.6}")]
                },
            );
            let PowerLawFit { slope, se, r2, n_used, top, dropped, .. } = fit.fit;
            rows.push(vec![
                run.spec.id(),
                (layer.dense + 1).to_string(),
                name.to_owned(),
                pair.to_owned(),
                format!("{slope:.6}"),
                format!("{se:.6}"),
                sampling[0].clone(),
                sampling[1].clone(),
                format!("{r2:.6}"),
                top.to_string(),
                n_used.to_string(),
                dropped.non_positive_x.to_string(),
                dropped.non_positive_y.to_string(),
                (dropped.below_noise_floor + dropped.ordinate_below_floor).to_string(),
                dropped.non_finite.to_string(),
            ]);
        }
    }
    Ok(Table {
        name: "fits".to_owned(),
        caption: filled(caption!("fits"), &[]),
        header: columns(&[
            "run",
            "layer",
            "name",
            "pair",
            "slope",
            "se",
            "sampling se",
            "95 % interval",
            "r2",
            "top",
            "used",
            "non-positive x",
            "non-positive y",
            "below noise floor",
            "not finite",
        ]),
        rows,
    })
}
