//! One network at several times of its training: its files in order, and what is kept of each one's answer.

use super::asked::network;
use super::{Found, Question, TensorFound};
use crate::exponents::Exponent;
use crate::identity::Key;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use superlinear_nets::TensorRole;
use superlinear_store::whole;

/// To be raised whenever the same question has another answer.
const NUMERICS: u32 = 1;
/// What is kept of an answer, in its folder.
pub const KEPT: &str = "checkpoint.json";
/// Names that an error shows, at most.
const MOST_SHOWN: usize = 12;

/// Files whose names differ by one number, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    files: Vec<(u64, PathBuf)>,
    /// Their common name, with `*` in the place of the number.
    pattern: PathBuf,
}

impl Checkpoints {
    /// The files that are named, or whose names match patterns of `*` (any characters) and `?` (one).
    ///
    /// # Errors
    /// When nothing matches, files lie in several folders, or their names do not tell one order: no number, several
    /// that vary, a decimal fraction, the same number twice, or more that differs than a number. Each shows what was
    /// found.
    pub fn find(given: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::new();
        for path in given {
            files.extend(matching(path)?);
        }
        files.sort();
        files.dedup();
        let folder = |file: &Path| file.parent().map(Path::to_owned).unwrap_or_default();
        let Some(first) = files.first() else { bail!("--checkpoints: no file is named") };
        if let Some(other) = files.iter().find(|file| folder(file) != folder(first)) {
            bail!("--checkpoints: files of several folders, {} and {}", first.display(), other.display());
        }
        let names: Vec<String> = files.iter().map(|file| name_of(file)).collect();
        let (numbers, pattern) = numbered(&names)?;
        let pattern = folder(first).join(pattern);
        let mut files: Vec<(u64, PathBuf)> = numbers.into_iter().zip(files).collect();
        files.sort();
        if let Some(pair) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let [one, other] = [&pair[0].1, &pair[1].1].map(|file| name_of(file));
            bail!("--checkpoints: {one} and {other} both have the number {}; expected one order", pair[0].0);
        }
        Ok(Self { files, pattern })
    }

    /// Numbers and files, ascending.
    pub fn files(&self) -> &[(u64, PathBuf)] {
        &self.files
    }

    /// Their common name, with `*` in the place of the number.
    pub fn pattern(&self) -> &Path {
        &self.pattern
    }
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn shown(names: &[String]) -> String {
    let more = names.len().saturating_sub(MOST_SHOWN);
    let further = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{further}", names[..names.len() - more].join(", "))
}

/// The file itself, or all of its folder that match it as a pattern.
fn matching(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let is_pattern = |text: &str| text.contains(['*', '?']);
    let (pattern, folder) = (name_of(path), path.parent().unwrap_or(Path::new("")));
    if is_pattern(&folder.to_string_lossy()) {
        bail!("--checkpoints {}: * and ? may stand in the name of the file only", path.display());
    }
    let read_from = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(read_from).with_context(|| format!("--checkpoints {}", path.display()))?;
    let entries = entries.collect::<Result<Vec<_>, _>>().with_context(|| read_from.display().to_string())?;
    let mut names: Vec<String> = entries
        .iter()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let found: Vec<PathBuf> = match is_pattern(&pattern) {
        true => names.iter().filter(|name| matches(&pattern, name)).map(|name| folder.join(name)).collect(),
        false => Vec::new(),
    };
    if found.is_empty() {
        let networks: Vec<String> = names.into_iter().filter(|name| name.ends_with(".onnx")).collect();
        let there = if networks.is_empty() { "none".to_owned() } else { shown(&networks) };
        bail!("--checkpoints {}: no such file; networks in {}: {there}", path.display(), read_from.display());
    }
    Ok(found)
}

