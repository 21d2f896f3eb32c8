//! A network's parameters by name, as in exported weights: `fc1.weight`, `conv2.bias`.

use anyhow::{Result, bail};
use superlinear_curvature::{Parameter, Part, Selection};
use superlinear_nets::{Architecture, Layer};

/// Names of the layers with parameters, with their positions.
pub fn layer_names(architecture: &Architecture) -> Vec<(usize, String)> {
    let (mut dense, mut conv) = (0, 0);
    let mut names = Vec::new();
    for (position, layer) in architecture.layers().iter().enumerate() {
        match layer {
            Layer::Dense { .. } => {
                dense += 1;
                names.push((position, format!("fc{dense}")));
            }
            Layer::Conv3x3 { .. } => {
                conv += 1;
                names.push((position, format!("conv{conv}")));
            }
            _ => {}
        }
    }
    names
}

/// The parameters that `names` stand for: `fc2` is a layer's weight with its bias, `fc2.weight` the weight alone, `all`
/// all.
///
/// # Errors
/// When there are no names, one is unknown (the known ones are listed), or a tensor is named twice.
pub fn select(architecture: &Architecture, names: &[String]) -> Result<Selection> {
    select_by(architecture, &[], names)
}

/// [`select`], where a file has names of its own for the layers, first to last: those come first, `fc2` and the like
/// mean what they always do unless the file has that name elsewhere.
///
/// # Errors
/// As [`select`]; the file's names are listed.
pub fn select_by(architecture: &Architecture, own: &[String], names: &[String]) -> Result<Selection> {
    let names: Vec<&str> = names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    let numbered = layer_names(architecture);
    let layers: Vec<(usize, String)> = if own.is_empty() {
        numbered.clone()
    } else {
        numbered.iter().zip(own).map(|((position, _), own)| (*position, own.clone())).collect()
    };
    // What the file calls something else is not a number's name.
    let further = numbered.iter().filter(|(_, name)| !layers.iter().any(|(_, own)| own == name));
    let named: Vec<&(usize, String)> = layers.iter().chain(further).collect();
    let of_layer = |position: usize| {
        let has = move |part: &Part| *part == Part::Weight || !architecture.bias_params(position).is_empty();
        [Part::Weight, Part::Bias].into_iter().filter(has).map(move |part| Parameter { layer: position, part })
    };
    let known = || {
        let tensors = layers.iter().flat_map(|(position, name)| {
            let parts = of_layer(*position).map(move |parameter| format!("{name}.{}", parameter.part));
            std::iter::once(name.clone()).chain(parts)
        });
        std::iter::once("all".to_owned()).chain(tensors).collect::<Vec<_>>().join(", ")
    };
    if names.is_empty() {
        bail!("no parameters selected; known: {}", known());
    }
    let mut selected: Vec<(Parameter, &str)> = Vec::new();
    for name in names {
        let named = named.iter().flat_map(|(position, layer)| of_layer(*position).map(move |at| (at, layer)));
        let mut found = named
            .filter(|(at, layer)| name == "all" || name == layer.as_str() || name == format!("{layer}.{}", at.part))
            .map(|(at, _)| at)
            .collect::<Vec<_>>();
        found.sort_by_key(|at| (at.layer, at.part == Part::Bias));
        found.dedup();
        if found.is_empty() {
            bail!("no parameters {name:?} in this network; known: {}", known());
        }
        for parameter in found {
            if let Some((_, other)) = selected.iter().find(|(at, _)| *at == parameter) {
                bail!("parameters of {name:?} are named twice, also by {other:?}");
            }
            selected.push((parameter, name));
        }
    }
    Ok(Selection::new(architecture, selected.into_iter().map(|(parameter, _)| parameter))?)
}

/// The selected tensors by name, in the order of a vector over `selection`, each with how many entries it has.
pub fn layout(architecture: &Architecture, selection: &Selection) -> Vec<(String, usize)> {
    let layers = layer_names(architecture);
    let named = |at: &Parameter| {
        let layer = layers.iter().find(|(position, _)| *position == at.layer).map_or("", |(_, name)| name);
        format!("{layer}.{}", at.part)
    };
    selection.parameters().iter().map(named).zip(selection.offsets().map(|entries| entries.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use superlinear_nets::ImageShape;

    #[test]
    fn a_files_own_names_come_first() {
        let architecture = Architecture::mlp(&[4, 3, 2, 2], superlinear_nets::Activation::Relu).unwrap();
        let own = ["fc2", "mid", "fc1"].map(str::to_owned);
        let select = |name: &str| select_by(&architecture, &own, &[name.to_owned()]);
        let first = Selection::dense_weights(&architecture, [0]).unwrap();
        assert_eq!(select("fc2.weight").unwrap(), first, "the file's fc2 is its first layer");
        assert_eq!(select("mid.weight").unwrap(), Selection::dense_weights(&architecture, [1]).unwrap());
        assert_eq!(select("fc3.weight").unwrap(), Selection::dense_weights(&architecture, [2]).unwrap());
        assert_eq!(select("all").unwrap(), Selection::all(&architecture));
        let error = select("fc9").unwrap_err().to_string();
        assert!(error.contains("known: all, fc2, fc2.weight") && error.contains("mid"), "{error}");
    }

    #[test]
    fn names_stand_for_tensors() {
        let architecture = Architecture::paper_cnn(ImageShape { channels: 3, height: 8, width: 8 }).unwrap();
        let select = |names: &[&str]| select(&architecture, &names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>());
        assert_eq!(select(&["all"]).unwrap(), Selection::all(&architecture));
        assert_eq!(select(&["fc2", "conv1.weight"]).unwrap().n_params(), 20 * 10 + 10 + 27 * 32);
        let two = layout(&architecture, &select(&["fc2", "conv1.weight"]).unwrap());
        let expected = [("conv1.weight", 27 * 32), ("fc2.weight", 20 * 10), ("fc2.bias", 10)];
        assert_eq!(two, expected.map(|(name, len)| (name.to_owned(), len)));
        assert_eq!(select(&["fc1"]).unwrap(), Selection::dense_weights(&architecture, [0]).unwrap());
        for (names, words) in [
            (&[""][..], "no parameters selected; known: all, conv1, conv1.weight, conv1.bias"),
            (&["fc1.bias"], "no parameters \"fc1.bias\""),
            (&["conv1.weight", "conv1"], "\"conv1\" are named twice, also by \"conv1.weight\""),
            (&["all", "fc1"], "named twice"),
        ] {
            let error = select(names).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
