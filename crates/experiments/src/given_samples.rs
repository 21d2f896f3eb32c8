//! Samples that a user gives: an npz file of `x` [N, …], `y` and, to check a network by, `logits` [N, n_out].
//!
//! Whatever widens without losing a digit is taken; everything else is an error that names the array.

use anyhow::{Context, Result, bail};
use faer::{Mat, MatRef};
use std::path::Path;
use superlinear_store::array::{Array, OwnedValues};
use superlinear_store::npz;

/// Largest difference of logits, of the range of those given, that is taken for another precision or order of sums.
const ALIKE: f64 = 1e-4;
/// Integers up to this are floats.
const EXACT: u64 = 1 << 53;
/// Labels are bytes.
const MOST_CLASSES: usize = 256;

/// The arrays of a file.
#[derive(Debug)]
pub struct GivenSamples {
    file: String,
    n_samples: usize,
    /// One input's shape.
    shape: Vec<usize>,
    /// Sample after sample.
    x: Vec<f64>,
    y: Array,
    logits: Option<(Vec<usize>, Vec<f64>)>,
    ignored: Vec<String>,
}

impl GivenSamples {
    /// Reads the file.
    ///
    /// # Errors
    /// When there is no `x` or `y`, `x` has no sample or a number that is not finite, or `y` has another number of
    /// samples.
    pub fn read(path: &Path) -> Result<Self> {
        let (mut arrays, ignored) = npz::read_named(path, &["x", "y", "logits"])?;
        let file = path.display().to_string();
        let known = arrays.keys().chain(&ignored).cloned().collect::<Vec<_>>().join(", ");
        let mut take = |name: &str| -> Result<Array> {
            arrays.remove(name).with_context(|| format!("{file}: no array {name:?}; found {known}"))
        };
        let (x, y) = (take("x")?, take("y")?);
        let logits = take("logits").ok();
        Ok(Self { ignored, ..Self::of(file, x, y, logits)? })
    }

    /// Of arrays in memory; `file` is what messages call them.
    ///
    /// # Errors
    /// When `x` has no sample or a number that is not finite, or `y` has another number of samples.
    pub fn of(file: String, x: Array, y: Array, logits: Option<Array>) -> Result<Self> {
        let Some((&n_samples, shape)) = x.shape.split_first().filter(|(n, _)| **n > 0) else {
            bail!("{file}: x is {:?}, expected [N, …] with N > 0", x.shape);
        };
        let shape = shape.to_vec();
        let x = floats(x).with_context(|| format!("{file}: x"))?;
        if let Some(at) = x.iter().position(|x| !x.is_finite()) {
            let d = x.len() / n_samples;
            bail!("{file}: x[{}, {}] is {}", at / d, at % d, x[at]);
        }
        if y.shape.first() != Some(&n_samples) {
            bail!("{file}: y is {:?}, expected [{n_samples}, …], as x has samples", y.shape);
        }
        let logits = match logits {
            None => None,
            Some(logits) => {
                let shape = logits.shape.clone();
                Some((shape, floats(logits).with_context(|| format!("{file}: logits"))?))
            }
        };
        Ok(Self { file, n_samples, shape, x, y, logits, ignored: Vec::new() })
    }

    /// How many samples the file has.
    pub fn n_samples(&self) -> usize {
        self.n_samples
    }

    /// Numbers of an input.
    pub fn input_dim(&self) -> usize {
        self.shape.iter().product()
    }

    /// The shape of one input.
    pub fn input_shape(&self) -> &[usize] {
        &self.shape
    }

    /// Arrays that were not asked for.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Without the logits, which are those of one network.
    pub fn without_logits(self) -> Self {
        Self { logits: None, ..self }
    }

    /// Whether there are logits to check a network by.
    pub fn has_logits(&self) -> bool {
        self.logits.is_some()
    }

    /// The first `n` inputs, a column each.
    pub fn inputs(&self, n: usize) -> Mat<f64> {
        let d = self.input_dim();
        Mat::from_fn(d, n.min(self.n_samples), |i, p| self.x[p * d + i])
    }

    /// `y` as classes of a network with `n_out` logits, one a sample; `[N, 1]` is `[N]`.
    ///
    /// # Errors
    /// When `y` is no list of classes, or one is not below `n_out`.
    pub fn labels(&self, n_out: usize) -> Result<Vec<u8>> {
        self.classes(n_out).with_context(|| format!("{}: y", self.file))
    }

