//! A network from named tensors alone: dense layers, one behind the other, as their shapes say.
//!
//! A file of tensors says nothing of what is between them. So nothing is guessed: one order must follow from the
//! shapes, with every tensor in it, or the file or the user gives it, and the user gives the activation.

use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use superlinear_nets::{Activation, Architecture, Bias, Layer, Network};
use superlinear_store::array::{Array, OwnedValues};
use superlinear_store::safetensors;

/// What carries the networks that a list of tensors cannot.
pub const GRAPHS: &str = "other networks need their graph: export it as ONNX, for `analyse --model`";
/// What wrappers of PyTorch put in front of every name.
const WRAPPERS: [&str; 2] = ["_orig_mod.", "module."];
/// The key under which a file's metadata may give the order of its layers.
pub const ORDER: &str = "order";
/// Orders that a message shows.
const SHOWN: usize = 4;

/// A network as it was read.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) net: Network<f64>,
    /// What the file calls its layers, first to last.
    pub(super) names: Vec<String>,
    /// Tensors that are no parameters: integers and Booleans.
    pub(super) ignored: Vec<String>,
    /// Why more may act between the layers than the file shows, unless somebody gave their order.
    pub(super) doubt: Option<String>,
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
    let doubt = if given.is_empty() { unseen_modules(&layers, &found) } else { None };
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
    Ok(Chain { net: Network::new(Architecture::new(chain)?, params)?, names, ignored, doubt })
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
        let (name, bias) = (bare(&stem).to_owned(), bias.map(floats));
        if layers.iter().any(|layer: &Dense| layer.name == name) {
            bail!("two layers are called {name}, wrappers of PyTorch apart: {}", all.join(", "));
        }
        layers.push(Dense { name, d_in, d_out, weight: floats(weight), bias });
    }
    match tensors.keys().next() {
        Some(other) => bail!("{other} is neither the weight nor the bias of a dense layer; {GRAPHS}"),
        None => Ok(layers),
    }
}

/// A name without what wrappers of PyTorch put in front of it, however many there are.
pub(super) fn bare(name: &str) -> &str {
    let without = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper));
    without.map_or(name, bare)
}

/// What the numbers of a `Sequential` say of modules that have no parameters: one between any two layers is the
/// activation, none means that it is not among the modules, and anything else is for the user to tell.
fn unseen_modules(layers: &[Dense], order: &[usize]) -> Option<String> {
    let numbered = |at: &usize| {
        let (folder, number) = layers[*at].name.rsplit_once('.').unwrap_or(("", &layers[*at].name));
        Some((folder, number.parse::<u64>().ok()?))
    };
    let numbers: Vec<_> = order.iter().map(numbered).collect();
    let between = |pair: &[Option<(&str, u64)>]| match pair {
        [Some((folder, first)), Some((same, second))] if folder == same => second.checked_sub(first + 1),
        _ => None,
    };
    let counts: Vec<u64> = numbers.windows(2).filter_map(between).collect();
    let (least, most) = (counts.iter().min()?, counts.iter().max()?);
    if most <= &1 && least == most {
        return None;
    }
    let names = order.iter().map(|&at| layers[at].name.as_str()).collect::<Vec<_>>().join(",");
    let counts = counts.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    Some(format!(
        "by their numbers, {counts} modules stand between the layers {names}: not one activation each, and the file \
         shows no module without parameters, such as a normalisation; `logits` in the data check the network, or \
         --order {names} says that nothing but the activation acts between two; {GRAPHS}"
    ))
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
    let mut found = Vec::new();
    orders(layers, d_in, &mut Vec::new(), &mut found);
    let shapes = || {
        let shapes = layers.iter().map(|layer| format!("{} [{}, {}]", layer.name, layer.d_out, layer.d_in));
        shapes.collect::<Vec<_>>().join(", ")
    };
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => bail!(
            "in no order do the layers take x of {d_in} numbers and what the one before gives: {}; {GRAPHS}",
            shapes()
        ),
        _ => {
            let shown = found
                .iter()
                .take(SHOWN)
                .map(|order| order.iter().map(|&at| layers[at].name.as_str()).collect::<Vec<_>>().join(","));
            let more = if found.len() > SHOWN { " or another" } else { "" };
            let shown = shown.collect::<Vec<_>>().join(" or ");
            bail!(
                "the order of the layers does not follow from their shapes ({}): --order {shown}{more}, if it is a \
                 chain; {GRAPHS}",
                shapes()
            )
        }
    }
}

