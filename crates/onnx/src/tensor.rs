//! Tensors of a file, from any of the fields that numbers may stand in and from files beside it.

use crate::OnnxError;
use crate::dim::Dim;
use crate::known::{Data, Known};
use crate::proto::TensorProto;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

/// A type of ONNX's `TensorProto.DataType` that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    F32,
    F64,
    F16,
    BF16,
    Int { bytes: usize, signed: bool },
    Bool,
}

impl Type {
    pub(crate) fn of(data_type: i32) -> Option<Self> {
        let int = |bytes, signed| Some(Self::Int { bytes, signed });
        match data_type {
            1 => Some(Self::F32),
            2 => int(1, false),
            3 => int(1, true),
            4 => int(2, false),
            5 => int(2, true),
            6 => int(4, true),
            7 => int(8, true),
            9 => Some(Self::Bool),
            10 => Some(Self::F16),
            11 => Some(Self::F64),
            12 => int(4, false),
            16 => Some(Self::BF16),
            _ => None,
        }
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::F16 | Self::BF16)
    }

    fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Int { bytes, .. } => bytes,
            Self::Bool => 1,
        }
    }
}

/// The type of a tensor, and its shape, without reading its numbers.
pub(crate) fn header(tensor: &TensorProto) -> Result<(Type, Vec<usize>), OnnxError> {
    let found = || format!("data type {}", tensor.data_type);
    let expected = "floating-point numbers of 16, 32 or 64 bits, integers but uint64, or booleans";
    let kind = Type::of(tensor.data_type).ok_or_else(|| error(tensor, found(), expected))?;
    let axis = |&n: &i64| usize::try_from(n).ok();
    let shape: Option<Vec<usize>> = tensor.dims.iter().map(axis).collect();
    let shape = shape.filter(|shape| addressable(shape));
    Ok((kind, shape.ok_or_else(|| error(tensor, format!("axes {:?}", tensor.dims), "axes of at least 0"))?))
}

/// Whether entries can be counted, also along the other axes of a tensor without any.
pub(crate) fn addressable(shape: &[usize]) -> bool {
    shape.iter().try_fold(1_usize, |n, &axis| n.checked_mul(axis.max(1))).is_some_and(|n| n <= 1 << 40)
}

/// The numbers of a tensor; `folder` is where files of its own may lie.
pub(crate) fn read(tensor: &TensorProto, folder: Option<&Path>) -> Result<Known, OnnxError> {
    let (kind, shape) = header(tensor)?;
    let n: usize = shape.iter().product();
    let data = if tensor.data_location == 1 {
        decode(kind, &external(tensor, n.saturating_mul(kind.bytes()), folder)?)
    } else if let Some(raw) = &tensor.raw_data {
        if n.checked_mul(kind.bytes()) != Some(raw.len()) {
            let expected = format!("{n} numbers of {} bytes for {:?}", kind.bytes(), shape);
            return Err(error(tensor, format!("{} bytes", raw.len()), expected));
        }
        decode(kind, raw)
    } else {
        let bits = || tensor.int32_data.iter().map(|&x| x as u16);
        match kind {
            Type::F32 => Data::Float(tensor.float_data.iter().map(|&x| x.into()).collect()),
            Type::F64 => Data::Float(tensor.double_data.clone()),
            Type::F16 => Data::Float(bits().map(half).collect()),
            Type::BF16 => Data::Float(bits().map(brain).collect()),
            Type::Int { bytes: 8, .. } => Data::Int(tensor.int64_data.iter().map(|&x| Dim::fixed(x)).collect()),
            // uint32 stands with the 64-bit numbers that are not read.
            Type::Int { bytes: 4, signed: false } => return Err(error(tensor, "uint32 outside raw data", "raw data")),
            Type::Int { .. } => Data::Int(tensor.int32_data.iter().map(|&x| Dim::fixed(x.into())).collect()),
            Type::Bool => Data::Bool(tensor.int32_data.iter().map(|&x| x != 0).collect()),
        }
    };
    if data.len() != n {
        return Err(error(tensor, format!("{} numbers", data.len()), format!("{n} for {shape:?}")));
    }
    Ok(Known { shape, data })
}

fn error(tensor: &TensorProto, found: impl Into<String>, expected: impl Into<String>) -> OnnxError {
    OnnxError::invalid(&tensor.name, "tensor", found, expected)
}