    fn classes(&self, n_out: usize) -> Result<Vec<u8>> {
        if n_out == 1 {
            bail!(
                "the network gives one number a sample: for two classes by one logit, or a regression, this needs \
                 another loss than those of classes; {}",
                crate::spectrum::GRAPHS
            );
        }
        if n_out > MOST_CLASSES {
            bail!("the network has {n_out} classes, expected at most {MOST_CLASSES}; {}", crate::spectrum::GRAPHS);
        }
        if self.y.shape.iter().product::<usize>() != self.n_samples {
            bail!(
                "{:?}, expected [{}], a class a row of x; real targets or several a sample need another loss; {}",
                self.y.shape,
                self.n_samples,
                crate::spectrum::GRAPHS
            );
        }
        let is_whole = |y: &f64| y.fract() == 0.0 && y.abs() < EXACT as f64;
        let values: Vec<i64> = match &self.y.values {
            OwnedValues::I64(values) => values.clone(),
            OwnedValues::U8(values) => values.iter().map(|&y| i64::from(y)).collect(),
            OwnedValues::Bool(values) => values.iter().map(|&y| i64::from(y)).collect(),
            OwnedValues::F32(_) | OwnedValues::F64(_) => {
                let values = floats(self.y.clone())?;
                match values.iter().position(|y| !is_whole(y)) {
                    Some(p) => bail!(
                        "y[{p}] is {}, expected a class; real targets need another loss; {}",
                        values[p],
                        crate::spectrum::GRAPHS
                    ),
                    None => values.into_iter().map(|y| y as i64).collect(),
                }
            }
        };
        let label = |(p, &y): (usize, &i64)| match u8::try_from(y) {
            Ok(label) if usize::from(label) < n_out => Ok(label),
            _ => bail!("y[{p}] is {y}, expected a class from 0 to {}", n_out - 1),
        };
        values.iter().enumerate().map(label).collect()
    }

    /// `y` of the first `n` samples as targets of `len` numbers each, a column a sample: classes, or real numbers.
    ///
    /// # Errors
    /// When a sample has another number of targets, or one is not finite.
    pub fn targets(&self, n: usize, len: usize) -> Result<Mat<f64>> {
        let (file, N, shape) = (&self.file, self.n_samples, &self.y.shape);
        if shape.iter().product::<usize>() != N * len {
            bail!("{file}: y is {shape:?}, expected {len} numbers a sample, [{N}, {len}]");
        }
        let y = floats(self.y.clone()).with_context(|| format!("{file}: y"))?;
        if let Some(at) = y.iter().position(|y| !y.is_finite()) {
            bail!("{file}: y[{}, {}] is {}", at / len, at % len, y[at]);
        }
        Ok(Mat::from_fn(len, n.min(N), |i, p| y[p * len + i]))
    }

    /// Whether a network's logits for the first samples (`n_out × n`) are those given, if there are any.
    ///
    /// # Errors
    /// When they have another shape, or differ by more than 1e-4 of the range of those given.
    pub fn check_logits(&self, found: MatRef<'_, f64>) -> Result<()> {
        let Some((shape, given)) = &self.logits else { return Ok(()) };
        let (n_out, n) = found.shape();
        if shape.first() != Some(&self.n_samples) || given.len() != self.n_samples * n_out {
            bail!("{}: logits is {shape:?}, expected [{}, {n_out}]", self.file, self.n_samples);
        }
        if let Some(at) = given.iter().position(|logit| !logit.is_finite()) {
            bail!("{}: logits[{}, {}] is {}", self.file, at / n_out, at % n_out, given[at]);
        }
        let range = given.iter().copied().fold(f64::MIN, f64::max) - given.iter().copied().fold(f64::MAX, f64::min);
        let mut worst = (0.0, 0, 0);
        for p in 0..n {
            for c in 0..n_out {
                let off = (found[(c, p)] - given[p * n_out + c]).abs();
                if off > worst.0 {
                    worst = (off, p, c);
                }
            }
        }
        let (off, p, c) = worst;
        if off > ALIKE * range {
            bail!(
                "{}: the network as read does not give your logits: logits[{p}, {c}] is {:e}, found {:e} (their range \
                 is {range:.3e}); is it the activation, the order of the layers, or another network?",
                self.file,
                given[p * n_out + c],
                found[(c, p)]
            );
        }
        Ok(())
    }
}

