//! A network from named tensors alone: dense layers, one behind the other, as their shapes say.
//!
//! A file of tensors says nothing of what is between them. So nothing is guessed: one order must follow from the
//! shapes, with every tensor in it, or the file or the user gives it, and the user gives the activation.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;
use superlinear_nets::{Activation, Architecture, Bias, Layer, Network};
use superlinear_store::array::{Array, OwnedValues};
use superlinear_store::safetensors;

/// What carries the networks that a list of tensors cannot.
pub const GRAPHS: &str = "other networks need their graph, which ONNX carries (--model, coming)";
/// What wrappers of PyTorch put in front of every name.
const WRAPPERS: [&str; 2] = ["_orig_mod.", "module."];
/// The key under which a file's metadata may give the order of its layers.
pub const ORDER: &str = "order";
/// Orders that a message shows.
const SHOWN: usize = 4;
/// Steps of the search for orders: beyond, there are many.
const STEPS: usize = 100_000;

/// A network as it was read.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) net: Network<f64>,
    /// What the file calls its layers, first to last.
    pub(super) names: Vec<String>,
    /// Tensors that are no parameters: integers and Booleans.
    pub(super) ignored: Vec<String>,
}

/// A dense layer of the file.
struct Dense {
    name: String,
    d_in: usize,
    d_out: usize,
    weight: Vec<f64>,
    bias: Option<Vec<f64>>,
}

/// The network of the file's dense layers for inputs of `d_in` numbers, the layers in `order` (all of them by name;
/// none to find it), an activation between two.
///
/// # Errors
/// When a tensor is no part of a dense layer, no order or more than one fits, or there is no activation for a hidden
/// layer.
pub(super) fn read(path: &Path, d_in: usize, order: &[String], activation: Option<Activation>) -> Result<Chain> {
    let file = safetensors::read(path)?;
    chain(file, d_in, order, activation).with_context(|| path.display().to_string())
}

