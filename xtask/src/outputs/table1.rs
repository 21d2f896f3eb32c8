//! `table1`: γ_emp and γ_AWD of every setting, ours beside them, and every run's fits.

use super::{Drawn, Table, exponent, words};
use crate::fits::Exponents;
use crate::record::RunRecord;
use anyhow::Result;
use superlinear_stats::summary::mean_sd;
use superlinear_stats::{PowerLawFit, loglog, over_seeds as over_seeds_t};

pub(super) fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let fits = runs.iter().map(|run| Ok((*run, Exponents::of(run)?))).collect::<Result<Vec<_>>>()?;
    Ok(Drawn { figures: Vec::new(), tables: vec![by_setting(&fits)?, by_layer(runs)?] })
}

fn by_setting(fits: &[(&RunRecord, Exponents)]) -> Result<Table> {
    let mut settings: Vec<String> = Vec::new();
    for (run, _) in fits {
        if !settings.contains(&run.spec.setting()) {
            settings.push(run.spec.setting());
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
        let words = words(spec);
        rows.push(vec![
            words.dataset.to_owned(),
            words.model.to_owned(),
            words.loss.to_owned(),
            spec.n_classes.to_string(),
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
    }
    let caption = "Exponents over the top 𝒩 directions, mean ± sd over seeds. The paper's: γ_emp of the measured C_ii on \
                   H_ii, and γ_AWD of (M₂)_ii = E_p[h_p²]_ii on H_ii, which the duality derives; the slope of C_ii on \
                   (M₂)_ii is 1 where C follows M₂; R² of γ_emp's fit. Ours beside them: Student's 95 % interval of γ_emp \
                   over seeds; γ_dual, the exponent of the duality's full covariance C_AWD; 𝒩 found, the directions above \
                   the noise floor that the signs of the eigenvalues of H show (none where in some seed no floor tells \
                   noise from curvature), and γ_emp over these.";
    Ok(Table {
        name: "table1".to_owned(),
        caption: caption.to_owned(),
        header: vec![
            "data",
            "model",
            "loss",
            "classes",
            "γ_emp",
            "γ_AWD",
            "C on M₂",
            "R²",
            "𝒩",
            "seeds",
            "ours: 95 % over seeds",
            "γ_dual",
            "𝒩 found",
            "γ_emp over it",
        ],
        rows,
    })
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
                dropped.below_noise_floor.to_string(),
                dropped.non_finite.to_string(),
            ]);
        }
    }
    Ok(Table {
        name: "fits".to_owned(),
        caption:
            "Every fit of every analysed layer (counted from 1): slope, heteroscedasticity-robust standard error over \
             directions (HC3), standard error and 95 % interval of a bootstrap over samples in the fixed eigenbasis, R², \
             directions looked at and used, and directions dropped by cause."
                .to_owned(),
        header: vec![
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
        ],
        rows,
    })
}