fn decode(kind: Type, raw: &[u8]) -> Data {
    fn each<const N: usize, T>(raw: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
        raw.as_chunks::<N>().0.iter().map(|&bytes| f(bytes)).collect()
    }
    let int = |x: i64| Dim::fixed(x);
    match kind {
        Type::F32 => Data::Float(each(raw, |x| f32::from_le_bytes(x).into())),
        Type::F64 => Data::Float(each(raw, f64::from_le_bytes)),
        Type::F16 => Data::Float(each(raw, |x| half(u16::from_le_bytes(x)))),
        Type::BF16 => Data::Float(each(raw, |x| brain(u16::from_le_bytes(x)))),
        Type::Bool => Data::Bool(raw.iter().map(|&x| x != 0).collect()),
        Type::Int { bytes, signed } => Data::Int(match (bytes, signed) {
            (1, false) => each(raw, |x| int(u8::from_le_bytes(x).into())),
            (1, true) => each(raw, |x| int(i8::from_le_bytes(x).into())),
            (2, false) => each(raw, |x| int(u16::from_le_bytes(x).into())),
            (2, true) => each(raw, |x| int(i16::from_le_bytes(x).into())),
            (4, false) => each(raw, |x| int(u32::from_le_bytes(x).into())),
            (4, true) => each(raw, |x| int(i32::from_le_bytes(x).into())),
            _ => each(raw, |x| int(i64::from_le_bytes(x))),
        }),
    }
}

/// The number of an IEEE half, exactly.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    }
}

/// The number of a bfloat16, exactly.
fn brain(bits: u16) -> f64 {
    f32::from_bits(u32::from(bits) << 16).into()
}

/// The bytes of a tensor in a file of its own, which lies in the model's folder or below.
fn external(tensor: &TensorProto, n_bytes: usize, folder: Option<&Path>) -> Result<Vec<u8>, OnnxError> {
    let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &*entry.value);
    let location = entry("location").ok_or_else(|| error(tensor, "no location of its data", "a file"))?;
    let relative = Path::new(location);
    let inside = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside || location.is_empty() || location.contains('\\') {
        return Err(error(tensor, format!("data in {location:?}"), "a file in the model's folder or below"));
    }
    let folder = folder.ok_or_else(|| {
        error(
            tensor,
            format!("data in the file {location:?}"),
            "a model that is read from a folder, or all in one file",
        )
    })?;
    let number = |key: &str| match entry(key).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(error(tensor, format!("{key} {:?}", entry(key)), "a number of bytes")),
    };
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let path = folder.join(relative);
    let io = |source| OnnxError::Io { path: path.clone(), source };
    let real = path.canonicalize().map_err(io)?;
    if !real.starts_with(folder.canonicalize().map_err(io)?) {
        return Err(error(tensor, format!("data in {location:?}, a link"), "a file in the model's folder or below"));
    }
    let mut file = File::open(&real).map_err(io)?;
    let there = file.metadata().map_err(io)?.len().saturating_sub(offset);
    let length = length.unwrap_or(there);
    if length != n_bytes as u64 || there < length {
        let found = format!("{} bytes at {offset} of {location:?}", length.min(there));
        return Err(error(tensor, found, format!("{n_bytes}")));
    }
    file.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut bytes = vec![0; n_bytes];
    file.read_exact(&mut bytes).map_err(io)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_widened_exactly() {
        let cases = [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333251953125), (1, 2_f64.powi(-24)), (0x7bff, 65504.0)];
        for (bits, value) in cases {
            assert_eq!(half(bits), value, "{bits:#x}");
        }
        assert_eq!((half(0xfc00), brain(0xff80)), (f64::NEG_INFINITY, f64::NEG_INFINITY));
        assert!(half(0x7e00).is_nan());
        assert_eq!((brain(0x3f80), brain(0x3eab)), (1.0, 0.333984375));
    }

    #[test]
    fn declared_size_allocates_nothing() {
        let tensor =
            TensorProto { dims: vec![1 << 29], data_type: 1, raw_data: Some(vec![0; 4]), ..Default::default() };
        assert!(read(&tensor, None).unwrap_err().to_string().contains("found 4 bytes"));
        let tensor = TensorProto { dims: vec![i64::MAX, 4], data_type: 1, ..Default::default() };
        assert!(read(&tensor, None).unwrap_err().to_string().contains("axes"));
    }
}