fn chain(file: safetensors::Tensors, d_in: usize, order: &[String], activation: Option<Activation>) -> Result<Chain> {
    let safetensors::Tensors { tensors, metadata } = file;
    if let Some((name, of)) =
        metadata.iter().find(|(name, of)| tensors.contains_key(*of) && !tensors.contains_key(*name))
    {
        bail!("{name} is {of}, says the metadata: a tensor that is used twice; {GRAPHS}");
    }
    let (mut parameters, mut ignored) = (BTreeMap::new(), Vec::new());
    for (name, tensor) in tensors {
        let is_float = matches!(tensor.values, OwnedValues::F32(_) | OwnedValues::F64(_));
        if is_float { drop(parameters.insert(name, tensor)) } else { ignored.push(name) }
    }
    let mut layers = dense_layers(parameters)?;
    let given = match metadata.get(ORDER) {
        Some(names) if order.is_empty() => names.split(',').map(|name| name.trim().to_owned()).collect(),
        _ => order.to_vec(),
    };
    let found = if given.is_empty() { the_order(&layers, d_in)? } else { given_order(&layers, &given, d_in)? };
    if layers.len() > 1 && activation.is_none() {
        bail!(
            "what stands between two layers is not in the file: --activation relu, tanh or identity; {GRAPHS}, GELU \
             among them"
        );
    }
    let mut places: Vec<Option<Dense>> = layers.drain(..).map(Some).collect();
    let (mut chain, mut params, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for at in found {
        let Dense { name, d_in, d_out, weight, bias } = places[at].take().expect("an order names a layer once");
        if let Some(activation) = activation.filter(|_| !chain.is_empty()) {
            chain.push(Layer::Activation(activation));
        }
        let learned = if bias.is_some() { Bias::Learned } else { Bias::None };
        chain.push(Layer::Dense { d_in, d_out, bias: learned });
        params.extend(weight);
        params.extend(bias.into_iter().flatten());
        names.push(name);
    }
    Ok(Chain { net: Network::new(Architecture::new(chain)?, params)?, names, ignored })
}

/// The layers of the file by name, if all of it is dense layers.
fn dense_layers(mut tensors: BTreeMap<String, Array>) -> Result<Vec<Dense>> {
    let all: Vec<String> = tensors.keys().cloned().collect();
    let stems: Vec<String> = all.iter().filter_map(|name| name.strip_suffix(".weight")).map(str::to_owned).collect();
    if stems.is_empty() {
        bail!("no tensor is called `<layer>.weight`; found {}", all.join(", "));
    }
    let mut layers = Vec::new();
    for stem in stems {
        let weight = tensors.remove(&format!("{stem}.weight")).expect("its name is from here");
        let refused =
            |what: &str| -> Result<Vec<Dense>> { bail!("{stem}.weight is {:?}: {what}; {GRAPHS}", weight.shape) };
        if tensors.contains_key(&format!("{stem}.running_mean")) {
            return refused("batch normalisation");
        }
        let &[d_out, d_in] = &weight.shape[..] else {
            return refused(match weight.shape.len() {
                1 => "a normalisation, as batch norm and layer norm have",
                3..=5 => "a convolution",
                _ => "expected a dense layer, [d_out, d_in]",
            });
        };
        if looks_embedding(&stem) {
            return refused("an embedding by its name, rows to look up and not a dense layer");
        }
        let bias = tensors.remove(&format!("{stem}.bias"));
        if let Some(bias) = bias.as_ref().filter(|bias| bias.shape != [d_out]) {
            bail!("{stem}.bias is {:?}, expected [{d_out}]", bias.shape);
        }
        let bare = WRAPPERS.iter().fold(stem.as_str(), |name, wrapper| name.strip_prefix(wrapper).unwrap_or(name));
        let (name, bias) = (bare.to_owned(), bias.map(floats));
        layers.push(Dense { name, d_in, d_out, weight: floats(weight), bias });
    }
    match tensors.keys().next() {
        Some(other) => bail!("{other} is neither the weight nor the bias of a dense layer; {GRAPHS}"),
        None => Ok(layers),
    }
}

fn looks_embedding(stem: &str) -> bool {
    let last = stem.rsplit('.').next().unwrap_or(stem).to_ascii_lowercase();
    last.starts_with("emb")
        || last.ends_with("embedding")
        || last.ends_with("embeddings")
        || ["wte", "wpe"].contains(&last.as_str())
}

/// Those of a float tensor; both widths are exact.
fn floats(array: Array) -> Vec<f64> {
    match array.values {
        OwnedValues::F64(values) => values,
        OwnedValues::F32(values) => values.into_iter().map(f64::from).collect(),
        _ => unreachable!("integers and Booleans are no parameters"),
    }
}

/// The only order in which every layer takes what the one before it gives, and the first `d_in` numbers.
fn the_order(layers: &[Dense], d_in: usize) -> Result<Vec<usize>> {
    let (mut found, mut steps) = (Vec::new(), 0);
    orders(layers, d_in, &mut Vec::new(), &mut found, &mut steps);
    let shapes = || {
        let shapes = layers.iter().map(|layer| format!("{} [{}, {}]", layer.name, layer.d_out, layer.d_in));
        shapes.collect::<Vec<_>>().join(", ")
    };
    match &found[..] {
        [one] if steps < STEPS => Ok(one.clone()),
        [] if steps < STEPS => bail!(
            "in no order do the layers take x of {d_in} numbers and what the one before gives: {}; {GRAPHS}",
            shapes()
        ),
        _ => {
            let shown = found
                .iter()
                .take(SHOWN)
                .map(|order| order.iter().map(|&at| layers[at].name.as_str()).collect::<Vec<_>>().join(","));
            let more = if found.len() > SHOWN || steps >= STEPS { " or another" } else { "" };
            let shown = shown.collect::<Vec<_>>().join(" or ");
            bail!(
                "the order of the layers does not follow from their shapes ({}): --order {shown}{more}, if it is a \
                 chain; {GRAPHS}",
                shapes()
            )
        }
    }
}

/// One order more than are shown, at most.
fn orders(layers: &[Dense], width: usize, so_far: &mut Vec<usize>, found: &mut Vec<Vec<usize>>, steps: &mut usize) {
    *steps += 1;
    if found.len() > SHOWN || *steps >= STEPS {
        return;
    }
    if so_far.len() == layers.len() {
        return found.push(so_far.clone());
    }
    for at in 0..layers.len() {
        if layers[at].d_in == width && !so_far.contains(&at) {
            so_far.push(at);
            orders(layers, layers[at].d_out, so_far, found, steps);
            so_far.pop();
        }
    }
}

/// The order that somebody gives, checked.
fn given_order(layers: &[Dense], names: &[String], d_in: usize) -> Result<Vec<usize>> {
    let known = || layers.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut order = Vec::new();
    let (mut width, mut from) = (d_in, "x".to_owned());
    for name in names {
        let bare = WRAPPERS.iter().fold(name.as_str(), |name, wrapper| name.strip_prefix(wrapper).unwrap_or(name));
        let Some(at) = layers.iter().position(|layer| layer.name == bare) else {
            bail!("--order: no layer {name:?} in the file; it has {}", known());
        };
        if order.contains(&at) {
            bail!("--order: {name} stands there twice; {GRAPHS}");
        }
        if layers[at].d_in != width {
            bail!("--order: {name} takes {} numbers, but {from} gives {width}", layers[at].d_in);
        }
        (width, from) = (layers[at].d_out, name.clone());
        order.push(at);
    }
    if order.len() < layers.len() {
        bail!("--order: {} of {} layers; the file has {}", order.len(), layers.len(), known());
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of a file of these tensors, all of ones.
    fn read_with(
        tensors: &[(&str, &[usize])],
        metadata: &[(&str, &str)],
        order: &[&str],
        d_in: usize,
    ) -> Result<Chain> {
        let array = |shape: &[usize]| Array {
            shape: shape.to_vec(),
            values: OwnedValues::F32(vec![1.0; shape.iter().product()]),
        };
        let tensors = tensors.iter().map(|(name, shape)| ((*name).to_owned(), array(shape))).collect();
        let metadata = metadata.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        let order: Vec<String> = order.iter().map(|&name| name.to_owned()).collect();
        chain(safetensors::Tensors { tensors, metadata }, d_in, &order, Some(Activation::Tanh))
    }

    #[test]
    fn shapes_give_the_order_whatever_the_names() {
        let hidden = [
            ("classifier.weight", &[4, 5][..]),
            ("hidden_layers.0.weight", &[10, 12]),
            ("hidden_layers.0.bias", &[10]),
            ("hidden_layers.1.weight", &[5, 10]),
        ];
        let found = read_with(&hidden, &[], &[], 12).unwrap();
        assert_eq!(found.names, ["hidden_layers.0", "hidden_layers.1", "classifier"]);
        let architecture = found.net.architecture();
        let biases: Vec<bool> = architecture.dense_layers().iter().map(|layer| layer.bias.is_some()).collect();
        assert_eq!((biases, found.net.params().len()), (vec![true, false, false], 120 + 10 + 50 + 20));
        // Both directions fit, but not these inputs.
        let both = [("encoder.weight", &[5, 12][..]), ("decoder.weight", &[12, 5])];
        assert_eq!(read_with(&both, &[], &[], 12).unwrap().names, ["encoder", "decoder"]);
        assert_eq!(read_with(&both, &[], &[], 5).unwrap().names, ["decoder", "encoder"]);
        let compiled = [("_orig_mod.0.weight", &[8, 12][..]), ("_orig_mod.2.weight", &[4, 8])];
        assert_eq!(read_with(&compiled, &[], &[], 12).unwrap().names, ["0", "2"]);
    }

    #[test]
    fn an_order_is_never_guessed() {
        let square = [("hidden.weight", &[3, 3][..]), ("inp.weight", &[3, 3])];
        let error = format!("{:#}", read_with(&square, &[], &[], 3).unwrap_err());
        assert!(
            error.contains("--order hidden,inp or inp,hidden, if it is a chain") && error.contains("ONNX"),
            "{error}"
        );
        assert_eq!(read_with(&square, &[], &["inp", "hidden"], 3).unwrap().names, ["inp", "hidden"]);
        assert_eq!(read_with(&square, &[("order", "inp,hidden")], &[], 3).unwrap().names, ["inp", "hidden"]);
        let many: Vec<String> = (0..12).map(|k| format!("{k}.weight")).collect();
        let many: Vec<(&str, &[usize])> = many.iter().map(|name| (name.as_str(), &[2, 2][..])).collect();
        let error = format!("{:#}", read_with(&many, &[], &[], 2).unwrap_err());
        assert!(error.contains(" or another, if it is a chain"), "{error}");
        for (order, words) in [
            (&["inp"][..], "--order: 1 of 2 layers; the file has hidden, inp"),
            (&["inp", "inp"], "inp stands there twice"),
            (&["fc1", "inp"], "no layer \"fc1\" in the file; it has hidden, inp"),
        ] {
            let error = format!("{:#}", read_with(&square, &[], order, 3).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_no_chain_of_dense_layers_is_named() {
        for (tensors, metadata, words) in [
            (&[("a", &[2, 2][..])][..], &[][..], "no tensor is called `<layer>.weight`; found a"),
            (&[("conv.weight", &[4, 3, 3, 3])], &[], "conv.weight is [4, 3, 3, 3]: a convolution; other networks"),
            (&[("bn1.weight", &[8])], &[], "bn1.weight is [8]: a normalisation, as batch norm"),
            (&[("bn1.running_mean", &[8]), ("bn1.weight", &[8])], &[], "batch normalisation"),
            (&[("tok_embedding.weight", &[8, 3])], &[], "an embedding by its name"),
            (&[("0.weight", &[4, 3]), ("1.weight", &[2, 5])], &[], "in no order do the layers take x of 3 numbers"),
            (&[("0.weight", &[4, 3]), ("0.bias", &[3])], &[], "0.bias is [3], expected [4]"),
            (&[("0.weight", &[4, 3]), ("1.scale", &[4])], &[], "1.scale is neither the weight nor the bias"),
            (&[("a.weight", &[3, 3])], &[("b.weight", "a.weight")], "b.weight is a.weight, says the metadata"),
        ] {
            let error = format!("{:#}", read_with(tensors, metadata, &[], 3).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn an_activation_has_no_default_and_integers_are_no_parameters() {
        let array = |shape: &[usize], values| Array { shape: shape.to_vec(), values };
        let file = || {
            let tensors = BTreeMap::from([
                ("0.weight".to_owned(), array(&[1, 2], OwnedValues::F64(vec![1.0, 2.0]))),
                ("1.weight".to_owned(), array(&[2, 1], OwnedValues::F32(vec![3.0, 4.0]))),
                ("step".to_owned(), array(&[], OwnedValues::I64(vec![7]))),
            ]);
            safetensors::Tensors { tensors, metadata: BTreeMap::new() }
        };
        let error = chain(file(), 2, &[], None).unwrap_err().to_string();
        assert!(error.contains("--activation relu, tanh or identity"), "{error}");
        let found = chain(file(), 2, &[], Some(Activation::Relu)).unwrap();
        assert_eq!((found.net.params(), found.ignored), (&[1.0, 2.0, 3.0, 4.0][..], vec!["step".to_owned()]));
        let mut single = file();
        single.tensors.remove("1.weight");
        assert!(chain(single, 2, &[], None).is_ok(), "nothing stands between one layer");
    }
}