/// Whether a name is one of a pattern's. A name that begins with a dot is only if the pattern does.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    if name.first() == Some(&'.') && pattern.first() != Some(&'.') {
        return false;
    }
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stands, and up to where it reaches.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, reach)) = star {
            star = Some((at, reach + 1));
            (p, n) = (at + 1, reach + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// A name as what stands between its runs of digits, and these.
fn split(name: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    let mut rest = name;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let digits = rest[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - start);
        texts.push(&rest[..start]);
        numbers.push(&rest[start..start + digits]);
        rest = &rest[start + digits..];
    }
    texts.push(rest);
    (texts, numbers)
}

/// The number of every name, and the name with `*` in its place.
fn numbered(names: &[String]) -> Result<(Vec<u64>, String)> {
    let of_all = || format!("found {}", shown(names));
    let parts: Vec<_> = names.iter().map(|name| split(name)).collect();
    let (texts, _) = &parts[0];
    if let Some(without) = parts.iter().position(|(_, numbers)| numbers.is_empty()) {
        bail!("--checkpoints: no number in the name {} to order it by; {}", names[without], of_all());
    }
    if parts.iter().any(|(own, _)| own != texts) {
        bail!("--checkpoints: names differ by more than a number, which leaves no order; {}", of_all());
    }
    let numbers = parts.iter().zip(names).map(|((_, numbers), name)| {
        let number = |digits: &&str| digits.parse::<u64>().ok();
        let numbers: Option<Vec<u64>> = numbers.iter().map(number).collect();
        numbers.with_context(|| format!("--checkpoints: a number of {name} is larger than {}", u64::MAX))
    });
    let numbers = numbers.collect::<Result<Vec<_>>>()?;
    let n = numbers[0].len();
    let varies = |place: &usize| numbers.iter().any(|own| own[*place] != numbers[0][*place]);
    let varying: Vec<usize> = (0..n).filter(varies).collect();
    let place = match (n, &varying[..]) {
        (1, _) => 0,
        (_, [place]) => *place,
        (_, []) => bail!("--checkpoints: {n} numbers in each name and none of them varies; {}", of_all()),
        (_, more) => {
            bail!("--checkpoints: {} numbers vary in the names, which leaves no order; {}", more.len(), of_all())
        }
    };
    if (place > 0 && texts[place] == ".") || (place + 1 < n && texts[place + 1] == ".") {
        bail!("--checkpoints: a decimal fraction or a version in the names, expected a whole number; {}", of_all());
    }
    let (_, digits) = &parts[0];
    let mut pattern = texts[0].to_owned();
    for (at, (digits, text)) in digits.iter().zip(&texts[1..]).enumerate() {
        pattern.push_str(if at == place { "*" } else { digits });
        pattern.push_str(text);
    }
    Ok((numbers.into_iter().map(|own| own[place]).collect(), pattern))
}

/// What an answer is a function of, hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointKey {
    /// Of the file.
    pub model_sha256: String,
    /// Of the samples' file.
    pub data_sha256: String,
    /// Of both, of every number of the network, wherever it lies, and of the question.
    pub question_sha256: String,
}

impl CheckpointKey {
    /// Of a question, whose network is read. `data` is the hash of the samples' file.
    ///
    /// # Errors
    /// When the network cannot be read.
    pub fn of(question: &Question, data: &Key) -> Result<Self> {
        let file = Key::of_file(&question.model)?;
        let onnx = network(question)?;
        // Numbers may lie in files beside it.
        let model = onnx.model();
        let mut numbers = Vec::new();
        for role in [TensorRole::Parameter, TensorRole::Constant] {
            for value in model.graph().tensors(role) {
                numbers.extend(model.tensor(value).iter().flat_map(|x| x.to_le_bytes()));
            }
        }
        let (model, samples) = (PathBuf::from(file.hex()), PathBuf::from(data.hex()));
        let words = Question { model, data: samples, ..question.clone() }.words();
        let whole = format!("{NUMERICS}; {}; {words}", Key::of(&numbers).hex());
        Ok(Self { model_sha256: file.hex(), data_sha256: data.hex(), question_sha256: Key::of(whole.as_bytes()).hex() })
    }
}

impl Key {
    /// Of a file's bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_file(path: &Path) -> Result<Self> {
        Ok(Self::of(&whole::read(path).with_context(|| path.display().to_string())?))
    }
}