/// One order more than are shown, at most. No step is taken that cannot be completed, so none is taken back in vain.
fn orders(layers: &[Dense], width: usize, so_far: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    if found.len() > SHOWN || !can_be_completed(layers, width, so_far) {
        return;
    }
    if so_far.len() == layers.len() {
        return found.push(so_far.clone());
    }
    for at in 0..layers.len() {
        if layers[at].d_in == width && !so_far.contains(&at) {
            so_far.push(at);
            orders(layers, layers[at].d_out, so_far, found);
            so_far.pop();
        }
    }
}

/// Whether what is left is a chain from `width` on, in some order: Euler's condition, widths as the points and layers
/// as the ways from one to another.
fn can_be_completed(layers: &[Dense], width: usize, so_far: &[usize]) -> bool {
    let left: Vec<&Dense> = (0..layers.len()).filter(|at| !so_far.contains(at)).map(|at| &layers[at]).collect();
    let mut surplus = BTreeMap::from([(width, 0_i64)]);
    for layer in &left {
        *surplus.entry(layer.d_in).or_default() += 1;
        *surplus.entry(layer.d_out).or_default() -= 1;
    }
    let is_balanced = surplus.iter().all(|(at, more)| *more == 0 || (*at == width && *more == 1) || *more == -1)
        && surplus.values().filter(|more| **more == -1).count() <= 1;
    // Every way is connected with the first point.
    let mut reached = BTreeSet::from([width]);
    loop {
        let before = reached.len();
        for layer in &left {
            if reached.contains(&layer.d_in) || reached.contains(&layer.d_out) {
                reached.extend([layer.d_in, layer.d_out]);
            }
        }
        if reached.len() == before {
            return is_balanced && left.iter().all(|layer| reached.contains(&layer.d_in));
        }
    }
}

/// The order that somebody gives, checked.
fn given_order(layers: &[Dense], names: &[String], d_in: usize) -> Result<Vec<usize>> {
    let known = || layers.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut order = Vec::new();
    let (mut width, mut from) = (d_in, "x".to_owned());
    for name in names {
        let Some(at) = layers.iter().position(|layer| layer.name == bare(name)) else {
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
        let compiled = [("module._orig_mod.0.weight", &[8, 12][..]), ("module._orig_mod.2.weight", &[4, 8])];
        assert_eq!(read_with(&compiled, &[], &[], 12).unwrap().names, ["0", "2"]);
    }

    #[test]
    fn what_stands_unseen_between_layers_is_doubted() {
        for (numbers, between) in [
            ([0, 2, 4], None),
            ([0, 1, 2], None),
            ([1, 3, 5], None),
            ([0, 3, 5], Some("2, 1 modules")),
            ([0, 3, 6], Some("2, 2 modules")),
            ([0, 2, 3], Some("1, 0 modules")),
        ] {
            let names = numbers.map(|k| format!("net.{k}.weight"));
            let shapes: [&[usize]; 3] = [&[4, 3], &[5, 4], &[2, 5]];
            let tensors: Vec<_> = names.iter().map(String::as_str).zip(shapes).collect();
            let doubt = read_with(&tensors, &[], &[], 3).unwrap().doubt;
            assert_eq!(doubt.is_some(), between.is_some(), "{numbers:?}: {doubt:?}");
            assert!(doubt.unwrap_or_default().contains(between.unwrap_or_default()));
            let order = numbers.map(|k| format!("net.{k}"));
            let given = read_with(&tensors, &[], &order.each_ref().map(String::as_str), 3).unwrap();
            assert_eq!(given.doubt, None, "who gives the order knows");
        }
        assert_eq!(read_with(&[("a.0.weight", &[4, 3]), ("b.5.weight", &[2, 4])], &[], &[], 3).unwrap().doubt, None);
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
        // As many in vain would take years, if they were all tried.
        let vain: Vec<(&str, &[usize])> = many.iter().copied().chain([("head.weight", &[3, 7][..])]).collect();
        let error = format!("{:#}", read_with(&vain, &[], &[], 2).unwrap_err());
        assert!(error.contains("in no order do the layers take x of 2 numbers"), "{error}");
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
            (&[("a.weight", &[3, 3]), ("module.a.weight", &[3, 3])], &[], "two layers are called a"),
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
