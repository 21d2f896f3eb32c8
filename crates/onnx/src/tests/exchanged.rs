//! Exports in which parts have been exchanged.

use super::INT64;
use crate::proto::{GraphProto, ModelProto, TensorProto};
use crate::{Options, from_bytes};
use prost::Message;
use superlinear_nets::DenseGraphSamples;

/// Exports whose numbers, names and operations are exchanged at random are networks or errors; nothing panics. Fifty
/// times as many with `SUPERLINEAR_SLOW=1`.
#[test]
fn exchanged_parts_are_networks_or_errors() {
    let times = if std::env::var("SUPERLINEAR_SLOW").is_ok_and(|value| value == "1") { 5_000 } else { 100 };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/onnx");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "onnx"));
    files.sort();
    let mut state = 88_172_645_463_325_252_u64;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n.max(1) as u64) as usize
    };
    let (mut n_read, mut n_refused) = (0, 0);
    for path in files {
        let file = ModelProto::decode(&*std::fs::read(&path).unwrap()).unwrap();
        for k in 0..times {
            let mut mutant = file.clone();
            for _ in 0..=below(3) {
                exchange(mutant.graph.as_mut().unwrap(), &mut below);
            }
            let bytes = mutant.encode_to_vec();
            let outcome = std::panic::catch_unwind(|| {
                let read = from_bytes(&bytes, None, &Options::default()).ok()?;
                let graph = read.model().graph();
                let entries: usize = graph.nodes().map(|v| graph.shape(v).iter().product::<usize>()).sum();
                if entries < 100_000 && graph.n_params() < 100_000 {
                    let ones = |v| faer::Mat::from_fn(graph.shape(v).iter().product(), 1, |_, _| 1.0);
                    let inputs = graph.inputs().map(ones).collect();
                    let _ = read.model().outputs(&DenseGraphSamples::new(inputs, faer::Mat::zeros(1, 1)), 0..1);
                }
                Some(())
            });
            match outcome {
                Ok(Some(())) => n_read += 1,
                Ok(None) => n_refused += 1,
                Err(_) => panic!("{}, time {k}", path.display()),
            }
        }
    }
    assert!(n_read > 100 && n_refused > 100, "{n_read} read, {n_refused} refused");
}

/// Exchanges a number, a name or an operation.
fn exchange(graph: &mut GraphProto, below: &mut impl FnMut(usize) -> usize) {
    const NUMBERS: [i64; 14] = [-1, 0, 1, 2, 3, 4, 5, 7, 12, -2, 1 << 20, 1 << 31, i64::MAX, i64::MIN];
    let number = NUMBERS[below(NUMBERS.len())];
    let names: Vec<String> =
        graph.node.iter().flat_map(|node| node.output.iter().chain(&node.input).cloned()).collect();
    let ops: Vec<String> = graph.node.iter().map(|node| node.op_type.clone()).collect();
    let (n_nodes, n_tensors) = (graph.node.len(), graph.initializer.len());
    let node = &mut graph.node[below(n_nodes)];
    match below(8) {
        0 if !node.input.is_empty() => {
            let i = below(node.input.len());
            node.input[i] = names[below(names.len())].clone();
        }
        1 => {
            const OTHERS: [&str; 10] = [
                "Gather",
                "Tile",
                "Softmax",
                "GroupNormalization",
                "PRelu",
                "Pow",
                "Trilu",
                "Range",
                "Flatten",
                "Where",
            ];
            node.op_type = match below(2) {
                0 => OTHERS[below(OTHERS.len())].to_owned(),
                _ => ops[below(ops.len())].clone(),
            };
        }
        2 => _ = node.input.pop(),
        3 | 4 if !node.attribute.is_empty() => {
            let i = below(node.attribute.len());
            let attribute = &mut node.attribute[i];
            attribute.i = number;
            attribute.f = [f32::NAN, f32::INFINITY, -1.0, 0.5][below(4)];
            let n = attribute.ints.len();
            match below(3) {
                0 if n > 0 => attribute.ints[below(n)] = number,
                1 => attribute.ints.push(number),
                _ => _ = attribute.ints.pop(),
            }
            if let Some(tensor) = &mut attribute.t {
                other_numbers(tensor, number, below);
            }
        }
        5 if n_tensors > 0 => {
            let i = below(n_tensors);
            other_numbers(&mut graph.initializer[i], number, below);
        }
        6 => {
            let shape = graph.input[0].r#type.as_mut().and_then(|t| t.tensor_type.as_mut()?.shape.as_mut()).unwrap();
            let i = below(shape.dim.len());
            shape.dim[i].dim_value = Some(number);
        }
        _ => {
            let (i, j) = (below(n_nodes), below(n_nodes));
            let swapped = graph.node[i].attribute.clone();
            graph.node[j].attribute.extend(swapped);
        }
    }
}

/// Other axes of as many entries, or other whole numbers.
fn other_numbers(tensor: &mut TensorProto, number: i64, below: &mut impl FnMut(usize) -> usize) {
    let n = tensor.dims.iter().fold(1_i64, |n, &axis| n.saturating_mul(axis));
    match below(3) {
        0 => tensor.dims = [vec![n], vec![1, n], vec![n, 1, 1], vec![n, number]][below(4)].clone(),
        1 => tensor.dims.reverse(),
        _ if tensor.data_type == INT64 => {
            if let Some(raw) = tensor.raw_data.as_mut().filter(|raw| raw.len() >= 8) {
                let at = below(raw.len() / 8) * 8;
                raw[at..at + 8].copy_from_slice(&number.to_le_bytes());
            }
        }
        _ => tensor.data_type = [1, 6, 7, 9, 10, 11, 16][below(7)],
    }
}