/// What is kept of one checkpoint's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointAnswer {
    /// What it is the answer to.
    pub key: CheckpointKey,
    /// `N`.
    pub n_samples: usize,
    /// Mean loss.
    pub mean_loss: f64,
    /// Of classes.
    pub accuracy: Option<f64>,
    /// What makes one doubt the network.
    pub warning: Option<String>,
    /// In the order of the graph.
    pub tensors: Vec<TensorAnswer>,
}

/// Of one tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorAnswer {
    /// Its name.
    pub name: String,
    /// Its place among the layers, from 1.
    pub depth: Option<usize>,
    /// Directions.
    pub n_directions: usize,
    /// The largest eigenvalue of `H`.
    pub largest_eigenvalue: Option<f64>,
    /// γ of `C` on `H`.
    pub c_on_h: ExponentAnswer,
    /// γ of `M₂` on `H`.
    pub m2_on_h: ExponentAnswer,
    /// The exponent of `C` on `M₂`.
    pub c_on_m2: ExponentAnswer,
    /// `‖CH − HC‖/‖CH‖` over that of random directions.
    pub commutator_ratio: Option<f64>,
    /// The share of `‖C‖²` on the diagonal in the eigenbasis of `H`.
    pub eigen_alignment: Option<f64>,
    /// `κ_max`.
    pub kappa_max: Option<f64>,
    /// Directions that violate a bound.
    pub n_outside: Option<usize>,
    /// Mean X–Y correlation, and its interval.
    pub xy_correlation: Option<[f64; 3]>,
}

/// An exponent, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExponentAnswer {
    /// With its standard error.
    Found {
        /// The exponent.
        slope: f64,
        /// Over draws of the samples, and what is not known of the directions.
        error: f64,
    },
    /// There is none.
    Absent {
        /// Why.
        none: String,
    },
}

impl From<&Result<Exponent, String>> for ExponentAnswer {
    fn from(found: &Result<Exponent, String>) -> Self {
        match found {
            Ok(found) => Self::Found { slope: found.fit.slope, error: found.error() },
            Err(why) => Self::Absent { none: why.clone() },
        }
    }
}

impl CheckpointAnswer {
    /// Of what was found.
    ///
    /// # Panics
    /// When it is not of a network.
    #[track_caller]
    pub fn of(key: CheckpointKey, found: &Found) -> Self {
        let fit = found.fit.expect("of a network");
        Self {
            key,
            n_samples: found.n_samples,
            mean_loss: fit.loss,
            accuracy: fit.classes.map(|classes| classes.accuracy),
            warning: fit.warning(),
            tensors: found.tensors.iter().map(TensorAnswer::of).collect(),
        }
    }

    /// The one in a folder, if it is the answer to this.
    pub fn kept(folder: &Path, key: &CheckpointKey) -> Option<Self> {
        let found: Self = superlinear_store::json::read(&folder.join(KEPT)).ok()?;
        (found.key == *key).then_some(found)
    }
}