/// Numbers as they are, if a float of 64 bits holds each.
pub(crate) fn floats(array: Array) -> Result<Vec<f64>> {
    let whole = |x: i64| {
        if x.unsigned_abs() > EXACT {
            bail!("{x} is no float of 64 bits, expected integers to 2^53")
        }
        Ok(x as f64)
    };
    Ok(match array.values {
        OwnedValues::F64(values) => values,
        OwnedValues::F32(values) => values.into_iter().map(f64::from).collect(),
        OwnedValues::U8(values) => values.into_iter().map(f64::from).collect(),
        OwnedValues::Bool(values) => values.into_iter().map(|x| f64::from(u8::from(x))).collect(),
        OwnedValues::I64(values) => values.into_iter().map(whole).collect::<Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use superlinear_store::npz::Compression;

    fn of(arrays: &[(&str, &[usize], OwnedValues)]) -> Result<GivenSamples> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.npz");
        let owned: Vec<Array> =
            arrays.iter().map(|(_, shape, values)| Array { shape: shape.to_vec(), values: values.clone() }).collect();
        let views: Vec<_> =
            arrays.iter().zip(&owned).map(|((name, ..), array)| (*name, array.view().unwrap())).collect();
        npz::write(&path, &views, Compression::Stored).unwrap();
        GivenSamples::read(&path)
    }

    fn x() -> (&'static str, &'static [usize], OwnedValues) {
        ("x", &[2, 1, 3], OwnedValues::U8(vec![1, 2, 3, 4, 5, 6]))
    }

    #[test]
    fn inputs_of_any_shape_and_labels_of_any_exact_type_are_taken() {
        use OwnedValues::{Bool, F32, F64, I64, U8};
        for (shape, y) in [
            (&[2][..], I64(vec![1, 0])),
            (&[2, 1], U8(vec![1, 0])),
            (&[2], Bool(vec![true, false])),
            (&[2, 1], F32(vec![1.0, 0.0])),
            (&[2], F64(vec![1.0, 0.0])),
        ] {
            let found = of(&[x(), ("y", shape, y), ("idx", &[1], I64(vec![3]))]).unwrap();
            assert_eq!(found.labels(2).unwrap(), [1, 0]);
            assert_eq!((found.n_samples(), found.input_dim(), found.input_shape()), (2, 3, &[1, 3][..]));
            assert_eq!(found.ignored(), ["idx"]);
            assert_eq!(found.inputs(9), Mat::from_fn(3, 2, |i, p| (3 * p + i + 1) as f64));
        }
    }

    #[test]
    fn what_is_no_class_is_named() {
        use OwnedValues::{F32, F64, I64};
        for (shape, y, n_out, words) in [
            (&[2][..], I64(vec![0, 3]), 3, "y: y[1] is 3, expected a class from 0 to 2"),
            (&[2], I64(vec![-1, 0]), 3, "y[0] is -1"),
            (&[2], F32(vec![0.5, 0.0]), 3, "y[0] is 0.5, expected a class; real targets"),
            (&[2, 2], F32(vec![0.0; 4]), 3, "y: [2, 2], expected [2], a class a row of x"),
            (&[2], I64(vec![0, 1]), 1, "the network gives one number a sample"),
            (&[2], I64(vec![0, 299]), 300, "the network has 300 classes, expected at most 256"),
        ] {
            let error = format!("{:#}", of(&[x(), ("y", shape, y)]).unwrap().labels(n_out).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
        for (arrays, words) in [
            (vec![x()], "no array \"y\"; found x"),
            (vec![x(), ("y", &[3][..], I64(vec![0; 3]))], "y is [3], expected [2, …], as x has samples"),
            (vec![("x", &[0, 3], F64(vec![])), ("y", &[0], I64(vec![]))], "x is [0, 3], expected [N, …] with N > 0"),
            (vec![("x", &[1, 2], F64(vec![0.0, f64::NAN])), ("y", &[1], I64(vec![0]))], "x[0, 1] is NaN"),
            (vec![("x", &[1, 1], I64(vec![(1 << 53) + 1])), ("y", &[1], I64(vec![0]))], "9007199254740993 is no float"),
        ] {
            let error = format!("{:#}", of(&arrays).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn logits_are_compared() {
        let y = || ("y", &[2][..], OwnedValues::I64(vec![0, 1]));
        let with = |shape: &'static [usize], logits| of(&[x(), y(), ("logits", shape, logits)]).unwrap();
        // As columns: a range of 10, of which a ten-thousandth is 1e-3.
        let found = Mat::from_fn(2, 2, |c, p| [[0.0, 1.0], [10.0, 2.0]][p][c]);
        assert!(with(&[2, 2], OwnedValues::F32(vec![0.0, 1.0009, 10.0, 2.0])).check_logits(found.as_ref()).is_ok());
        for (shape, logits, words) in [
            (&[2, 2][..], vec![0.0, 1.01, 10.0, 2.0], "does not give your logits: logits[0, 1] is 1.01"),
            (&[2, 2], vec![0.0, f64::NAN, 10.0, 2.0], "data.npz: logits[0, 1] is NaN"),
            (&[4], vec![0.0; 4], "logits is [4], expected [2, 2]"),
        ] {
            let error = with(shape, OwnedValues::F64(logits)).check_logits(found.as_ref()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(of(&[x(), y()]).unwrap().check_logits(found.as_ref()).is_ok());
    }
}