impl TensorAnswer {
    fn of(tensor: &TensorFound) -> Self {
        let full = tensor.commutativity.as_ref().map(|found| found.c_in_h.full());
        let spectra = tensor.spectra.as_ref().ok();
        let record = spectra.and_then(|found| found.alignment.as_ref());
        Self {
            name: tensor.asked.name.clone(),
            depth: tensor.asked.depth,
            n_directions: tensor.directions.values.len(),
            largest_eigenvalue: tensor.directions.values.first().copied(),
            c_on_h: (&tensor.c_on_h).into(),
            m2_on_h: (&tensor.m2_on_h).into(),
            c_on_m2: (&tensor.c_on_m2).into(),
            commutator_ratio: full.and_then(|full| full.error_ratio()),
            eigen_alignment: full.and_then(|full| full.recovery),
            kappa_max: spectra.map(|found| found.kappa_max),
            n_outside: spectra.map(|found| found.wedge.n_below + found.wedge.n_above),
            xy_correlation: record.map(|record| [record.mean, record.mean_interval[0], record.mean_interval[1]]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers and pattern, or the error, of files in a folder.
    fn found(names: &[&str], given: &[&str]) -> Result<(Vec<u64>, String), String> {
        let folder = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        let given: Vec<PathBuf> = given.iter().map(|name| folder.path().join(name)).collect();
        let found = Checkpoints::find(&given).map_err(|error| format!("{error:#}"))?;
        let numbers = found.files().iter().map(|(number, _)| *number).collect();
        assert!(found.files().iter().all(|(_, file)| file.is_file()));
        Ok((numbers, name_of(found.pattern())))
    }

    #[test]
    fn files_are_ordered_by_the_number_in_their_name() {
        let names = ["epoch-10.onnx", "epoch-9.onnx", "epoch-100.onnx", "final.onnx", ".epoch-3.onnx", "epoch-1.txt"];
        let all = Ok((vec![9, 10, 100], "epoch-*.onnx".to_owned()));
        assert_eq!(found(&names, &["epoch-*.onnx"]), all);
        assert_eq!(found(&names, &["epoch-100.onnx", "epoch-9.onnx", "epoch-?0.onnx"]), all);
        assert_eq!(found(&names, &["epoch-?.onnx"]), Ok((vec![9], "epoch-*.onnx".to_owned())));
        // Numbers that all names share are no order, and zeros in front say nothing.
        let names = ["resnet18-e001-s7.onnx", "resnet18-e010-s7.onnx", "resnet18-e2-s7.onnx"];
        assert_eq!(found(&names, &["*.onnx"]), Ok((vec![1, 2, 10], "resnet18-e*-s7.onnx".to_owned())));
    }

    #[test]
    fn no_order_or_several_are_errors_that_show_what_was_found() {
        for (names, pattern, words) in [
            (
                &["a-1.onnx", "b-1.onnx"][..],
                "*.onnx",
                "differ by more than a number, which leaves no order; found a-1.onnx, b-1.onnx",
            ),
            (
                &["e1.onnx", "final.onnx"],
                "*.onnx",
                "no number in the name final.onnx to order it by; found e1.onnx, final",
            ),
            (
                &["e1-s1.onnx", "e2-s2.onnx"],
                "e*",
                "2 numbers vary in the names, which leaves no order; found e1-s1.onnx, e2",
            ),
            (&["e1-s1.onnx"], "e*", "2 numbers in each name and none of them varies; found e1-s1.onnx"),
            (&["e1.onnx", "e01.onnx"], "e*", "e01.onnx and e1.onnx both have the number 1"),
            (&["e0.5.onnx", "e1.5.onnx"], "e*", "a decimal fraction or a version in the names"),
            (&["e1.onnx", "e2.onnx"], "step-*.onnx", "step-*.onnx: no such file; networks in "),
            (&["e1.onnx", "e2.onnx"], "e3.onnx", ": e1.onnx, e2.onnx"),
            (&["e1.txt"], "*.onnx", ": none"),
            (&["e99999999999999999999.onnx"], "e*", "a number of e99999999999999999999.onnx is larger than"),
            (&[], "*/e1.onnx", "* and ? may stand in the name of the file only"),
        ] {
            let error = found(names, &[pattern]).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let many: Vec<String> = (0..20).map(|k| format!("{k}-{k}.onnx")).collect();
        let error = found(&many.iter().map(|name| &**name).collect::<Vec<_>>(), &["*"]).unwrap_err();
        assert!(error.ends_with("and 8 more"), "{error}");
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let files = [0, 1].map(|k| folders[k].path().join(format!("e{k}.onnx")));
        files.iter().for_each(|file| fs::write(file, "").unwrap());
        assert!(Checkpoints::find(&files).unwrap_err().to_string().contains("files of several folders"));
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, is) in [
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("a*b*c", "a-b-b-c", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*.onnx", "e.onnx.data", false),
            ("abc*", "abc", true),
            ("*", ".hidden", false),
            ("é*", "é1", true),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }
}
